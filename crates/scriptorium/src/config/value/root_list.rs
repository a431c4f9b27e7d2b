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
    /// Or why it cannot be used; the check of the configuration reports it.
    roots: Result<Arc<[Root]>, String>,
}

impl RootListFile {
    /// Reads the file at `path`.
    #[must_use]
    pub(crate) fn read(path: PathBuf) -> Self {
        let roots = read(&path).map(Arc::from);
        Self { path, roots }
    }

    /// The path of the file.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The roots in the file.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn roots(&self) -> Result<&[Root], &str> {
        self.roots.as_deref().map_err(String::as_str)
    }
}

fn read(path: &Path) -> Result<Vec<Root>, String> {
    let text = read_text(path, LONGEST)?;
    parse_root_list(&text).map_err(|invalid| invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_value_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.txt");
        assert!(RootListFile::read(path.clone()).roots().is_err());
        std::fs::write(&path, "lint # ours\n\n@acme/*\n").unwrap();
        let one = RootListFile::read(path.clone());
        assert_eq!(one.roots().unwrap().iter().map(Root::as_str).collect::<Vec<_>>(), ["lint", "@acme/*"]);
        assert_eq!(RootListFile::read(path.clone()), one);
        std::fs::write(&path, "lint\nlint@latest\n").unwrap();
        let other = RootListFile::read(path);
        assert!(other != one && other.roots().unwrap_err().starts_with("line 2: "), "{other:?}");
    }
}
