//! Archives that are too big to be held: made anew, the same byte for byte, whenever somebody wants them, and
//! compared by digest.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::tarball::Entry;
use super::{Release, Reply, noise};

const PIECE: usize = 1 << 20;
/// Pieces in a file.
const PIECES: usize = 32;

/// A release with that much noise in it, and what its archive is.
#[derive(Clone)]
pub(crate) struct Bulk {
    release: Release,
    files: Vec<File>,
    noise: Arc<[u8]>,
}

#[derive(Clone)]
struct File {
    entry: Entry,
    /// Which pieces it consists of instead of its own content.
    pieces: Range<usize>,
}

impl Bulk {
    /// Adds so many MiB to `release`, in the order in which trees are hashed.
    pub(crate) fn new(release: &Release, mebibytes: usize) -> Self {
        let small = release.entries.iter().map(|entry| File { entry: entry.clone(), pieces: 0..0 });
        let big = (0..mebibytes).step_by(PIECES).map(|first| File {
            entry: Entry::file(&format!("data/{first:08}.bin"), ""),
            pieces: first..(first + PIECES).min(mebibytes),
        });
        let mut files: Vec<_> = small.chain(big).collect();
        files.sort_by(|one, other| one.entry.path.cmp(&other.entry.path));
        Self { release: release.clone(), files, noise: noise(1, 2 * PIECE).into() }
    }

    /// The same files, the last first.
    pub(crate) fn backwards(mut self) -> Self {
        self.files.reverse();
        self
    }

    /// Writes the archive.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut gzip = GzEncoder::new(to, Compression::none());
        for file in &self.files {
            gzip.write_all(file.entry.header_of(file.size()).as_bytes())?;
            self.contents(file).try_for_each(|content| gzip.write_all(content))?;
            let used = (file.size() % 512) as usize;
            gzip.write_all(&[0; 512][..(512 - used) % 512])?;
        }
        gzip.write_all(&[0; 1024])?;
        gzip.finish()?.flush()
    }

    /// Length and digest of the archive.
    pub(crate) fn whole(&self) -> (u64, String) {
        let mut windows = Windows::whole();
        self.write(&mut windows).unwrap();
        (windows.at, windows.digests().remove(0))
    }

    /// The digests of these parts of the archive.
    pub(crate) fn digests(&self, parts: &[Range<u64>]) -> Vec<String> {
        let mut windows = Windows::of(parts);
        self.write(&mut windows).unwrap();
        windows.digests()
    }

    pub(crate) fn integrity(&self) -> String {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by(|one, other| one.entry.path.cmp(&other.entry.path));
        let mut hash = Sha256::new();
        for file in files {
            let executable = u8::from(file.entry.executable);
            hash.update(format!("file {} {executable} {}\n", file.entry.path, file.size()));
            self.contents(file).for_each(|content| hash.update(content));
        }
        format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
    }

    /// How a registry sends an archive of this length.
    pub(crate) fn reply(&self, length: u64) -> Reply {
        let bulk = self.clone();
        Reply::made_archive(length, move |to| bulk.write(to))
    }

    pub(crate) fn release(&self) -> &Release {
        &self.release
    }

    /// A file's content in pieces, each another window of the same noise.
    fn contents<'a>(&'a self, file: &'a File) -> impl Iterator<Item = &'a [u8]> {
        let windows = file.pieces.clone().map(|piece| &self.noise[piece * 4099 % PIECE..][..PIECE]);
        std::iter::once(&file.entry.content[..]).chain(windows)
    }
}

impl File {
    fn size(&self) -> u64 {
        (self.entry.content.len() + self.pieces.len() * PIECE) as u64
    }
}

/// Digests of parts of what passes through.
pub(crate) struct Windows {
    at: u64,
    parts: Vec<(Range<u64>, Sha256)>,
}

impl Windows {
    pub(crate) fn of(parts: &[Range<u64>]) -> Self {
        Self { at: 0, parts: parts.iter().map(|part| (part.clone(), Sha256::new())).collect() }
    }

    /// Of all that passes through.
    pub(crate) fn whole() -> Self {
        Self { at: 0, parts: vec![(0..u64::MAX, Sha256::new())] }
    }

    pub(crate) fn digests(self) -> Vec<String> {
        self.parts.into_iter().map(|(_, hash)| HEXLOWER.encode(&hash.finalize())).collect()
    }
}

impl Write for Windows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (start, end) = (self.at, self.at + bytes.len() as u64);
        for (part, hash) in &mut self.parts {
            let (from, to) = (part.start.clamp(start, end), part.end.clamp(start, end));
            hash.update(&bytes[(from - start) as usize..(to - start) as usize]);
        }
        self.at = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
