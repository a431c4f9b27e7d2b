//! The folder in which a repository's packs are kept: bounded, and in the form of a bare repository's `objects`.
//!
//! Owns what comes and goes. Each pack holds all of its commits, so any of them can go without harm to the others. A pack is seen by its
//! index, which is renamed into place last and removed first. Must not know servers or what commits hold. Whoever uses it keeps strangers out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::pack::StagedPack;
use crate::{FetchError, GitLimits, GitObjects, ObjectError};

/// The packs of one repository.
#[derive(Debug, Clone)]
pub struct RepositoryFolder {
    path: PathBuf,
    max_bytes: u64,
}

impl RepositoryFolder {
    /// Opens the folder at `path`, or makes it. Its packs have at most `max_bytes` together, except for the last one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(path.join("pack"))?;
        Ok(Self { path: path.to_owned(), max_bytes })
    }

    /// The objects that are there now.
    ///
    /// # Errors
    /// [`ObjectError::Storage`].
    pub fn objects(&self, limits: &GitLimits) -> Result<GitObjects, ObjectError> {
        GitObjects::open(&self.path, limits)
    }

    /// Takes a pack in, and removes the oldest ones beyond the bound.
    pub(crate) fn take(&self, staged: &StagedPack) -> Result<(), FetchError> {
        let place = self.path.join("pack").join(staged.name());
        let index = place.with_extension("idx");
        fs::rename(staged.pack(), place.with_extension("pack")).map_err(FetchError::Storage)?;
        fs::rename(staged.index(), &index).map_err(FetchError::Storage)?;
        self.shrink(&index).map_err(FetchError::Storage)
    }

    fn shrink(&self, newest: &Path) -> io::Result<()> {
        let mut packs = self.packs()?;
        packs.retain(|(.., index)| index != newest);
        packs.sort_unstable();
        let mut bytes: u64 = size(newest)?;
        for (_, size, index) in packs.iter().rev() {
            bytes = bytes.saturating_add(*size);
            if bytes > self.max_bytes {
                fs::remove_file(index)?;
                fs::remove_file(index.with_extension("pack"))?;
            }
        }
        Ok(())
    }

    /// Age, bytes and index of each pack.
    fn packs(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut packs = Vec::new();
        for entry in fs::read_dir(self.path.join("pack"))? {
            let index = entry?.path();
            if index.extension().is_some_and(|extension| extension == "idx") {
                packs.push((fs::metadata(&index)?.modified()?, size(&index)?, index));
            }
        }
        Ok(packs)
    }
}

fn size(index: &Path) -> io::Result<u64> {
    Ok(fs::metadata(index)?.len() + fs::metadata(index.with_extension("pack"))?.len())
}
