//! The store of a proxy, for the commands that work beside it.
//!
//! Owns how `--config` or `--data` leads to it, and the refusal of a place that cannot be meant. Must not know what
//! lies there.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::app::{self, AppError};
use crate::config::{Location, Overrides, Storage};
use crate::domain::Registry;
use crate::store::Store;

/// Where a proxy keeps what it stores.
#[derive(Debug, Clone, Args)]
pub(super) struct StorageArgs {
    /// The proxy's configuration file; without it and --data, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The folder that the proxy keeps documents and archives in, instead of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(super) data: Option<PathBuf>,
}

impl StorageArgs {
    /// The settings of the store.
    pub(super) fn load(&self) -> Result<Storage, ExitCode> {
        let Some(data) = &self.data else {
            let loaded =
                super::load(self.config.as_deref(), Overrides { beside: true, ..Overrides::default() });
            return loaded.map(|loaded| loaded.config.storage).map_err(|errors| super::refuse(&errors));
        };
        match std::path::absolute(data) {
            Ok(folder) => Ok(Storage { url: Location::File(folder), ..Storage::default() }),
            Err(error) => Err(usage(&format!("--data {}: {error}", data.display()))),
        }
    }

    /// The settings of the store, and whose answers the configuration asks for, where there is one.
    pub(super) fn load_with_registries(&self) -> Result<(Storage, Vec<Registry>), ExitCode> {
        if self.data.is_some() {
            return Ok((self.load()?, Vec::new()));
        }
        let loaded = super::load(self.config.as_deref(), Overrides { beside: true, ..Overrides::default() });
        let config = loaded.map_err(|errors| super::refuse(&errors))?.config;
        let registries = config.upstreams.iter().map(app::registry).collect();
        Ok((config.storage, registries))
    }

    /// A store that is there.
    pub(super) fn open(&self) -> Result<Arc<dyn Store>, ExitCode> {
        open_existing(&self.load()?)
    }
}

/// The store that `storage` names, made where it is not there yet.
pub(super) fn open(storage: &Storage) -> Result<Arc<dyn Store>, ExitCode> {
    app::kept_store(storage).map_err(|error| match error {
        AppError::NothingKept => usage(&error.to_string()),
        error => super::fail(&error),
    })
}

/// The store that `storage` names. One that is not there is a slip of the pen, not an empty store.
pub(super) fn open_existing(storage: &Storage) -> Result<Arc<dyn Store>, ExitCode> {
    match &storage.url {
        Location::File(folder) if !folder.is_dir() => {
            let text = "storage.url: expected the folder that a proxy keeps things in, found none at";
            Err(usage(&format!("{text} {}", folder.display())))
        }
        Location::File(_) | Location::Memory | Location::S3 { .. } => open(storage),
    }
}

fn usage(line: &str) -> ExitCode {
    super::complain(line);
    ExitCode::from(2)
}
