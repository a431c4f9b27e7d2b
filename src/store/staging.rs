//! Where files are staged: a directory of this process's own, which others can tell from one whose process is gone.
//!
//! The directory is locked as long as the process lives, however it ends. So what a crash left is swept at once, and
//! what another process beside this one is writing never is. Owns that. Must not know what is staged.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::Staged;

/// A directory that processes stage in, each in a directory of its own below it.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    own: Mutex<Option<Arc<Own>>>,
}

/// This process's own directory, made when it is first needed, gone with the value.
#[derive(Debug)]
struct Own {
    directory: PathBuf,
    /// Locked; the system unlocks it when the process ends.
    _lock: File,
}

impl Staging {
    /// Stages below `root`, which is made when it is needed.
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root, own: Mutex::new(None) }
    }

    /// A new file.
    pub(super) fn file(&self) -> io::Result<Staged> {
        Staged::new(&self.own()?.directory)
    }

    fn own(&self) -> io::Result<Arc<Own>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match &*own {
            Some(own) if own.directory.is_dir() => Ok(Arc::clone(own)),
            _ => Ok(Arc::clone(own.insert(Arc::new(Own::below(&self.root)?)))),
        }
    }

    /// Removes the directories of processes that are no more. Blocks: for threads that may.
    pub(super) fn sweep(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return warn!(staging = %self.root.display(), %error, "could not list staged files"),
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if own.as_ref().is_some_and(|own| own.directory == path) {
                continue;
            }
            match sweep_one(&path) {
                Ok(true) => {
                    info!(path = %path.display(), "what a process that is gone had staged is removed")
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(path = %path.display(), %error, "could not remove what is left of a process")
                }
            }
        }
    }
}

impl Own {
    fn below(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        loop {
            let directory = tempfile::Builder::new().prefix("run-").tempdir_in(root)?;
            let lock = File::open(directory.path())?;
            lock.lock()?;
            // Another process may have swept it before it was locked.
            if directory.path().is_dir() {
                return Ok(Self { directory: directory.keep(), _lock: lock });
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // One that still holds files stays for the next sweep.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Whether there was something, and nobody's.
fn sweep_one(path: &Path) -> io::Result<bool> {
    let lock = File::open(path)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_nobodys_is_swept_and_what_is_somebodys_is_not() {
        let root = TempDir::new().unwrap();
        let staging = root.path().join("staging");
        let (other, dead) = (Staging::below(staging.clone()), Staging::below(staging.clone()));
        let mut written = other.file().unwrap();
        let left = dead.file().unwrap();
        // A process that was killed removes nothing and holds no lock.
        let mut left = left.file();
        left.disable_cleanup(true);
        drop((left, dead));
        fs::write(staging.join("a file of an earlier version"), "x").unwrap();

        let own = Staging::below(staging.clone());
        let mine = own.file().unwrap();
        own.sweep();
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 2);
        written.write_all(b"still there").unwrap();
        assert!(mine.path().exists() && written.path().exists());

        drop((mine, own, written, other));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "who ends in good order leaves nothing");
    }

    #[test]
    fn a_directory_that_went_away_is_made_again() {
        let root = TempDir::new().unwrap();
        let staging = Staging::below(root.path().join("staging"));
        drop(staging.file().unwrap());
        fs::remove_dir_all(root.path().join("staging")).unwrap();
        assert!(staging.file().unwrap().path().exists());
    }
}
