//! Packing a tree anew, so that every reader unpacks the same.
//!
//! One tree gives the same bytes on every machine: files in path order, before each the folders it lies in that were
//! not written yet, mode 0644 or 0755, owner 0, time 0, one gzip member at one level. A path is written as ustar does,
//! or where that has no room for it, like a size from 8 GiB, as GNU tar does, since busybox does not know pax.
//! Owns that form, which `framing` calls canonical. Must not know where the tree comes from.

mod undisguised;

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::Header;

use undisguised::{NO_SYSTEM, Undisguised};

use super::gzip::BLOCK;
use super::hashing::{InOrder, Sorting};
use super::header::LARGEST_OCTAL;
use super::spill::Scratch;
use super::verify::{WINDOW, blame_storage, walk};
use super::{ArchiveError, Excess, Limits, TreeHasher};
use crate::domain::Integrity;

/// The form that [`pack`] writes; another number where one tree would give other bytes.
pub const RECIPE: u16 = 1;
/// Part of the promise that one tree gives the same bytes.
const LEVEL: Compression = Compression::new(6);

/// Packs the tree of an archive that passed anew into `sink`, and gives that back with the digest of what was written.
///
/// `open` opens the archive from its start. `scratch` makes a temporary file for more than fits the memory. The new
/// archive is within `limits` too.
///
/// # Errors
/// [`ArchiveError`]; a sink that fails is temporary storage.
pub fn pack<R: Read, W: Write>(
    open: impl FnOnce() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &Limits,
    sink: W,
) -> Result<(W, Integrity), ArchiveError> {
    pack_within(WINDOW, open, scratch, limits, sink)
}

fn pack_within<R: Read, W: Write>(
    window: usize,
    open: impl FnOnce() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &Limits,
    sink: W,
) -> Result<(W, Integrity), ArchiveError> {
    let packed = open().map_err(ArchiveError::Scratch)?;
    let mut files = Sorting::new(window, &scratch);
    let walked = walk(packed, limits, &mut files).map_err(blame_storage)?;
    let mut packer = Packer::new(sink, limits);
    files.give(walked.index.into_files(), &mut packer)?;
    packer.finish()
}

/// A canonical archive that is being written.
struct Packer<'a, W: Write> {
    sink: GzEncoder<Undisguised<W>>,
    hasher: TreeHasher,
    limits: &'a Limits,
    entries: u64,
    unpacked: u64,
    /// The folder of the file opened last; it and those above it were written.
    folder: String,
    /// What pads the file opened last.
    padding: usize,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(sink: W, limits: &'a Limits) -> Self {
        let sink = GzBuilder::new().operating_system(NO_SYSTEM).write(Undisguised::new(sink), LEVEL);
        let (hasher, folder) = (TreeHasher::new(), String::new());
        Self { sink, hasher, limits, entries: 0, unpacked: 0, folder, padding: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.unpacked += bytes.len() as u64;
        if self.unpacked > self.limits.max_unpacked {
            return Err(Excess::Unpacked { limit: self.limits.max_unpacked }.into());
        }
        self.sink.write_all(bytes).map_err(ArchiveError::Scratch)
    }

    fn pad(&mut self) -> Result<(), ArchiveError> {
        let padding = std::mem::take(&mut self.padding);
        self.write(&[0; BLOCK][..padding])
    }

    /// Writes the folders above `path` that were not written yet.
    fn folders(&mut self, path: &str) -> Result<(), ArchiveError> {
        for (slash, _) in path.match_indices('/') {
            let folder = &path[..slash];
            let written = self.folder.strip_prefix(folder);
            if !written.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                self.entry(b'5', &path[..=slash], 0o755, 0)?;
            }
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        folder.clone_into(&mut self.folder);
        Ok(())
    }

    fn entry(&mut self, kind: u8, path: &str, mode: u32, len: u64) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(Excess::Entries { limit: self.limits.max_entries }.into());
        }
        match split(path).filter(|_| len <= LARGEST_OCTAL) {
            Some((prefix, name)) => {
                let mut header = filled(Header::new_ustar(), kind, name, mode, len);
                if let Some(ustar) = header.as_ustar_mut() {
                    ustar.prefix[..prefix.len()].copy_from_slice(prefix.as_bytes());
                }
                self.header(header)
            }
            None => {
                if path.len() > NAME {
                    let long = [path.as_bytes(), b"\0"].concat();
                    let size = long.len() as u64;
                    self.header(filled(Header::new_gnu(), b'L', "././@LongLink", 0o644, size))?;
                    self.write(&long)?;
                    self.padding = padding(size);
                    self.pad()?;
                }
                let name = &path[..path.floor_char_boundary(NAME)];
                // Who looks at this name alone must not take a file for a folder.
                self.header(filled(Header::new_gnu(), kind, name.trim_end_matches('/'), mode, len))
            }
        }
    }

    fn header(&mut self, mut header: Header) -> Result<(), ArchiveError> {
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn finish(mut self) -> Result<(W, Integrity), ArchiveError> {
        self.pad()?;
        self.write(&[0; 2 * BLOCK])?;
        let sink = self.sink.finish().and_then(Undisguised::finish).map_err(ArchiveError::Scratch)?;
        Ok((sink, self.hasher.finish()))
    }
}

impl<W: Write> InOrder for Packer<'_, W> {
    fn file(&mut self, path: &str, executable: bool, len: u64) -> Result<(), ArchiveError> {
        self.pad()?;
        self.hasher.file(path, executable, len);
        self.folders(path)?;
        self.entry(b'0', path, if executable { 0o755 } else { 0o644 }, len)?;
        self.padding = padding(len);
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.content(bytes);
        self.write(bytes)
    }
}

/// The room for a name in a header.
const NAME: usize = 100;
/// The room for a prefix.
const PREFIX: usize = 155;

/// Prefix and name of a path as ustar writes it, the slash between them left out; `None` where it has no room.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(slash, _)| (&path[..slash], &path[slash + 1..]))
        .find(|(prefix, name)| prefix.len() <= PREFIX && (1..=NAME).contains(&name.len()))
}

fn filled(mut header: Header, kind: u8, name: &str, mode: u32, len: u64) -> Header {
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    let old = header.as_old_mut();
    old.linkflag = [kind];
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    header
}

fn padding(len: u64) -> usize {
    (len.next_multiple_of(BLOCK as u64) - len) as usize
}

#[cfg(test)]
mod tests;
