//! `demo`: the sample registry and the real proxy in front of it, on one machine. Nothing is left on disk afterwards.
//!
//! Owns what a newcomer sees. Must not treat the proxy any differently from `serve`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use bibliotheca::RegistryServer;
use bibliotheca::sample::{self, SampleError};
use clap::Args;

use crate::app::{App, AppError};
use crate::config::{Config, Location, LogLevel, Server, Upstream};
use crate::telemetry::{self, TelemetryError};

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium demo
  curl -i http://127.0.0.1:8080/api/v1/capabilities      # from another terminal
  scriptorium demo --listen 127.0.0.1:8081 --admin-listen 127.0.0.1:9091

Nothing outside this machine is contacted and nothing is left behind. Ctrl-C ends it.";

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("--listen and --admin-listen: expected two ports; {0} is one for both")]
    SharedPort(SocketAddr),
    #[error("a temporary folder and a local port are needed: {0}")]
    Machine(#[from] io::Error),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Proxy(#[from] AppError),
    #[error(transparent)]
    Log(#[from] TelemetryError),
    #[error("the sample registry has no URL: {0}")]
    Url(#[from] url::ParseError),
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the proxy listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where its admin port listens, which needs no token here [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    admin_listen: Option<SocketAddr>,
}

pub(super) fn run(args: &DemoArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure @ DemoError::SharedPort(_)) => super::usage(&failure.to_string()).told(false),
        Err(failure) => super::failed(&format!("demo: {}", super::with_causes(&failure))).told(false),
    }
}

/// An address that can be printed as it was given.
fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
    parsed.ok_or_else(|| "expected an address and a port, such as 127.0.0.1:8081".to_owned())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let parsed = address(text)?;
    let refused = || "expected a loopback address, since the demo's admin port needs no token".to_owned();
    parsed.ip().is_loopback().then_some(parsed).ok_or_else(refused)
}

fn serve(args: &DemoArgs) -> Result<(), DemoError> {
    let mut server = Server::default();
    server.listen = args.listen.unwrap_or(server.listen);
    server.admin_listen = args.admin_listen.unwrap_or(server.admin_listen);
    if server.ports_collide() {
        return Err(DemoError::SharedPort(server.admin_listen));
    }
    let folder = tempfile::tempdir()?;
    let registry = RegistryServer::over(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)?;
    sample::publish(&registry)?;
    let config = configure(server, &registry, folder.path())?;
    let (_log, access) = telemetry::logging(&config.log, &config.telemetry)?;
    let app = App::new(&config, access, false, None)?.blaming(["--listen", "--admin-listen"]);
    app.run(|| {
        super::answer(&welcome(&config, &registry));
    })?;
    Ok(())
}

fn configure(server: Server, registry: &RegistryServer, folder: &Path) -> Result<Config, DemoError> {
    let mut config = Config { server, ..Config::default() };
    config.upstreams.push(Upstream::new("sample", registry.url().parse()?));
    config.storage.url = Location::File(folder.to_path_buf());
    config.log.level = LogLevel::Warn;
    Ok(config)
}

fn welcome(config: &Config, registry: &RegistryServer) -> String {
    let (listen, admin, registry) = (config.server.listen, config.server.admin_listen, registry.url());
    format!(
        "Scriptorium at http://{listen} in front of a sample registry at {registry} (admin: http://{admin})\n\
         Try these in another terminal; the second time, see Cache-Status change:\n\n  \
         curl -i http://{listen}/api/v1/index/volumes/@acme/review-agent\n  \
         curl -i http://{listen}/api/v1/volumes/@acme/review-agent/2.0.0\n  \
         curl -fsS -D - -o volume.tar.gz http://{listen}/archives/@acme/review-agent/2.0.0.tar.gz\n\n\
         Ctrl-C ends both.\n"
    )
}
