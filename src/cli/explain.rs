//! `explain`: everything known about one release, from the running proxy or from what it stored.
//!
//! Owns its arguments and help, and whom is asked: the admin port, which also knows what is in memory; where no proxy answers, the store.
//! Must not know what an explanation holds.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::form_urlencoded;

use crate::app;
use crate::config::{Config, Overrides};
use crate::domain::{Version, VolumeName};
use crate::explain::Explanation;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium explain @acme/x@1.2.3 --config /etc/scriptorium.toml
  scriptorium explain @acme/x@1.2.3 --data ./cache --json

Says what a request would be answered with now and why, then what is cached and how old, what each
side said, the pin, the divergence and the archive. Asks the running proxy on its admin port (with
SCRIPTORIUM_ADMIN_TOKEN where it needs a token), or reads the store. Never contacts an upstream.";

/// What `explain` is told.
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

/// Where the admin port's token is looked for.
const TOKEN: &str = "SCRIPTORIUM_ADMIN_TOKEN";
/// An admin port on this machine or network answers sooner, or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer read, in bytes; an explanation has a few thousand.
const LONGEST: u64 = 1 << 20;

pub(super) fn run(args: &ExplainArgs) -> ExitCode {
    explain(args).unwrap_or_else(|code| code)
}

fn explain(args: &ExplainArgs) -> Result<ExitCode, ExitCode> {
    let (volume, version) = release(&args.release).ok_or_else(|| {
        super::complain(&format!("expected a release such as `@acme/x@1.2.3`, got `{}`", args.release));
        ExitCode::from(2)
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

/// Asks the admin port; `None` when nobody listens there.
fn ask(config: &Config, volume: &VolumeName, version: &Version) -> Result<Option<Explanation>, ExitCode> {
    let Ok(stream) = TcpStream::connect_timeout(&reachable(config.server.admin_listen), TIMEOUT) else {
        return Ok(None);
    };
    let fail = |why: &str| {
        super::complain(&format!("the admin port at {}: {why}", config.server.admin_listen));
        ExitCode::FAILURE
    };
    let answer = converse(stream, config.server.admin_listen, volume, version)
        .map_err(|error| fail(&error.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail("no HTTP answer"))?;
    match head.split(' ').nth(1) {
        Some("200") => match serde_json::from_str(body) {
            Ok(explanation) => Ok(Some(explanation)),
            Err(_) => Err(fail("not the answer of this version of scriptorium")),
        },
        Some("401") => Err(fail(&format!("set {TOKEN} to the admin token"))),
        _ => Err(fail(body.trim())),
    }
}

/// One HTTP/1.0 exchange: the answer ends with the connection, so no framing is left to read.
fn converse(
    mut stream: TcpStream,
    admin: SocketAddr,
    volume: &VolumeName,
    version: &Version,
) -> std::io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("volume", volume.as_str()).append_pair("version", &version.to_string());
    let token = std::env::var(TOKEN).ok().filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let (host, query) = (reachable(admin), query.finish());
    let head = format!("GET /admin/v1/explain?{query} HTTP/1.0\r\nhost: {host}\r\n{token}\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A port on every address is asked on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

fn stored(config: &Config, volume: &VolumeName, version: &Version) -> Result<Explanation, ExitCode> {
    let store = super::storage::open_existing(&config.storage)?;
    let documents = app::documents(config, store.clone()).map_err(|error| super::fail(&error))?;
    let explained = super::wait(crate::explain::explain(&documents, &store, volume, version))?;
    explained.map_err(|error| super::fail(&error))
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

    #[test]
    fn a_port_on_every_address_is_asked_here() {
        for (listen, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "127.0.0.1:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
