//! One run of a mirror at a time, also among the processes of a machine; and whatever else only one of them may do.
//!
//! Owns the locks: folders that the system unlocks when their process ends. Must not know what a run does.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use crate::private::PrivateFolder;

/// Where the locks of mirrors are.
#[derive(Debug, Clone)]
pub(crate) struct MirrorLocks(PathBuf);

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct MirrorLock {
    _held: PrivateFolder,
}

impl MirrorLocks {
    /// Locks in `folder`, which is made if it is missing.
    pub(crate) fn below(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The lock of the mirror `name`; none while another process has it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn take(&self, name: &str) -> io::Result<Option<MirrorLock>> {
        let folder = self.folder(name)?;
        match folder.handle().try_lock() {
            Ok(()) => Ok(Some(MirrorLock { _held: folder })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The lock `name` once no other process has it, for work that takes a moment. Blocks.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn wait(&self, name: &str) -> io::Result<MirrorLock> {
        let folder = self.folder(name)?;
        folder.handle().lock()?;
        Ok(MirrorLock { _held: folder })
    }

    fn folder(&self, name: &str) -> io::Result<PrivateFolder> {
        let above = PrivateFolder::open(&self.0)?;
        let name = OsStr::new(name);
        Ok(match above.make_folder(name) {
            Ok(made) => made,
            Err(_) => above.folder(name)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_locked_once_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (|| MirrorLocks::below(folder.path().join("locks")), "other");
        let held = one().take("ci").unwrap().unwrap();
        assert!(one().take("ci").unwrap().is_none());
        assert!(one().take(other).unwrap().is_some());
        drop(held);
        assert!(one().take("ci").unwrap().is_some());
    }
}
