//! `serve`: the proxy, until it is told to stop.
//!
//! Owns the order of a start: configuration, logs, parts, ports. Must not know what the parts do.

use std::process::ExitCode;

use tracing::{error, info, warn};

use super::ServeArgs;
use crate::app::App;
use crate::config::Config;
use crate::telemetry;

pub(super) fn run(args: &ServeArgs) -> ExitCode {
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(errors) => return super::refuse(&errors),
    };
    let _log = match telemetry::logging(loaded.config.log.format, loaded.config.log.level) {
        Ok(guard) => guard,
        Err(error) => {
            super::complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    for note in &loaded.notes {
        warn!("{note}");
    }
    let reread = {
        let args = args.clone();
        move || reread(&args)
    };
    let served = App::new(&loaded.config, args.upgrade).and_then(|app| app.run(Box::new(reread)));
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

fn reread(args: &ServeArgs) -> Option<Config> {
    match args.load() {
        Ok(loaded) => Some(loaded.config),
        Err(errors) => {
            error!("reload refused; the running configuration stays:\n{errors}");
            None
        }
    }
}
