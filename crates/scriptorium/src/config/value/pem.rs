//! A file of certificates, or of a private key, as it was when the configuration was read.
//!
//! A changed file is another value, so that a reload notices. Owns reading the file. Must not know what is in
//! it, and shows nothing of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bounded_file::read_bytes;

/// The longest file that is read, in bytes: all authorities of a system are some hundred thousand.
const LONGEST: u64 = 16 << 20;

/// The path of a PEM file and its contents.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PemFile {
    path: PathBuf,
    /// Or why it cannot be read; the check of the configuration reports it.
    contents: Result<Arc<[u8]>, String>,
}

impl PemFile {
    /// Reads the file at `path`.
    #[must_use]
    pub(crate) fn read(path: PathBuf) -> Self {
        let contents = read_bytes(&path, LONGEST).map(Arc::from);
        Self { path, contents }
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents of the file.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(crate) fn contents(&self) -> Result<&[u8], &str> {
        self.contents.as_deref().map_err(String::as_str)
    }
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PemFile").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_value_and_none_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let missing = PemFile::read(path.clone());
        assert!(missing.contents().is_err());
        std::fs::write(&path, "secret-key").unwrap();
        let (one, same) = (PemFile::read(path.clone()), PemFile::read(path.clone()));
        assert_eq!(one, same);
        assert!(one != missing && !format!("{one:?}").contains("secret-key"));
        std::fs::write(&path, "another").unwrap();
        assert_ne!(PemFile::read(path), one);
    }
}
