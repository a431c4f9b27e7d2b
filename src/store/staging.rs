//! Where files are staged: a directory of this process's own, which others can tell from one whose process is gone.
//!
//! The directory is locked as long as the process lives, however it ends. So what a crash left is swept at once, and
//! what another process beside this one is writing never is. What is swept was made so: a directory of our own, of a name
//! as we give them, reached by handle from one that is private; nothing else is touched, and no link followed. Owns
//! that. Must not know what is staged.

use std::ffi::{OsStr, OsString};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use super::Staged;
use super::ledger::Tally;
use super::staged::pages;
use crate::private::Private;

mod own;

pub(super) use own::Draft;
use own::{Own, is_run};

/// Its directory inside a storage.
pub const STAGING: &str = "staging";

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

impl Staging {
    /// Stages below `root`, which is made when it is needed.
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root, own: Mutex::new(None) }
    }

    /// A new file.
    pub(super) fn file(&self) -> io::Result<Staged> {
        Ok(Staged::new(Draft::new(self.own()?)?))
    }

    /// The path of this process's own directory inside the storage.
    pub(super) fn own_path(&self) -> io::Result<String> {
        Ok(inside(self.own()?.path()))
    }

    fn own(&self) -> io::Result<Arc<Own>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match &*own {
            Some(own) if own.is_in_place() => Ok(Arc::clone(own)),
            _ => Ok(Arc::clone(own.insert(Arc::new(Own::below(Private::open(&self.root)?)?)))),
        }
    }

    /// The directory, and the names of what processes but this one made in it.
    fn others(&self) -> io::Result<Option<(Private, Vec<OsString>)>> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(root) = Private::existing(&self.root)? else { return Ok(None) };
        let mut names = root.names()?;
        names.retain(|name| is_run(name) && own.as_ref().is_none_or(|own| own.name != *name));
        Ok(Some((root, names)))
    }

    /// What lies here, of every process but this one. Blocks: for threads that may.
    pub(super) fn batches(&self) -> io::Result<Vec<Batch>> {
        let Some((root, names)) = self.others()? else { return Ok(Vec::new()) };
        let mut batches = Vec::new();
        for name in names {
            let Some(folder) = made_here(&root, &name)? else { continue };
            // An empty directory frees nothing; the next start sweeps it.
            batches.extend(there(batch(&folder))?.filter(|batch| batch.tally.values > 0));
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
        let (root, names) = match self.others() {
            Ok(Some(others)) => others,
            Ok(None) => return,
            Err(error) => return warn!(staging = %self.root.display(), %error, "could not list staged files"),
        };
        for name in names {
            let path = root.path().join(&name);
            match sweep_one(&root, &name) {
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

/// The directory of a process; none where there is something else, which is left alone.
fn made_here(root: &Private, name: &OsStr) -> io::Result<Option<Private>> {
    match root.folder(name) {
        Err(error) if error.is_planted() => {
            warn!(%error, "what lies among staged files is not ours; it is left alone");
            Ok(None)
        }
        opened => there(opened.map_err(io::Error::from)),
    }
}

/// What one process staged.
fn batch(folder: &Private) -> io::Result<Batch> {
    // Shared, so that two who look do not take each other for its owner.
    let abandoned = match folder.handle().try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let mut tally = Tally::default();
    for file in folder.names()? {
        if let Some(length) = there(folder.length(&file))? {
            tally.values += 1;
            tally.bytes += pages(length);
        }
    }
    Ok(Batch { path: inside(folder.path()), tally, abandoned })
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
fn sweep_one(root: &Private, name: &OsStr) -> io::Result<bool> {
    let Some(folder) = made_here(root, name)? else { return Ok(false) };
    match folder.handle().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    for file in folder.names()? {
        there(folder.remove(&file))?;
    }
    there(root.remove_folder(name))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{chown, symlink};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_nobodys_is_swept_and_what_is_somebodys_is_not() {
        let root = TempDir::new().unwrap();
        let staging = root.path().join("staging");
        let (other, dead) = (Staging::below(staging.clone()), Staging::below(staging.clone()));
        let mut written = other.file().unwrap();
        // A process that was killed removes nothing and holds no lock.
        let mut left = dead.file().unwrap();
        left.moved();
        drop((left, dead));

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
        let (theirs, nobodys) = ((false, 1, 8192), (true, 1, 0));
        assert_eq!(seen, [theirs, nobodys], "and not its own");
        own.sweep_here();
        assert!(own.batches().unwrap().iter().all(|batch| !batch.abandoned));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 2);
        written.write_all(b"still there").unwrap();
        assert!(mine.path().exists() && written.path().exists());

        drop((mine, own, written, other));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "who ends in good order leaves nothing");
    }

    #[test]
    fn nothing_is_swept_but_what_was_made_here() {
        let home = TempDir::new().unwrap();
        let (staging, victim) = (home.path().join("staging"), home.path().join("victim"));
        fs::create_dir_all(victim.join("run-inside")).unwrap();
        fs::write(victim.join("precious"), "theirs").unwrap();
        let own = Staging::below(staging.clone());
        drop(own.file().unwrap());
        symlink(&victim, staging.join("run-link")).unwrap();
        fs::write(staging.join("run-file"), "x").unwrap();
        fs::create_dir(staging.join("another")).unwrap();
        let gone = staging.join("run-gone");
        fs::create_dir(&gone).unwrap();
        symlink(victim.join("precious"), gone.join("staged-link")).unwrap();
        let mut left = vec!["another", "run-file", "run-link"];
        // Only root can give a folder away.
        if fs::create_dir(staging.join("run-foreign")).is_ok()
            && chown(staging.join("run-foreign"), Some(65_534), None).is_ok()
        {
            left.push("run-foreign");
        }
        own.sweep_here();
        let mut found: Vec<_> = fs::read_dir(&staging)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !own.own_path().unwrap().ends_with(name.as_str()))
            .collect();
        found.sort();
        left.sort_unstable();
        assert_eq!(found, left);
        assert!(victim.join("precious").exists() && victim.join("run-inside").exists());

        // The whole directory may be a link to begin with.
        let linked = Staging::below(home.path().join("linked"));
        symlink(&victim, home.path().join("linked")).unwrap();
        linked.sweep_here();
        assert!(linked.file().is_err() && linked.batches().is_err());
        assert!(victim.join("precious").exists() && victim.join("run-inside").exists());
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
