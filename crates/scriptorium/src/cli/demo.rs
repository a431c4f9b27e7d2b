//! `demo`: the sample registry and the real proxy in front of it, on one machine. Nothing is left on disk afterwards.
//!
//! Owns what a newcomer sees. Must not treat the proxy any differently from `serve`.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use bibliotheca::RegistryServer;
use bibliotheca::sample::{self, SampleError};

use crate::app::{App, AppError};
use crate::config::{Config, Location, LogLevel, Upstream};
use crate::telemetry::{self, TelemetryError};

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
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

pub(super) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => super::failed(&format!("demo: {failure}")).told(false),
    }
}

fn serve() -> Result<(), DemoError> {
    let folder = tempfile::tempdir()?;
    let registry = RegistryServer::over(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)?;
    sample::publish(&registry)?;
    let config = configure(&registry, folder.path())?;
    let (_log, access) = telemetry::logging(config.log.format, config.log.level)?;
    let app = App::new(&config, access, false, None)?;
    super::answer(&welcome(&config, &registry));
    app.run()?;
    Ok(())
}

fn configure(registry: &RegistryServer, folder: &Path) -> Result<Config, DemoError> {
    let mut config = Config::default();
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
