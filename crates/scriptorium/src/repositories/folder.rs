//! The folder in which this process keeps repositories.
//!
//! It belongs to this process alone, which locks it while it lives, and is made when it is needed first. The folders of processes that are gone
//! are removed then. What it holds is a cache: archives are in the store. Owns that. Must not know what is in a repository.

use std::ffi::OsString;
use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tracing::warn;

use crate::private::PrivateFolder;

/// What the names of the folders of processes begin with.
const RUN: &str = "run-";

/// The folder of this process, at the first place where one can be made.
#[derive(Debug)]
pub(crate) struct GitFolder {
    places: Vec<PathBuf>,
    own: Mutex<Option<OwnFolder>>,
}

/// A locked folder, removed on drop.
#[derive(Debug)]
struct OwnFolder(PrivateFolder);

impl GitFolder {
    /// A folder in the first of `places` that takes one.
    pub(crate) fn in_one_of(places: Vec<PathBuf>) -> Self {
        Self { places, own: Mutex::default() }
    }

    /// Its path. Blocks.
    pub(super) fn own(&self) -> io::Result<PathBuf> {
        let mut own = self.own.lock();
        if let Some(OwnFolder(folder)) = own.as_ref().filter(|own| own.0.is_in_place()) {
            return Ok(folder.path().to_owned());
        }
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for place in &self.places {
            match made(place) {
                Ok(folder) => {
                    let path = folder.0.path().to_owned();
                    *own = Some(folder);
                    return Ok(path);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn made(place: &Path) -> io::Result<OwnFolder> {
    let above = PrivateFolder::open(place)?;
    for name in above.names()?.iter().filter(|name| name.to_string_lossy().starts_with(RUN)) {
        if let Err(error) = sweep(&above, name) {
            warn!(%error, place = %place.display(), "what a process left of Git repositories cannot be removed");
        }
    }
    loop {
        let folder = above.make_folder(&OsString::from(format!("{RUN}{:016x}", fastrand::u64(..))))?;
        folder.handle().lock()?;
        // Another process may have swept it before it was locked.
        if folder.is_in_place() {
            return Ok(OwnFolder(folder));
        }
    }
}

/// Removes the folder of a process that is gone.
fn sweep(above: &PrivateFolder, name: &OsString) -> io::Result<()> {
    let folder = above.folder(name)?;
    match folder.handle().try_lock() {
        Ok(()) => fs::remove_dir_all(folder.path()),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next process.
        let _ = fs::remove_dir_all(self.0.path());
    }
}

/// The bytes of the files below `folder`. What goes meanwhile does not count.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_what_a_living_one_has_stays() {
        let root = TempDir::new().unwrap();
        let (place, nowhere) = (root.path().join("git"), PathBuf::from("/proc/no/such/place"));
        let living = GitFolder::in_one_of(vec![nowhere, place.clone()]);
        let theirs = living.own().unwrap();
        fs::write(theirs.join("pack"), [0; 5000]).unwrap();
        let dead = place.join("run-dead");
        fs::create_dir_all(dead.join("repository")).unwrap();
        let other = place.join("else");
        fs::create_dir(&other).unwrap();

        let own = GitFolder::in_one_of(vec![place.clone()]);
        let ours = own.own().unwrap();
        assert_eq!(own.own().unwrap(), ours, "it is made once");
        assert!(theirs.join("pack").exists() && other.exists() && !dead.exists());
        assert_eq!(bytes_below(&theirs), 5000);
        fs::remove_dir_all(&ours).unwrap();
        assert!(own.own().unwrap().exists(), "it is made again");
        drop((own, living));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "what is not ours");
        assert!(GitFolder::in_one_of(Vec::new()).own().is_err());
    }
}
