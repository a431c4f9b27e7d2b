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
    "user {user} may not {verb} {}, which belongs to user {owner} and has mode {mode:03o}: {}",
    path.display(), self.remedy()
)]
pub(crate) struct MissingRight {
    user: u32,
    verb: &'static str,
    path: PathBuf,
    owner: u32,
    mode: u32,
    /// What is to be kept files in; `path` or below it.
    folder: PathBuf,
}

impl MissingRight {
    /// A folder above is everybody's, such as /var/lib, and is given to nobody.
    fn remedy(&self) -> String {
        let Self { user, verb, path, owner, folder, .. } = self;
        let (folder, is_itself) = (folder.display(), path == folder);
        match *verb {
            _ if is_itself => format!("run as user {owner}, or give it away: `chown {user} {folder}`"),
            ENTER => format!("run as user {owner}, or name a folder elsewhere than {folder}"),
            _ => format!(
                "as root, make the folder: `install -d -o {user} -m 700 {folder}`; or name another one"
            ),
        }
    }
}

const ENTER: &str = "enter";
const WRITE: &str = "write in";

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
            folder: folder.to_owned(),
        };
        if !may(&above, Access::EXEC_OK) {
            return Some(here(ENTER));
        }
        lowest = Some(here(WRITE));
    }
    lowest.filter(|lowest| !may(&lowest.path, Access::WRITE_OK))
}

/// As the effective user, who is the one that makes files.
fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_give_a_folder_away_that_is_above() {
        let right = |verb, path: &str| MissingRight {
            user: 65_534,
            verb,
            path: path.into(),
            owner: 0,
            mode: 0o755,
            folder: "/var/lib/scriptorium".into(),
        };
        let above = right(WRITE, "/var/lib").to_string();
        assert!(above.contains("`install -d -o 65534 -m 700 /var/lib/scriptorium`"), "{above}");
        let closed = right(ENTER, "/var").to_string();
        assert!(closed.contains("name a folder elsewhere"), "{closed}");
        assert!(!above.contains("chown") && !closed.contains("chown"), "{above}; {closed}");
        let itself = right(WRITE, "/var/lib/scriptorium").to_string();
        assert!(itself.contains("`chown 65534 /var/lib/scriptorium`"), "{itself}");
    }
}
