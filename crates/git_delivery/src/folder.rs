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
        let place = self.path.join(staged.name());
        match fs::rename(staged.folder(), &place) {
            Ok(()) => {}
            // The same bytes came before, and are as good.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(FetchError::Storage(error)),
        }
        self.shrink(&place, &staged.folder().with_extension("removed")).map_err(FetchError::Storage)
    }

    /// Removes packs, by way of `staging`, which does not exist.
    fn shrink(&self, newest: &Path, staging: &Path) -> io::Result<()> {
        let mut packs = self.packs()?;
        packs
            .sort_unstable_by(|one, other| (other.folder == newest, other).cmp(&(one.folder == newest, one)));
        let mut bytes: u64 = 0;
        for (place, KeptPack { folder, bytes: more, .. }) in packs.into_iter().enumerate() {
            bytes = bytes.saturating_add(more);
            if place > 0 && (place >= MAX_PACKS || bytes > self.max_bytes) {
                tolerate_absence(fs::rename(&folder, staging))?;
                tolerate_absence(fs::remove_dir_all(staging))?;
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

/// Another process may have removed the same pack.
fn tolerate_absence(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
