//! Mirrors by way of the running proxy's admin port.
//!
//! Owns how a run is started there and waited for. Must not know how answers are shown.

use std::process::ExitCode;
use std::time::Duration;

use http::{Method, StatusCode};
use indicatif::ProgressBar;
use serde::Deserialize;

use crate::cli::admin_port::{AdminPortError, ask, refusal};
use crate::cli::{complain, progress, wait, with_causes};
use crate::config::Config;
use crate::mirror::RunKind;
use crate::mirror::report::{MirrorStatus, RunStatus};

/// How often the proxy is asked how far a run is.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Most bytes of an answer: the lists of what is missing may be long.
const LONGEST: usize = 256 << 20;

#[derive(Deserialize)]
struct Listed {
    mirrors: Vec<MirrorStatus>,
}

#[derive(Deserialize)]
struct Started {
    run: u64,
}

/// How the proxy's mirrors stand; `None` when no proxy runs.
pub(super) fn statuses(config: &Config) -> Result<Option<Vec<MirrorStatus>>, ExitCode> {
    wait(list(config))?.map_err(|error| fail(config, &with_causes(&*error)))
}

/// Runs each mirror in the proxy, one after the other.
pub(super) fn run(
    config: &Config,
    names: &[String],
    kind: RunKind,
    watched: bool,
) -> Result<Vec<RunStatus>, ExitCode> {
    let runs = wait(async {
        let mut runs = Vec::new();
        for name in names {
            runs.push(run_one(config, name, kind, watched).await?);
        }
        Ok::<_, AdminPortError>(runs)
    })?;
    runs.map_err(|error| fail(config, &with_causes(&*error)))
}

async fn run_one(
    config: &Config,
    name: &str,
    kind: RunKind,
    watched: bool,
) -> Result<RunStatus, AdminPortError> {
    let action = match kind {
        RunKind::Plan => "plan",
        RunKind::Sync => "sync",
    };
    let target = format!("/admin/v1/mirrors/{name}/{action}");
    let (status, body) =
        ask(config.server.admin_listen, Method::POST, &target, LONGEST).await?.ok_or("no answer")?;
    if status != StatusCode::ACCEPTED {
        return Err(refusal(status, &body).into());
    }
    let Started { run: number } = serde_json::from_slice(&body)?;
    let bar: ProgressBar = progress::releases(watched);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let listed =
            list(config).await?.ok_or("the proxy ended before the run did; run the command again")?;
        let status = listed.into_iter().find(|status| status.mirror == name);
        let status = status.ok_or("the proxy has no such mirror any more")?;
        let run = status.run.filter(|run| run.number >= number);
        let run = run.ok_or("the proxy was restarted before the run ended; run the command again")?;
        progress::at(&bar, run.done, run.of);
        if !status.running || run.number > number {
            bar.finish_and_clear();
            return Ok(run);
        }
    }
}

async fn list(config: &Config) -> Result<Option<Vec<MirrorStatus>>, AdminPortError> {
    let asked = ask(config.server.admin_listen, Method::GET, "/admin/v1/mirrors", LONGEST).await?;
    let Some((status, body)) = asked else { return Ok(None) };
    match status {
        StatusCode::OK => Ok(Some(serde_json::from_slice::<Listed>(&body)?.mirrors)),
        status => Err(refusal(status, &body).into()),
    }
}

fn fail(config: &Config, why: &str) -> ExitCode {
    complain(&format!("the admin port at {}: {why}", config.server.admin_listen));
    ExitCode::FAILURE
}
