//! The tree digest of files that come in any order, in bounded memory.
//!
//! The digest wants path order. Most archives of any size come in it, so [`Optimistic`] hashes along and
//! keeps the first contents in memory in case that hope fails; [`Sorting`] keeps them all and gives them in order at
//! the end. Owns that choice. Must not know archives or what the records look like.

use super::profile::FileRecord;
use super::spill::{NewScratch, Spill};
use super::{ArchiveError, TreeHasher};
use crate::domain::Integrity;

/// Takes files one after another, each opened and then filled.
pub(super) trait Files {
    /// Opens the next file.
    fn file(&mut self, path: &str, executable: bool, len: u64);
    /// Adds the next bytes of the file opened last.
    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError>;
}

/// Takes the files of a tree in path order, each opened and then filled.
pub(super) trait InOrder {
    /// Opens the next file; `len` bytes follow.
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError>;
    /// Takes the next bytes of the file opened last.
    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError>;
}

impl InOrder for TreeHasher {
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError> {
        Self::file(self, path, executable, len);
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        Self::content(self, bytes);
        Ok(())
    }
}

/// Keeps every content until the order is known.
pub(super) struct Sorting<'a>(Spill<'a>);

impl<'a> Sorting<'a> {
    /// Keeps up to `window` bytes in memory and more in a scratch file.
    pub(super) fn new(window: usize, scratch: NewScratch<'a>) -> Self {
        Self(Spill::new(window, scratch))
    }

    /// The digest of `files`, which are in path order and say where each content lies.
    pub(super) fn finish(self, files: Vec<(String, FileRecord)>) -> Result<Integrity, ArchiveError> {
        let mut hasher = TreeHasher::new();
        self.give(files, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// Gives `files`, which are in path order and say where each content lies, to `tree`.
    pub(super) fn give(
        self,
        files: Vec<(String, FileRecord)>,
        tree: &mut impl InOrder,
    ) -> Result<(), ArchiveError> {
        let mut contents = self.0.finish()?;
        for (path, FileRecord { executable, offset, len }) in files {
            tree.file(&path, executable, len)?;
            contents.read(offset, len, |bytes| tree.content(bytes))?;
        }
        Ok(())
    }
}

impl Files for Sorting<'_> {
    fn file(&mut self, _path: &str, _executable: bool, _len: u64) {}

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.0.append(bytes)
    }
}

/// Hashes along while files come in path order.
pub(super) enum Optimistic<'a> {
    /// Every file so far came in order.
    InOrder {
        /// Has all of them.
        hasher: TreeHasher,
        /// The path of the file opened last.
        last: String,
        /// Their contents, as long as they fit the window.
        kept: Option<Spill<'a>>,
    },
    /// A file came out of order while everything before it was still at hand.
    Sorting(Sorting<'a>),
    /// A file came out of order too late: the archive has to be read again.
    Lost,
}

impl<'a> Optimistic<'a> {
    /// Can recover from disorder as long as it starts within the first `window` bytes of content.
    pub(super) fn new(window: usize, scratch: NewScratch<'a>) -> Self {
        let kept = Some(Spill::new(window, scratch));
        Self::InOrder { hasher: TreeHasher::new(), last: String::new(), kept }
    }

    /// The digest, or `None` when only [`Sorting`] over a second reading can tell it.
    pub(super) fn finish(
        self,
        files: impl FnOnce() -> Vec<(String, FileRecord)>,
    ) -> Result<Option<Integrity>, ArchiveError> {
        match self {
            Self::InOrder { hasher, .. } => Ok(Some(hasher.finish())),
            Self::Sorting(sorting) => sorting.finish(files()).map(Some),
            Self::Lost => Ok(None),
        }
    }
}

impl Files for Optimistic<'_> {
    fn file(&mut self, path: &str, executable: bool, len: u64) {
        let Self::InOrder { hasher, last, kept } = self else { return };
        if last.as_str() < path {
            hasher.file(path, executable, len);
            path.clone_into(last);
        } else {
            *self = kept.take().map_or(Self::Lost, |spill| Self::Sorting(Sorting(spill)));
        }
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        match self {
            Self::InOrder { hasher, kept, .. } => {
                hasher.content(bytes);
                kept.take_if(|spill| !spill.has_room(bytes));
                kept.as_mut().map_or(Ok(()), |spill| spill.append(bytes))
            }
            Self::Sorting(sorting) => sorting.content(bytes),
            Self::Lost => Ok(()),
        }
    }
}
