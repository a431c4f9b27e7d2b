//! The digest of a normalized file tree: a release's `integrity`.
//!
//! Owns the record format (specification, "Integrity"). Its caller passes the files in path order, and exactly the announced
//! number of bytes. Must not know archives: a Git checkout has the same digest.

use sha2::Digest;

use super::{Integrity, Sha256};

/// Hashes one record a file: `file <path> <x> <len>\n<content>`.
#[derive(Default)]
pub struct TreeHasher(sha2::Sha256);

impl TreeHasher {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the record of the next file in path order; `len` bytes of [`content`](Self::content) follow.
    pub fn file(&mut self, path: &str, executable: bool, len: u64) {
        let header = format!("file {path} {} {len}\n", u8::from(executable));
        self.0.update(header.as_bytes());
    }

    /// Adds the next bytes of the file opened last.
    pub fn content(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The tree's integrity.
    #[must_use]
    pub fn finish(self) -> Integrity {
        Integrity::new(Sha256::new(self.0.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_specification() {
        let digest = |files: &[(&str, bool, &str)]| {
            let mut hasher = TreeHasher::new();
            for (path, executable, content) in files {
                hasher.file(path, *executable, content.len() as u64);
                hasher.content(content.as_bytes());
            }
            hasher.finish().digest().hex()
        };
        for (files, expected) in [
            (
                &[("volume.toml", false, "hello")][..],
                "f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1",
            ),
            (
                &[("agents/review.md", false, "agent\n"), ("volume.toml", false, "hello")],
                "193847dcdd04ffbf2a26185b54406001b52b8e6e2ce3102b638534fccbfd5c1c",
            ),
            (
                &[("scripts/run.sh", true, "#!/bin/sh\necho ok\n")],
                "ae0d7f0da8f1ac127af0abd7ff409db01f7eef202c09f7b7d8ce051b81dea55f",
            ),
            (&[("empty.txt", false, "")], "9df98c2ebc1150e8de1da65f92d243f2bcfd30e4f013c30fe2ef95f10bc28190"),
            (
                &[("docs/unicode.txt", false, "안녕")],
                "2739cda93a5d9e9ef1440e4388c90a7909b53900115ea53989725d493950e2d0",
            ),
        ] {
            assert_eq!(digest(files), expected, "{files:?}");
        }
    }
}
