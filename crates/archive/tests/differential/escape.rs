//! Paths that a reader must never write: beside its folder, above it, or absolute.
//!
//! Owns the targets of hostile paths, and the check of them after each reader.

use std::fs;
use std::path::{Path, PathBuf};

/// An absolute path for archives.
pub(crate) const ABSOLUTE: &[u8] = b"/tmp/scriptorium-escaped/file";

/// A reader's folder, two levels below a folder that no other process writes to.
pub(crate) struct Cell {
    outer: PathBuf,
    inner: PathBuf,
}

impl Cell {
    /// An empty one below `place`.
    pub(crate) fn new(place: &Path) -> Self {
        let (outer, inner) = (place.join("cell"), place.join("cell/b/inner"));
        Self { outer, inner }
    }

    /// An empty folder to unpack into.
    pub(crate) fn emptied(&self) -> &Path {
        if self.outer.exists() {
            fs::remove_dir_all(&self.outer).unwrap();
        }
        fs::create_dir_all(&self.inner).unwrap();
        &self.inner
    }

    /// A file outside that folder, if there is one.
    pub(crate) fn escaped(&self) -> Option<String> {
        let absolute = Path::new("/tmp/scriptorium-escaped");
        if absolute.exists() {
            fs::remove_dir_all(absolute).unwrap();
            return Some(absolute.display().to_string());
        }
        let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
        let above = self.inner.parent().unwrap();
        (count(&self.outer) > 1 || count(above) > 1)
            .then(|| format!("something above {}", self.inner.display()))
    }
}
