//! Archives and their tree digests, written from the protocol's text alone and free of every check,
//! so that what no packer would make can be made here.

use std::io::{self, Read, Write};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// One member of an archive.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: EntryType,
    pub(crate) target: String,
    pub(crate) executable: bool,
    pub(crate) content: Vec<u8>,
}

impl Entry {
    pub(crate) fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        let (path, content) = (path.to_owned(), content.into());
        Self { path, kind: EntryType::Regular, target: String::new(), executable: false, content }
    }

    pub(crate) fn script(path: &str, content: &str) -> Self {
        Self { executable: true, ..Self::file(path, content) }
    }

    pub(crate) fn special(path: &str, kind: EntryType, target: &str) -> Self {
        Self { kind, target: target.to_owned(), ..Self::file(path, "") }
    }

    fn header(&self) -> Header {
        self.header_of(self.content.len() as u64)
    }

    /// Its header, had it so much content.
    pub(super) fn header_of(&self, size: u64) -> Header {
        let mut header = self.unsealed_header();
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn unsealed_header(&self) -> Header {
        let mut header = Header::new_ustar();
        let fields = header.as_old_mut();
        fields.name[..self.path.len()].copy_from_slice(self.path.as_bytes());
        fields.linkname[..self.target.len()].copy_from_slice(self.target.as_bytes());
        header.set_mode(if self.executable { 0o755 } else { 0o644 });
        header.set_entry_type(self.kind);
        header
    }
}

/// `integrity` of the tree these entries make.
pub(crate) fn tree_digest(entries: &[Entry]) -> String {
    let mut files: Vec<_> = entries.iter().filter(|entry| entry.kind == EntryType::Regular).collect();
    files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let mut hash = Sha256::new();
    for file in files {
        let (executable, length) = (u8::from(file.executable), file.content.len());
        hash.update(format!("file {} {executable} {length}\n", file.path));
        hash.update(&file.content);
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&hash.finalize()))
}

/// The entries as a tar, in the order given.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        tar.extend_from_slice(entry.header().as_bytes());
        tar.extend_from_slice(&entry.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Stored, not deflated, so that content can be found again in the archive and on disk.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn tar_gz(entries: &[Entry]) -> Vec<u8> {
    gzip(&tar(entries))
}

/// A small gzip that unpacks to `files` files of `megabytes` of zeros each.
pub(crate) fn bomb(files: u64, megabytes: u64) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for file in 0..files {
        let header = Entry::file(&format!("data/{file}"), "").header_of(megabytes << 20);
        encoder.write_all(header.as_bytes()).unwrap();
        (0..megabytes).try_for_each(|_| encoder.write_all(&zeros)).unwrap();
    }
    io::copy(&mut io::repeat(0).take(1024), &mut encoder).unwrap();
    encoder.finish().unwrap()
}
