//! Mirrors by way of the running proxy's admin port.
//!
//! Owns how a run is started there and waited for. Must not know how answers are shown.

use std::time::Duration;

use http::{Method, StatusCode};
use indicatif::ProgressBar;
use serde::Deserialize;

use crate::cli::CommandFailure;
use crate::cli::admin_port::{AdminPortError, ask, refusal};
use crate::cli::{failed, progress, wait, with_causes};
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
pub(super) fn statuses(config: &Config) -> Result<Option<Vec<MirrorStatus>>, CommandFailure> {
    wait(list(config))?.map_err(|error| failed(&unanswered(config, &error)))
}

/// Runs each mirror in the proxy, one after the other. One that the proxy does not run costs the others nothing.
pub(super) fn run(
    config: &Config,
    names: &[String],
    kind: RunKind,
    watched: bool,
) -> Result<Vec<RunStatus>, CommandFailure> {
    wait(async {
        let mut runs = Vec::new();
        for mirror in names.iter().filter_map(|name| config.mirrors.iter().find(|one| one.name == *name)) {
            runs.push(match run_one(config, &mirror.name, kind, watched).await {
                Ok(run) => run,
                Err(error) => kind.not_run(mirror, &unanswered(config, &error)),
            });
        }
        runs
    })
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

/// Why the proxy gave no answer.
fn unanswered(config: &Config, error: &AdminPortError) -> String {
    format!("the admin port at {}: {}", config.server.admin_listen, with_causes(&**error))
}
