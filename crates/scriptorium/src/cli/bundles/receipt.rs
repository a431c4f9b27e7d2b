//! `mirror receipt`.
//!
//! Owns where it is written. Must not know what it lists.

use std::process::ExitCode;
use std::sync::Arc;

use super::BundleArgs;
use crate::app;
use crate::bundles::receipt;
use crate::cli::CommandFailure;
use crate::cli::storage;
use crate::store::Store;

pub(super) fn run(args: &BundleArgs) -> Result<ExitCode, CommandFailure> {
    let config = args.load()?;
    let store: Arc<dyn Store> = storage::open_existing(&config.storage)?;
    let upstreams = app::upstreams(&config).map_err(|error| crate::cli::fail(&error))?;
    let receipt = crate::cli::wait(receipt(&*store, &upstreams))?;
    let receipt = receipt.map_err(|error| crate::cli::fail(&error))?;
    // It is JSON with or without `--json`.
    Ok(crate::cli::answer_with(|out| receipt.write(out).map(drop)))
}
