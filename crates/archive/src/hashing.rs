//! The tree digest of files that come in any order, in bounded memory.
//!
//! The digest covers files in path order. Most archives have their files in that order, so [`Optimistic`] hashes files as
//! they come, and keeps the first contents in memory for the case that a later file is out of order. [`Sorting`] keeps all
//! contents and passes them on in order at the end. Owns that choice. Must not know archives or the form of the records.

use super::profile::FileRecord;
use super::spill::{NewScratch, Spill};
use super::{ArchiveError, Integrity, TreeHasher};

/// Takes files one after another. Each is opened, then filled.
pub(crate) trait FileSink {
    /// Opens the next file; `len` bytes follow.
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError>;
    /// Takes the next bytes of the file opened last.
    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError>;
}

/// Takes the files in path order.
impl FileSink for TreeHasher {
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError> {
        Self::file(self, path, executable, len);
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        Self::content(self, bytes);
        Ok(())
    }
}

/// Keeps all contents until the order is known.
pub(crate) struct Sorting<'a>(Spill<'a>);

impl<'a> Sorting<'a> {
    /// Keeps up to `window` bytes in memory and more in a scratch file.
    pub(crate) fn new(window: usize, scratch: NewScratch<'a>) -> Self {
        Self(Spill::new(window, scratch))
    }

    /// The digest of `files`, which are in path order.
    pub(crate) fn finish(self, files: Vec<(String, FileRecord)>) -> Result<Integrity, ArchiveError> {
        let mut hasher = TreeHasher::new();
        self.pass_to(files, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// Passes the contents of `files` to `tree`, in the order of `files`: path order.
    pub(crate) fn pass_to(
        self,
        files: Vec<(String, FileRecord)>,
        tree: &mut impl FileSink,
    ) -> Result<(), ArchiveError> {
        let mut contents = self.0.finish()?;
        for (path, FileRecord { executable, offset, len }) in files {
            tree.file(&path, executable, len)?;
            contents.read(offset, len, |bytes| tree.content(bytes))?;
        }
        Ok(())
    }
}

impl FileSink for Sorting<'_> {
    fn file(&mut self, _path: &str, _executable: bool, _len: u64) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.0.append(bytes)
    }
}

/// Hashes files as they come, as long as they come in path order.
pub(crate) enum Optimistic<'a> {
    /// Every file so far came in order.
    InOrder {
        /// Has hashed all of them.
        hasher: TreeHasher,
        /// The path of the file opened last.
        last: String,
        /// Their contents, as long as they fit the window.
        kept: Option<Spill<'a>>,
    },
    /// A file came out of order while all contents before it were still in memory.
    Sorting(Sorting<'a>),
    /// A file came out of order too late: the archive has to be read again.
    Lost,
}

impl<'a> Optimistic<'a> {
    /// Can sort files if the first one out of order comes within the first `window` bytes of content.
    pub(crate) fn new(window: usize, scratch: NewScratch<'a>) -> Self {
        let kept = Some(Spill::new(window, scratch));
        Self::InOrder { hasher: TreeHasher::new(), last: String::new(), kept }
    }

    /// The digest, or `None` if the archive must be read again, into [`Sorting`].
    pub(crate) fn finish(
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

impl FileSink for Optimistic<'_> {
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError> {
        let Self::InOrder { hasher, last, kept } = self else { return Ok(()) };
        if last.as_str() < path {
            hasher.file(path, executable, len);
            path.clone_into(last);
        } else {
            *self = kept.take().map_or(Self::Lost, |spill| Self::Sorting(Sorting(spill)));
        }
        Ok(())
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
