//! The folder in which the packs of one repository are kept, within bounds.
//!
//! Owns what comes and goes. Each pack holds all of the commits that were asked for with it, so any pack can go without harm to the others. A pack
//! and its index are a folder together, which one rename shows and one rename hides. So neither a crash nor another process leaves half
//! of one. Must not know servers, or what a commit holds. Whoever uses it keeps strangers out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::pack::{INDEX, PACK, StagedPack};
use crate::{FetchError, GitLimits, GitObjects, ObjectError};

/// The most packs of a repository.
const MAX_PACKS: usize = 64;

/// The packs of one repository.
#[derive(Debug, Clone)]
pub struct RepositoryFolder {
    path: PathBuf,
    max_bytes: u64,
}

/// A pack that is kept. The order is that of age.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct KeptPack {
    since: SystemTime,
    folder: PathBuf,
    bytes: u64,
}

impl RepositoryFolder {
    /// Opens the folder at `path`, or makes it. Its packs are 64 at most, and have at most `max_bytes` together; the last one that came
    /// stays in any case.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), max_bytes })
    }

    /// The objects that are there now. They can be read until the value is dropped, whatever goes meanwhile.
    ///
    /// # Errors
    /// [`ObjectError::Storage`].
    pub fn objects(&self, limits: &GitLimits) -> Result<GitObjects, ObjectError> {
        let packs = self.packs().map_err(ObjectError::Storage)?;
        let indexes: Vec<_> = packs.into_iter().map(|pack| pack.folder.join(INDEX)).collect();
        GitObjects::of(&self.path, &indexes, limits)
    }

    /// Takes a pack in, and removes the oldest ones beyond the bounds.
    pub(crate) fn take(&self, staged: StagedPack) -> Result<(), FetchError> {
        let (place, bin) = (self.path.join(staged.name()), staged.folder().with_extension("removed"));
        // The same bytes may have come before, and may have been damaged since.
        remove(&place, &bin).map_err(FetchError::Storage)?;
        match fs::rename(staged.folder(), &place) {
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            renamed => renamed.map_err(FetchError::Storage)?,
        }
        self.shrink(&place, &bin).map_err(FetchError::Storage)
    }

    /// Removes all packs, because one of them is damaged, by way of the folder `staging`, which is on the same file system.
    ///
    /// # Errors
    /// A pack cannot be removed.
    pub fn clear(&self, staging: &Path) -> io::Result<()> {
        let bin = tempfile::tempdir_in(staging)?;
        self.packs()?.iter().try_for_each(|pack| remove(&pack.folder, &bin.path().join("pack")))
    }

    fn shrink(&self, newest: &Path, bin: &Path) -> io::Result<()> {
        let mut packs = self.packs()?;
        packs
            .sort_unstable_by(|one, other| (other.folder == newest, other).cmp(&(one.folder == newest, one)));
        let mut bytes: u64 = 0;
        for (place, KeptPack { folder, bytes: more, .. }) in packs.into_iter().enumerate() {
            bytes = bytes.saturating_add(more);
            if place > 0 && (place >= MAX_PACKS || bytes > self.max_bytes) {
                remove(&folder, bin)?;
            }
        }
        Ok(())
    }

    fn packs(&self) -> io::Result<Vec<KeptPack>> {
        let mut packs = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let folder = entry?.path();
            // A pack that goes at this moment is not there.
            let (Ok(pack), Ok(index)) = (fs::metadata(folder.join(PACK)), fs::metadata(folder.join(INDEX)))
            else {
                continue;
            };
            packs.push(KeptPack { since: index.modified()?, bytes: pack.len() + index.len(), folder });
        }
        Ok(packs)
    }
}

/// Removes a pack, if it is there, by way of `bin`, which is not.
fn remove(pack: &Path, bin: &Path) -> io::Result<()> {
    match fs::rename(pack, bin) {
        Ok(()) => fs::remove_dir_all(bin),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
