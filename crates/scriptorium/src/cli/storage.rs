//! The store of a proxy, for commands beside it.
//!
//! Owns how `--config` or `--data` leads to it, and the refusal of a folder that does not exist. Must not know what
//! is stored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle::{KeyId, TrustedKey};
use clap::Args;

use super::CommandFailure;
use crate::app::{self, AppError};
use crate::config::{Location, Overrides, Storage};
use crate::domain::Registry;
use crate::store::ObjectStorage;

#[derive(Debug, Clone, Args)]
pub(super) struct StorageArgs {
    /// The proxy's configuration file; without it and --data, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The folder that the proxy keeps documents and archives in, instead of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(super) data: Option<PathBuf>,
}

/// What a command needs that changes a store.
pub(super) struct StorageToChange {
    pub(super) storage: Storage,
    pub(super) registries: Vec<Registry>,
    /// Where the change is recorded.
    pub(super) audit: Option<PathBuf>,
}

/// Who keeps values from being evicted: mirrors, and trusted keys of bundles.
pub(super) struct EvictionKeepers {
    pub(super) mirrors: Vec<String>,
    pub(super) keys: Vec<KeyId>,
}

impl StorageArgs {
    pub(super) fn load(&self) -> Result<Storage, CommandFailure> {
        let Some(data) = &self.data else {
            let loaded =
                super::load(self.config.as_deref(), Overrides { beside: true, ..Overrides::default() });
            return loaded.map(|loaded| loaded.config.storage).map_err(|errors| super::refuse(&errors));
        };
        match std::path::absolute(data) {
            Ok(folder) => Ok(Storage { url: Location::File(folder), ..Storage::default() }),
            Err(error) => Err(super::usage(&format!("--data {}: {error}", data.display()))),
        }
    }

    /// The settings of the store, and the registries and the audit record of the configuration, if there is one.
    pub(super) fn load_for_change(&self) -> Result<StorageToChange, CommandFailure> {
        if self.data.is_some() {
            return Ok(StorageToChange { storage: self.load()?, registries: Vec::new(), audit: None });
        }
        let loaded = super::load(self.config.as_deref(), Overrides { beside: true, ..Overrides::default() });
        let config = loaded.map_err(|errors| super::refuse(&errors))?.config;
        let registries = config.upstreams.iter().map(app::registry).collect();
        Ok(StorageToChange { storage: config.storage, registries, audit: config.log.audit })
    }

    /// Those of the configuration; none if there is no configuration.
    pub(super) fn keepers(&self) -> Result<Option<EvictionKeepers>, CommandFailure> {
        if self.data.is_some() {
            return Ok(None);
        }
        let loaded = super::load(self.config.as_deref(), Overrides { beside: true, ..Overrides::default() });
        let config = loaded.map_err(|errors| super::refuse(&errors))?.config;
        Ok(Some(EvictionKeepers {
            mirrors: config.mirrors.into_iter().map(|mirror| mirror.name).collect(),
            keys: config.bundles.trusted_keys.iter().map(TrustedKey::id).collect(),
        }))
    }

    /// The store, which must exist.
    pub(super) fn open(&self) -> Result<Arc<ObjectStorage>, CommandFailure> {
        open_existing(&self.load()?)
    }
}

/// Refuses a bundle's folder, given by `flag`, that lies in a folder of the storage, or has one in it: each would take the other's files
/// for its own.
pub(super) fn apart(storage: &Storage, flag: &str, folder: &Path) -> Result<(), CommandFailure> {
    let own = match &storage.url {
        Location::File(own) => Some(own),
        Location::S3 { .. } => Some(&storage.tier),
        Location::Memory => None,
    };
    for own in own.into_iter().chain(&storage.scratch) {
        let [near, far] = [resolved(folder), resolved(own)];
        if near.starts_with(&far) || far.starts_with(&near) {
            let (folder, own) = (folder.display(), own.display());
            let text = format!(
                "{flag} {folder}: expected a folder that is not in the storage's {own}, nor above it"
            );
            return Err(super::usage(&text));
        }
    }
    Ok(())
}

/// `path` without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|known| {
        let rest = path.strip_prefix(known).ok()?;
        Some(known.canonicalize().ok()?.join(rest))
    });
    // `join` with nothing ends in a slash.
    real.map_or(path, |real| real.components().collect())
}

/// The store that `storage` names, created if it does not exist.
pub(super) fn open(storage: &Storage) -> Result<Arc<ObjectStorage>, CommandFailure> {
    app::kept_store(storage).map_err(|error| match error {
        AppError::NothingKept => super::usage(&error.to_string()),
        error => super::fail(&error),
    })
}

/// The store that `storage` names. If it does not exist, the path is probably wrong.
pub(super) fn open_existing(storage: &Storage) -> Result<Arc<ObjectStorage>, CommandFailure> {
    match &storage.url {
        Location::File(folder) if !folder.is_dir() => {
            let text = "storage.url: expected the folder that a proxy keeps things in, found none at";
            Err(super::usage(&format!("{text} {}", folder.display())))
        }
        Location::File(_) | Location::Memory | Location::S3 { .. } => open(storage),
    }
}
