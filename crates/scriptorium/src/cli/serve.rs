//! `serve`: the proxy, until a signal to stop.
//!
//! Owns the order of a start: configuration, logs, parts, ports. Must not know what the parts do.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing::{error, info, warn};

use crate::app::App;
use crate::config::{ConfigErrors, Loaded, Overrides};
use crate::telemetry;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium serve --upstream https://registry.example.com --listen 127.0.0.1:8080 --data ./cache
  scriptorium serve --config /etc/scriptorium.toml
  SCRIPTORIUM_CACHE__INDEX_TTL=10s scriptorium serve --config /etc/scriptorium.toml

Flags win over the environment, the environment over the file, the file over the defaults.
A setting's variable is SCRIPTORIUM_SECTION__KEY; an element of a list has its number:
SCRIPTORIUM_UPSTREAMS__0__URL.
SIGTERM finishes what is in flight within server.shutdown_grace.";

#[derive(Debug, Clone, Args)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The one registry to stand in front of, instead of those in the file
    #[arg(long, value_name = "URL")]
    pub(super) upstream: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// The folder that documents and archives are kept in [default: /var/lib/scriptorium]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Take over the listening sockets of the instance that is running
    #[arg(long)]
    pub(super) upgrade: bool,
}

impl ServeArgs {
    /// The configuration of these arguments.
    pub(super) fn load(&self) -> Result<Loaded, ConfigErrors> {
        let overrides = Overrides {
            upstream: self.upstream.clone(),
            listen: self.listen.clone(),
            data: self.data.clone(),
            ..Overrides::default()
        };
        super::load(self.config.as_deref(), overrides)
    }
}

pub(super) fn run(args: &ServeArgs) -> ExitCode {
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(errors) => return super::refuse(&errors).told(false),
    };
    let (_log, access) = match telemetry::logging(&loaded.config.log, &loaded.config.telemetry) {
        Ok(log) => log,
        Err(failure) => return super::fail(&failure).told(false),
    };
    for note in &loaded.notes {
        warn!("{note}");
    }
    for taken in &loaded.from_environment {
        info!("{taken}");
    }
    let again = args.clone();
    let source = Box::new(move || again.load());
    let served = App::new(&loaded.config, access, args.upgrade, Some(source))
        .map(|app| if args.listen.is_some() { app.blaming(["--listen", "server.admin_listen"]) } else { app })
        .and_then(|app| app.run(|| {}));
    match served {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            error!("{}", super::with_causes(&failure));
            if failure.is_of_configuration() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
