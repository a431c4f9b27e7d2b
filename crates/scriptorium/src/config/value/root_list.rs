//! A file of a mirror's roots, as it was when the configuration was read.
//!
//! A changed file is another value, so that a reload notices. Owns reading the file. Must not know what a root selects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use selection::{Root, parse_root_list};

use super::bounded_file::read_text;

/// The longest list that is read, in bytes: some two hundred thousand names.
const LONGEST: u64 = 8 << 20;

/// The path of a list of roots and its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RootListFile {
    path: PathBuf,
    roots: Arc<[Root]>,
}

impl RootListFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn read(path: PathBuf) -> Result<Self, String> {
        let text = read_text(&path, LONGEST)?;
        let roots = parse_root_list(&text).map_err(|invalid| invalid.to_string())?.into();
        Ok(Self { path, roots })
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The roots in the file.
    pub(crate) fn roots(&self) -> &[Root] {
        &self.roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_value_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.txt");
        assert!(RootListFile::read(path.clone()).is_err());
        std::fs::write(&path, "lint # ours\n\n@acme/*\n").unwrap();
        let one = RootListFile::read(path.clone()).unwrap();
        assert_eq!(one.roots().iter().map(Root::as_str).collect::<Vec<_>>(), ["lint", "@acme/*"]);
        assert_eq!(RootListFile::read(path.clone()), Ok(one));
        std::fs::write(&path, "lint\nlint@latest\n").unwrap();
        let other = RootListFile::read(path).unwrap_err();
        assert!(other.starts_with("line 2: "), "{other}");
    }
}
