//! A file that is being written and belongs to no key yet.
//!
//! Owns the promise that what is not committed is gone when it is dropped. Must not know where a commit
//! takes it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

/// A staged file; dropping it removes it.
#[derive(Debug)]
pub struct Staged(NamedTempFile);

impl Staged {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        tempfile::Builder::new().prefix("staged-").tempfile_in(directory).map(Self)
    }

    /// A second handle that reads from the start.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn reopen(&self) -> io::Result<File> {
        self.0.reopen()
    }

    /// Waits until the medium has the content.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.as_file().sync_all()
    }

    /// Gives up the handle; the path still removes the file when dropped.
    pub(super) fn into_path(self) -> TempPath {
        self.0.into_temp_path()
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
