//! From a file tree to a reproducible `.tar.gz` and its integrity.
//!
//! Owns the container: one tree packs to the same bytes on every machine. Must not know what the files say.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, Header};

use super::sample::FileSpec;
use crate::archive::TreeHasher;
use crate::domain::Integrity;

/// Files by path; the map's order is the byte order in which a tree is hashed.
pub(super) type Tree = BTreeMap<String, FileSpec>;

/// The tree's digest.
pub(super) fn integrity(tree: &Tree) -> Integrity {
    let mut hasher = TreeHasher::new();
    for (path, file) in tree {
        hasher.file(path, file.executable, file.content.len() as u64);
        hasher.content(file.content.as_bytes());
    }
    hasher.finish()
}

/// The tree as a gzipped tar, without owners, times or anything else that differs from run to run.
pub(super) fn pack(tree: &Tree) -> io::Result<Bytes> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, file) in tree {
        let mut header = Header::new_ustar();
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_size(file.content.len() as u64);
        header.set_mtime(0);
        archive.append_data(&mut header, path, file.content.as_bytes())?;
    }
    Ok(archive.into_inner()?.finish()?.into())
}
