//! Which right this process lacks on a folder, in words for whoever can grant it.
//!
//! Owns the walk from the root to the folder. Must not know what the folder is for.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "user {user} may not {verb} {}, which belongs to user {owner} and has mode {mode:03o}: run as that user, or \
     `chown {user} {}`",
    path.display(), path.display()
)]
pub(crate) struct MissingRight {
    user: u32,
    verb: &'static str,
    path: PathBuf,
    owner: u32,
    mode: u32,
}

/// The right that is missing to keep files in `folder`, which may be missing itself and is then made. A link is followed.
pub(crate) fn missing(folder: &Path) -> Option<MissingRight> {
    let mut above = PathBuf::new();
    let mut lowest = None;
    for part in folder.components() {
        above.push(part);
        let Ok(metadata) = above.metadata() else { break };
        if !metadata.is_dir() {
            break;
        }
        let here = |verb| MissingRight {
            user: geteuid().as_raw(),
            verb,
            path: above.clone(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        };
        if !may(&above, Access::EXEC_OK) {
            return Some(here("enter"));
        }
        lowest = Some(here("write in"));
    }
    lowest.filter(|lowest| !may(&lowest.path, Access::WRITE_OK))
}

/// As the effective user, who is the one that makes files.
fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}
