//! The folders that nobody but this process may touch: scratch files that do not fit into the storage, and
//! the socket at which listening sockets are handed over.
//!
//! The first choice is below the storage. If the storage is in memory, full or read-only, it is the folder
//! that the service manager made, else the system's temporary folder with the number of the user in the name.
//! Other users can create names in the temporary folder, so a name that somebody else took is skipped there;
//! in any other folder it prevents the start. Owns the choice of these folders. Must not know what they are
//! used for.

use std::env;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::{Config, Location, Storage};
use crate::listen::HandOver;
use crate::private::{PrivateError, PrivateFolder, user};
use crate::store::STAGING;

/// The name of the folder that is made in `storage.scratch`.
const SCRATCH: &str = "scriptorium-scratch";

/// The same for Git repositories.
const GIT: &str = "scriptorium-git";

/// The folders for files that do not fit into the storage, in the order in which they are tried.
///
/// # Errors
/// [`PrivateError`] if another user created one.
pub(super) fn scratch(storage: &Storage) -> Result<Vec<PathBuf>, PrivateError> {
    beside_storage(storage, "scratch", SCRATCH)
}

/// The folders for Git repositories, in the order in which they are tried.
///
/// # Errors
/// [`PrivateError`] if another user created one.
pub(super) fn git(storage: &Storage) -> Result<Vec<PathBuf>, PrivateError> {
    beside_storage(storage, "git", GIT)
}

/// The folders for what is not kept in the storage: `in_scratch` in `storage.scratch`, else `name`.
fn beside_storage(storage: &Storage, name: &str, in_scratch: &str) -> Result<Vec<PathBuf>, PrivateError> {
    if let Some(folder) = &storage.scratch {
        let folder = folder.join(in_scratch);
        not_planted(&folder)?;
        return Ok(vec![folder]);
    }
    let (own, elsewhere) = candidates(storage, name);
    own.iter().try_for_each(|own| not_planted(own))?;
    let elsewhere = match not_planted(&elsewhere) {
        Ok(()) => Some(elsewhere),
        Err(error) => {
            warn!(%error, "the system's temporary folder cannot be used for what is not kept in the storage");
            None
        }
    };
    Ok(own.into_iter().chain(elsewhere).collect())
}

/// Where a new instance takes over the listening sockets.
pub(super) fn hand_over(config: &Config) -> HandOver {
    let (own, elsewhere) = candidates(&config.storage, "run");
    HandOver {
        folders: own.into_iter().chain([elsewhere]).collect(),
        name: format!("upgrade-{}.sock", config.server.listen.port()),
    }
}

/// Where a command beside the proxy stages files for a bucket; the folder with copies belongs to the proxy.
pub(super) fn command(storage: &Storage) -> PathBuf {
    candidates(storage, STAGING).1
}

/// Where the locks of mirrors are.
pub(super) fn locks(storage: &Storage) -> PathBuf {
    let (own, elsewhere) = candidates(storage, "locks");
    own.unwrap_or(elsewhere)
}

/// Refuses a staging folder that another user created.
///
/// # Errors
/// [`PrivateError`] if another user did.
pub(super) fn staging(root: &Path) -> Result<(), PrivateError> {
    not_planted(&root.join(STAGING))
}

/// Why a folder beside the storage prevents the start of a proxy.
pub(crate) fn planted(config: &Config) -> Option<PrivateError> {
    let storage = &config.storage;
    let staged = match &storage.url {
        Location::File(root) => staging(root),
        Location::S3 { .. } => staging(&storage.tier),
        Location::Memory => Ok(()),
    };
    staged.and_then(|()| scratch(storage)).and_then(|_| git(storage)).err()
}

/// The folder below the storage, if the storage has one, and the folder elsewhere.
fn candidates(storage: &Storage, name: &str) -> (Option<PathBuf>, PathBuf) {
    let own = match &storage.url {
        Location::File(root) => Some(root.join(name)),
        Location::S3 { .. } => Some(storage.tier.join(name)),
        Location::Memory => None,
    };
    let service = env::var_os("RUNTIME_DIRECTORY");
    // The variable may list several folders, separated by colons.
    let service =
        service.as_ref().and_then(|listed| env::split_paths(listed).find(|path| path.is_absolute()));
    let elsewhere = match service {
        Some(service) => service.join(name),
        None => env::temp_dir().join(format!("scriptorium-{}-{name}", user())),
    };
    (own, elsewhere)
}

/// Refuses a folder that another user created. A folder that cannot be examined now may be usable later.
fn not_planted(folder: &Path) -> Result<(), PrivateError> {
    match PrivateFolder::existing(folder) {
        Err(error) if error.is_planted() => Err(error),
        Err(error) => {
            warn!(%error, "a private folder cannot be used now");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
