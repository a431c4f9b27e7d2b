//! The folder in which a storage stages files, with a folder of its own for each process.
//!
//! A process locks its folder as long as it lives, however it ends. So the files of a crashed process are swept at
//! once, and those of another running process are never swept. Only folders that a process made like that are swept: they
//! have a name as given here, belong to our user, and are reached by handle from a private folder. Nothing else is
//! touched and no link is followed. Owns that. Must not know what is staged.

use std::ffi::{OsStr, OsString};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{info, warn};

use super::space::{Tally, pages};
use crate::private::PrivateFolder;

mod own;

pub(super) use own::Draft;
use own::{ProcessFolder, is_process_folder};

/// The folder's name inside a storage.
pub(crate) const STAGING: &str = "staging";

#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    own: Mutex<Option<Arc<ProcessFolder>>>,
}

/// The files that one process staged and did not commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StagedBatch {
    /// The process's folder, inside the storage.
    pub(crate) path: String,
    pub(crate) tally: Tally,
    /// Whether the process is gone, so that nobody needs the files.
    pub(crate) abandoned: bool,
}

impl Staging {
    /// Stages files in `root`, which is made when it is needed.
    pub(super) fn below(root: PathBuf) -> Self {
        Self { root, own: Mutex::new(None) }
    }

    /// Makes a new, empty file.
    pub(super) fn draft(&self) -> io::Result<Draft> {
        Draft::new(self.own()?)
    }

    /// The path of this process's folder inside the storage.
    pub(super) fn own_path(&self) -> io::Result<String> {
        Ok(inside(self.own()?.path()))
    }

    fn own(&self) -> io::Result<Arc<ProcessFolder>> {
        let mut own = self.own.lock();
        match &*own {
            Some(own) if own.is_in_place() => Ok(Arc::clone(own)),
            _ => {
                let made = ProcessFolder::below(PrivateFolder::open(&self.root)?)?;
                Ok(Arc::clone(own.insert(Arc::new(made))))
            }
        }
    }

    /// The staging folder, and the names of the folders of other processes in it.
    fn others(&self) -> io::Result<Option<(PrivateFolder, Vec<OsString>)>> {
        let own = self.own.lock().clone();
        let Some(root) = PrivateFolder::existing(&self.root)? else { return Ok(None) };
        let mut names = root.names()?;
        names.retain(|name| is_process_folder(name) && own.as_ref().is_none_or(|own| own.name != *name));
        Ok(Some((root, names)))
    }

    /// The files of all other processes. Blocks: call it on a thread that may block.
    pub(super) fn batches(&self) -> io::Result<Vec<StagedBatch>> {
        let Some((root, names)) = self.others()? else { return Ok(Vec::new()) };
        let mut batches = Vec::new();
        for name in names {
            let Some(folder) = made_here(&root, &name)? else { continue };
            // Removing an empty folder frees nothing; the next start sweeps it.
            batches.extend(if_there(batch(&folder))?.filter(|batch| batch.tally.values > 0));
        }
        Ok(batches)
    }

    /// Removes the folders of processes that are gone, on a thread that may block.
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
                    info!(path = %path.display(), "removed the staged files of a process that is gone")
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(path = %path.display(), %error, "could not remove the staged files of a process that is gone");
                }
            }
        }
    }
}

/// The folder of a process; `None` where there is something else, which is left alone.
fn made_here(root: &PrivateFolder, name: &OsStr) -> io::Result<Option<PrivateFolder>> {
    match root.folder(name) {
        Err(error) if error.is_planted() => {
            warn!(%error, "the staging folder contains something that is not ours; it is left alone");
            Ok(None)
        }
        opened => if_there(opened.map_err(io::Error::from)),
    }
}

fn batch(folder: &PrivateFolder) -> io::Result<StagedBatch> {
    // A shared lock, so that two processes that look do not take each other for the owner.
    let abandoned = match folder.handle().try_lock_shared() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let mut tally = Tally::default();
    for file in folder.names()? {
        if let Some(length) = if_there(folder.length(&file))? {
            tally.add(Tally { values: 1, bytes: pages(length) });
        }
    }
    Ok(StagedBatch { path: inside(folder.path()), tally, abandoned })
}

/// The path inside the storage of a file or folder in the staging folder.
pub(super) fn inside(path: &Path) -> String {
    format!("{STAGING}/{}", path.file_name().unwrap_or_default().display())
}

/// `None` for something that was removed meanwhile.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Returns whether the folder was there and its process gone.
fn sweep_one(root: &PrivateFolder, name: &OsStr) -> io::Result<bool> {
    let Some(folder) = made_here(root, name)? else { return Ok(false) };
    match folder.handle().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    for file in folder.names()? {
        if_there(folder.remove(&file))?;
    }
    if_there(root.remove_folder(name))?;
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
        let mut written = other.draft().unwrap();
        // A process that was killed removes nothing and holds no lock.
        let mut left = dead.draft().unwrap();
        left.moved();
        drop((left, dead));

        let own = Staging::below(staging.clone());
        let mine = own.draft().unwrap();
        written.file.write_all(&[1; 5000]).unwrap();
        let mut seen: Vec<_> = own
            .batches()
            .unwrap()
            .into_iter()
            .map(|StagedBatch { tally: Tally { values, bytes }, abandoned, .. }| (abandoned, values, bytes))
            .collect();
        seen.sort_unstable();
        let (theirs, nobodys) = ((false, 1, 8192), (true, 1, 0));
        assert_eq!(seen, [theirs, nobodys], "and not its own");
        own.sweep_here();
        assert!(own.batches().unwrap().iter().all(|batch| !batch.abandoned));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 2);
        written.file.write_all(b"still there").unwrap();
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
        drop(own.draft().unwrap());
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
        assert!(linked.draft().is_err() && linked.batches().is_err());
        assert!(victim.join("precious").exists() && victim.join("run-inside").exists());
    }

    #[test]
    fn a_directory_that_went_away_is_made_again() {
        let root = TempDir::new().unwrap();
        let staging = Staging::below(root.path().join("staging"));
        drop(staging.draft().unwrap());
        fs::remove_dir_all(root.path().join("staging")).unwrap();
        assert!(staging.draft().unwrap().path().exists());
    }
}
