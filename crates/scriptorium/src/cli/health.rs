//! `health`: whether the proxy of this machine takes requests, for the checks of containers and supervisors.
//!
//! Owns where it is asked, for how long, and the exit code. Must not know when a proxy is ready.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use tokio::net::lookup_host;
use tokio::time::timeout;
use url::Url;

use super::admin_port;
use crate::config::{Config, Overrides};

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium health --config /etc/scriptorium.toml
  scriptorium health --admin http://127.0.0.1:9090
  SCRIPTORIUM_SERVER__ADMIN_LISTEN=0.0.0.0:9090 scriptorium health

Exit code 0 when the proxy takes requests, else 1 within 10 seconds, with the reason on standard error. Of
the configuration only `server.admin_listen` is read, so a file that is being edited stops no proxy.
A port on 0.0.0.0 or [::] is asked at 127.0.0.1.";

/// Longer than a supervisor should wait.
const PATIENCE: Duration = Duration::from_secs(9);
/// Most bytes of an answer.
const LONGEST: usize = 16 << 10;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin port to ask, instead of that of a configuration
    #[arg(long, value_name = "URL", conflicts_with = "config", value_parser = admin_url)]
    admin: Option<Url>,
}

pub(super) fn run(args: &HealthArgs) -> ExitCode {
    let asked = async { timeout(PATIENCE, check(args)).await };
    let why = match super::wait(asked) {
        Ok(Ok(Ok(()))) => return ExitCode::SUCCESS,
        Ok(Ok(Err(why))) => why,
        Ok(Err(_)) => format!("no answer within {} s", PATIENCE.as_secs()),
        Err(failure) => return failure.told(false),
    };
    super::complain(&format!("not healthy: {why}"));
    ExitCode::FAILURE
}

async fn check(args: &HealthArgs) -> Result<(), String> {
    let places = places(args).await?;
    let mut why = "the name of the admin port has no address".to_owned();
    for place in places {
        match admin_port::probe(place, "/readyz", LONGEST).await {
            Ok(Some((StatusCode::OK, _))) => return Ok(()),
            Ok(Some((status, body))) => {
                let said = String::from_utf8_lossy(&body);
                return Err(format!("the admin port at {place} answers {status}: {}", said.trim()));
            }
            Ok(None) => why = format!("nothing answers at {place}; is the proxy running?"),
            Err(error) => why = format!("{place}: {}", super::with_causes(&*error)),
        }
    }
    Err(why)
}

/// The addresses of the admin port, the likeliest first.
async fn places(args: &HealthArgs) -> Result<Vec<SocketAddr>, String> {
    let Some(url) = &args.admin else {
        let listen = Config::admin_listen(args.config.as_deref(), super::environment(), Overrides::default());
        return listen.map(|listen| vec![listen]).map_err(|errors| errors.to_string());
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let found = lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|error| format!("the host of {url} is not found: {error}"))
}

/// The admin port never speaks TLS.
fn admin_url(text: &str) -> Result<Url, String> {
    let expected = || "expected the URL of an admin port, such as http://127.0.0.1:9090".to_owned();
    let url = Url::parse(text).map_err(|_| expected())?;
    if url.scheme() == "http" && url.host().is_some() { Ok(url) } else { Err(expected()) }
}
