//! `explain`: everything known about one release, from the running proxy or from its store.
//!
//! Owns its arguments and help, and what is asked: the admin port, which also knows what is in memory, and where no proxy
//! answers, the store. Must not know what an explanation holds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use http::{Method, StatusCode};
use url::form_urlencoded;

use super::CommandFailure;
use super::admin_port;
use crate::app;
use crate::config::{Config, Overrides};
use crate::domain::{Version, VolumeName};
use crate::explain::Explanation;
use crate::store::Store;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium explain @acme/x@1.2.3 --config /etc/scriptorium.toml
  scriptorium explain @acme/x@1.2.3 --data ./cache --json

Shows what a request would be answered with and why, then the cached documents and their age, what
the index and the metadata say, the pin, the divergence and the archive. Asks the running proxy on
its admin port (with the token in SCRIPTORIUM_ADMIN_TOKEN, if it needs one), or reads the store.
Never contacts an upstream.";

#[derive(Debug, Clone, Args)]
pub(super) struct ExplainArgs {
    /// The release, as `@acme/x@1.2.3`
    #[arg(value_name = "VOLUME@VERSION")]
    pub(super) release: String,
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The folder that the proxy keeps documents and archives in
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// One JSON document, as the admin port gives it
    #[arg(long)]
    pub(super) json: bool,
}

/// Most bytes of an answer; an explanation has a few thousand.
const LONGEST: usize = 1 << 20;

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    explain(args).unwrap_or_else(|failure| failure.told(args.json))
}

fn explain(args: &ExplainArgs) -> Result<ExitCode, CommandFailure> {
    let (volume, version) = release(&args.release).ok_or_else(|| {
        super::usage(&format!("expected a release such as `@acme/x@1.2.3`, got `{}`", args.release))
    })?;
    let overrides = Overrides { data: args.data.clone(), beside: true, ..Overrides::default() };
    let config =
        super::load(args.config.as_deref(), overrides).map_err(|errors| super::refuse(&errors))?.config;
    let (from, explanation) = match ask(&config, &volume, &version)? {
        Some(explanation) => ("the running proxy", explanation),
        None => ("the store; no proxy answers on the admin port", stored(&config, &volume, &version)?),
    };
    if args.json {
        let text = serde_json::to_string_pretty(&explanation).unwrap_or_default();
        return Ok(super::answer(&format!("{text}\n")));
    }
    Ok(super::answer(&format!("{explanation}  {:15}  {from}, {}\n", "known from", explanation.at)))
}

fn release(text: &str) -> Option<(VolumeName, Version)> {
    let (volume, version) = text.rsplit_once('@')?;
    Some((volume.parse().ok()?, version.parse().ok()?))
}

/// Asks the admin port; `None` when nothing listens there.
fn ask(
    config: &Config,
    volume: &VolumeName,
    version: &Version,
) -> Result<Option<Explanation>, CommandFailure> {
    let admin = config.server.admin_listen;
    let fail = |why: &str| super::failed(&format!("the admin port at {admin}: {why}"));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("volume", volume.as_str()).append_pair("version", &version.to_string());
    let target = format!("/admin/v1/explain?{}", query.finish());
    let answered = super::wait(admin_port::ask(admin, Method::GET, &target, LONGEST))?;
    let answered = answered.map_err(|error| fail(&super::with_causes(&*error)))?;
    let Some((status, body)) = answered else { return Ok(None) };
    match status {
        StatusCode::OK => match serde_json::from_slice(&body) {
            Ok(explanation) => Ok(Some(explanation)),
            Err(_) => Err(fail("the answer is not of this version of scriptorium")),
        },
        status => Err(fail(&admin_port::refusal(status, &body))),
    }
}

fn stored(config: &Config, volume: &VolumeName, version: &Version) -> Result<Explanation, CommandFailure> {
    let store: Arc<dyn Store> = super::storage::open_existing(&config.storage)?;
    super::wait(async {
        let documents = app::documents_under_policy(config, Arc::clone(&store)).await;
        let documents = documents.map_err(|error| super::fail(&error))?;
        let explained = crate::explain::explain(&documents, &store, volume, version).await;
        explained.map_err(|error| super::fail(&error))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_volume_and_a_version() {
        let (volume, version) = release("@acme/x@1.2.3-rc.1+b").unwrap();
        assert_eq!((volume.as_str(), version.to_string().as_str()), ("@acme/x", "1.2.3-rc.1+b"));
        assert!(release("x@1.0.0").is_some());
        for bad in ["", "x", "@acme/x", "x@1.0", "X@1.0.0", "x@", "@1.0.0"] {
            assert!(release(bad).is_none(), "{bad}");
        }
    }
}
