//! `serve`: the proxy, until a signal to stop.
//!
//! Owns the order of a start: configuration, logs, parts, ports. Must not know what the parts do.

use std::process::ExitCode;

use tracing::{error, info, warn};

use super::ServeArgs;
use crate::app::App;
use crate::telemetry;

pub(super) fn run(args: &ServeArgs) -> ExitCode {
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(errors) => return super::refuse(&errors).told(false),
    };
    let (_log, access) = match telemetry::logging(loaded.config.log.format, loaded.config.log.level) {
        Ok(log) => log,
        Err(error) => {
            super::complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    for note in &loaded.notes {
        warn!("{note}");
    }
    for taken in &loaded.from_environment {
        info!("{taken}");
    }
    let again = args.clone();
    let source = Box::new(move || again.load());
    let served = App::new(&loaded.config, access, args.upgrade, Some(source)).and_then(App::run);
    match served {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            error!("{}", super::with_causes(&failure));
            ExitCode::FAILURE
        }
    }
}
