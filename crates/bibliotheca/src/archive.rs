//! Archives and their tree digests, written from the text of the protocol alone and without any check, so that a
//! test can make archives that no packer writes.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// One member of an archive.
#[derive(Clone)]
pub struct TarMember {
    /// Its path; at most 100 bytes fit.
    pub path: String,
    /// Its type flag.
    pub kind: EntryType,
    /// The target of a link.
    pub target: String,
    /// Whether its mode has the execute bits.
    pub executable: bool,
    /// Its content.
    pub content: Vec<u8>,
}

impl TarMember {
    /// A regular file.
    pub fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        let (path, content) = (path.to_owned(), content.into());
        Self { path, kind: EntryType::Regular, target: String::new(), executable: false, content }
    }

    /// An executable file.
    pub fn script(path: &str, content: &str) -> Self {
        Self { executable: true, ..Self::file(path, content) }
    }

    /// A member that is no regular file.
    pub fn special(path: &str, kind: EntryType, target: &str) -> Self {
        Self { kind, target: target.to_owned(), ..Self::file(path, "") }
    }

    /// Its header, as if it had `size` bytes of content.
    pub fn header_of(&self, size: u64) -> Header {
        let mut header = Header::new_ustar();
        let fields = header.as_old_mut();
        fields.name[..self.path.len()].copy_from_slice(self.path.as_bytes());
        fields.linkname[..self.target.len()].copy_from_slice(self.target.as_bytes());
        header.set_mode(if self.executable { 0o755 } else { 0o644 });
        header.set_entry_type(self.kind);
        header.set_size(size);
        header.set_cksum();
        header
    }
}

/// The `integrity` of the tree that these members make.
pub fn tree_digest(members: &[TarMember]) -> String {
    let mut files: Vec<_> = members.iter().filter(|member| member.kind == EntryType::Regular).collect();
    files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let mut hash = Sha256::new();
    for file in files {
        let (executable, length) = (u8::from(file.executable), file.content.len());
        hash.update(format!("file {} {executable} {length}\n", file.path));
        hash.update(&file.content);
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&hash.finalize()))
}

/// The members as a tar, in the order given.
pub fn tar(members: &[TarMember]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in members {
        tar.extend_from_slice(member.header_of(member.content.len() as u64).as_bytes());
        tar.extend_from_slice(&member.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// Stored, not deflated, so that content can be found again in the archive and on disk.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_at(0, bytes)
}

/// Compressed at this level, from 0 to 9.
pub fn gzip_at(level: u32, bytes: &[u8]) -> Vec<u8> {
    in_memory(level, |encoder| encoder.write_all(bytes))
}

/// The members as a stored `.tar.gz`.
pub fn tar_gz(members: &[TarMember]) -> Vec<u8> {
    gzip(&tar(members))
}

/// A small gzip that unpacks to `files` files of `megabytes` MiB of zeros each.
pub fn bomb(files: u64, megabytes: u64) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    in_memory(6, |encoder| {
        for file in 0..files {
            let header = TarMember::file(&format!("data/{file}"), "").header_of(megabytes << 20);
            encoder.write_all(header.as_bytes())?;
            (0..megabytes).try_for_each(|_| encoder.write_all(&zeros))?;
        }
        encoder.write_all(&zeros[..1024])
    })
}

/// Writing to memory does not fail.
fn in_memory(level: u32, write: impl FnOnce(&mut GzEncoder<Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    write(&mut encoder).and_then(|()| encoder.finish()).unwrap_or_default()
}
