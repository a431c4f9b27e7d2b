//! Where this process keeps what nobody else may touch: what the storage has no room for, and the socket at which
//! listeners change hands.
//!
//! First below the storage, which is its own. That may be in memory, full or read-only, so then in the folder that the
//! service manager made for it, else in the system's temporary one, under a name with the number of its user. There
//! anybody may be quicker, so that a name which was taken is passed over; anywhere else it is a reason not to start.
//! Owns these places. Must not know what is done there.

use std::env;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::{Config, Location, Storage};
use crate::listen::Meeting;
use crate::private::{Private, PrivateError, user};
use crate::store::STAGING;

/// The folder that is made where scratch files may lie.
const SCRATCH: &str = "scriptorium-scratch";

/// The folders for what the storage has no room for, in the order in which they are tried.
///
/// # Errors
/// [`PrivateError`] when somebody else prepared one.
pub(super) fn scratch(storage: &Storage) -> Result<Vec<PathBuf>, PrivateError> {
    if let Some(folder) = &storage.scratch {
        let folder = folder.join(SCRATCH);
        not_planted(&folder)?;
        return Ok(vec![folder]);
    }
    let (own, elsewhere) = places(storage, "scratch");
    own.iter().try_for_each(|own| not_planted(own))?;
    let elsewhere = match not_planted(&elsewhere) {
        Ok(()) => Some(elsewhere),
        Err(error) => {
            warn!(%error, "what the storage has no room for cannot lie in the system's temporary folder");
            None
        }
    };
    Ok(own.into_iter().chain(elsewhere).collect())
}

/// Where the listening sockets change hands.
pub(super) fn meeting(config: &Config) -> Meeting {
    let (own, elsewhere) = places(&config.storage, "run");
    Meeting {
        folders: own.into_iter().chain([elsewhere]).collect(),
        name: format!("upgrade-{}.sock", config.server.listen.port()),
    }
}

/// Where a command beside the proxy stages what it sends to a bucket: the folder before it is the proxy's.
pub(super) fn command(storage: &Storage) -> PathBuf {
    places(storage, STAGING).1
}

/// Refuses to stage where somebody else prepared it.
///
/// # Errors
/// [`PrivateError`] when somebody did.
pub(super) fn staging(root: &Path) -> Result<(), PrivateError> {
    not_planted(&root.join(STAGING))
}

/// The place below the storage, and the one for when there is none.
fn places(storage: &Storage, name: &str) -> (Option<PathBuf>, PathBuf) {
    let own = match &storage.url {
        Location::File(root) => Some(root.join(name)),
        Location::S3 { .. } => Some(storage.tier.join(name)),
        Location::Memory => None,
    };
    let service = env::var_os("RUNTIME_DIRECTORY");
    // Several are listed with colons between them.
    let service =
        service.as_ref().and_then(|listed| env::split_paths(listed).find(|path| path.is_absolute()));
    let elsewhere = match service {
        Some(service) => service.join(name),
        None => env::temp_dir().join(format!("scriptorium-{}-{name}", user())),
    };
    (own, elsewhere)
}

/// What cannot be looked at now may be usable when it is needed.
fn not_planted(folder: &Path) -> Result<(), PrivateError> {
    match Private::existing(folder) {
        Err(error) if error.is_planted() => Err(error),
        Err(error) => {
            warn!(%error, "a folder of this process's own cannot be used now");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
