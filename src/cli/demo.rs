//! `demo`: a sample bibliotheca and the real proxy before it, on one machine, leaving nothing behind.
//!
//! Owns what a newcomer sees. Must not treat the proxy any differently from `serve`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::{App, AppError};
use crate::config::{Config, Location, LogLevel, Upstream};
use crate::demo::{self, Catalogue, DemoError};
use crate::telemetry::{self, TelemetryError};

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("a temporary folder and a local port are needed: {0}")]
    Machine(#[from] io::Error),
    #[error(transparent)]
    Bibliotheca(#[from] DemoError),
    #[error(transparent)]
    Proxy(#[from] AppError),
    #[error(transparent)]
    Log(#[from] TelemetryError),
    #[error("the bibliotheca has no URL: {0}")]
    Url(#[from] url::ParseError),
}

pub(super) fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            super::complain(&format!("demo: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let runtime = Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let bibliotheca = listener.local_addr()?;
    let catalogue = Arc::new(Catalogue::sample()?);
    runtime.spawn(async move { demo::serve(listener, catalogue).await });

    let config = configure(bibliotheca, folder.path())?;
    let (_log, access) = telemetry::logging(config.log.format, config.log.level)?;
    let app = App::new(&config, access, false, None)?;
    super::answer(&welcome(&config, bibliotheca));
    app.run()?;
    Ok(())
}

fn configure(bibliotheca: SocketAddr, folder: &Path) -> Result<Config, Failure> {
    let mut config = Config::default();
    config.upstreams.push(Upstream::new("sample", format!("http://{bibliotheca}").parse()?));
    config.storage.url = Location::File(folder.to_path_buf());
    config.log.level = LogLevel::Warn;
    Ok(config)
}

fn welcome(config: &Config, bibliotheca: SocketAddr) -> String {
    let (listen, admin) = (config.server.listen, config.server.admin_listen);
    format!(
        "Scriptorium at http://{listen} before a sample bibliotheca at http://{bibliotheca} (admin: http://{admin})\n\
         Try these in another terminal; the second time, see Cache-Status change:\n\n  \
         curl -i http://{listen}/api/v1/index/volumes/@acme/review-agent\n  \
         curl -i http://{listen}/api/v1/volumes/@acme/review-agent/2.0.0\n  \
         curl -fsS -D - -o volume.tar.gz http://{listen}/archives/@acme/review-agent/2.0.0.tar.gz\n\n\
         Ctrl-C ends both.\n"
    )
}
