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
    "user {user} may not {verb} {}, which belongs to user {owner} and has mode {mode:03o}: {remedy}",
    path.display()
)]
pub(crate) struct MissingRight {
    user: u32,
    verb: &'static str,
    path: PathBuf,
    owner: u32,
    mode: u32,
    remedy: String,
}

/// What gives `user` a right on `folder`. What lies above it belongs to others, so its owner is never changed.
fn remedy(user: u32, folder: &Path, lacking: &Path, access: Access) -> String {
    let named = folder.display();
    if lacking == folder {
        format!("run as that user, or `chown {user} {named}`")
    } else if access == Access::EXEC_OK {
        "run as that user, or name a folder elsewhere".to_owned()
    } else {
        format!("make the folder for this user: `install -d -o {user} {named}`")
    }
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
        let user = geteuid().as_raw();
        let here = |verb, access| MissingRight {
            user,
            verb,
            path: above.clone(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
            remedy: remedy(user, folder, &above, access),
        };
        if !may(&above, Access::EXEC_OK) {
            return Some(here("enter", Access::EXEC_OK));
        }
        lowest = Some(here("write in", Access::WRITE_OK));
    }
    lowest.filter(|lowest| !may(&lowest.path, Access::WRITE_OK))
}

/// What is in the place of `folder`, or of one above it, and is no folder: a file, or a link to nothing or to a file.
pub(crate) fn obstacle(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|above| above.symlink_metadata().is_ok()).filter(|above| !above.is_dir())
}

/// As the effective user, who is the one that makes files.
fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_the_named_folder_is_changed() {
        let named = Path::new("/var/lib/scriptorium");
        let remedy = |lacking, access| remedy(7, named, Path::new(lacking), access);
        assert!(remedy("/var/lib/scriptorium", Access::WRITE_OK).contains("`chown 7 /var/lib/scriptorium`"));
        let make = remedy("/var/lib", Access::WRITE_OK);
        assert_eq!(make, "make the folder for this user: `install -d -o 7 /var/lib/scriptorium`");
        assert!(!remedy("/var", Access::EXEC_OK).contains("chown"));
    }
}
