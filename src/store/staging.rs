//! Where files are staged: a directory of this process's own, which others can tell from one whose process is gone.
//!
//! The directory is locked as long as the process lives, however it ends. So what a crash left is swept at once, and
//! what another process beside this one is writing never is. Owns that. Must not know what is staged.

use std::fs::{self, DirEntry, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::Staged;
use super::ledger::Tally;
use super::staged::pages;

/// Its directory inside a storage.
pub(super) const STAGING: &str = "staging";

/// A directory that processes stage in, each in a directory of its own below it.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    own: Mutex<Option<Arc<Own>>>,
}

/// What one process staged and did not commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where it lies, inside the storage.
    pub path: String,
    /// Its files, and the bytes they take of the disk.
    pub tally: Tally,
    /// Whether the process is gone, so that nobody misses it.
    pub abandoned: bool,
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

    /// The path of this process's own directory inside the storage.
    pub(super) fn own_path(&self) -> io::Result<String> {
        Ok(inside(&self.own()?.directory))
    }

    fn own(&self) -> io::Result<Arc<Own>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match &*own {
            Some(own) if own.directory.is_dir() => Ok(Arc::clone(own)),
            _ => Ok(Arc::clone(own.insert(Arc::new(Own::below(&self.root)?)))),
        }
    }

    /// What lies here, of every process but this one. Blocks: for threads that may.
    pub(super) fn batches(&self) -> io::Result<Vec<Batch>> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut batches = Vec::new();
        for entry in entries {
            let entry = entry?;
            if own.as_ref().is_none_or(|own| own.directory != entry.path()) {
                // An empty directory frees nothing; the next start sweeps it.
                batches.extend(there(batch(&entry))?.filter(|batch| batch.tally.values > 0));
            }
        }
        Ok(batches)
    }

    /// Removes the directories of processes that are no more, on a thread that may block.
    pub(super) async fn sweep(self: &Arc<Self>) {
        let staging = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || staging.sweep_here()).await {
            warn!(%error, "the sweep of staged files died");
        }
    }

    fn sweep_here(&self) {
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

/// What lies at one place below the root.
fn batch(entry: &DirEntry) -> io::Result<Batch> {
    let path = entry.path();
    // Shared, so that two who look do not take each other for its owner.
    let abandoned = match File::open(&path)?.try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let mut tally = Tally::default();
    let mut count = |file: &DirEntry| {
        if let Some(metadata) = there(file.metadata())? {
            tally.values += 1;
            tally.bytes += pages(metadata.len());
        }
        io::Result::Ok(())
    };
    if path.is_dir() {
        // Files lie side by side.
        fs::read_dir(&path)?.try_for_each(|file| count(&file?))?;
    } else {
        count(entry)?;
    }
    Ok(Batch { path: inside(&path), tally, abandoned })
}

/// The path inside the storage of what lies below the root.
pub(super) fn inside(path: &Path) -> String {
    format!("{STAGING}/{}", path.file_name().unwrap_or_default().display())
}

/// What went away meanwhile is nothing.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
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
        written.write_all(&[1; 5000]).unwrap();
        let mut seen: Vec<_> = own
            .batches()
            .unwrap()
            .into_iter()
            .map(|Batch { tally: Tally { values, bytes }, abandoned, .. }| (abandoned, values, bytes))
            .collect();
        seen.sort_unstable();
        let (theirs, nobodys, odd) = ((false, 1, 8192), (true, 1, 0), (true, 1, 4096));
        assert_eq!(seen, [theirs, nobodys, odd], "and not its own");
        own.sweep_here();
        assert!(own.batches().unwrap().iter().all(|batch| !batch.abandoned));
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
