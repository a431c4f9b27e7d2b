//! Packs a tree anew, so that every reader unpacks the same tree.
//!
//! One tree gives the same bytes on every machine: files in path order; before each file, the folders above it that were
//! not written yet; mode 0644 or 0755, owner 0, time 0; one gzip member at one level. A path is written as ustar writes it.
//! A path that is too long for ustar, or a size from 8 GiB, is written as GNU tar writes it, since busybox cannot read pax.
//! Owns that form, which `framing` calls canonical. Must not know where the tree comes from.

mod undisguised;

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::Header;

use undisguised::{NO_SYSTEM, Undisguised};

use super::hashing::{FileSink, Sorting};
use super::header::{BLOCK, LARGEST_OCTAL};
use super::paths::accept_path;
use super::profile::{FileRecord, TreeIndex, TreeNode};
use super::spill::Scratch;
use super::verify::{WINDOW, blame_storage, walk};
use super::{ArchiveError, ArchiveLimits, Excess, Integrity, TreeHasher};

/// The version of the form that [`pack`] writes. It changes whenever one tree would give other bytes.
pub const RECIPE: u16 = 1;
/// Another level would give other bytes.
const LEVEL: Compression = Compression::new(6);

/// Packs the tree of a verified archive anew into `sink`. Returns the sink and the digest of the written tree.
///
/// `open` opens the archive from its start. `scratch` creates a temporary file, for contents that do not fit into memory.
/// The new archive is within `limits` too.
///
/// # Errors
/// [`ArchiveError`]; a failing sink counts as temporary storage.
pub fn pack<R: Read, W: Write>(
    open: impl FnOnce() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &ArchiveLimits,
    sink: W,
) -> Result<(W, Integrity), ArchiveError> {
    pack_within(WINDOW, open, scratch, limits, sink)
}

/// One file of a tree that [`pack_files`] packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeFile<'a> {
    /// Its path, with `/` between segments.
    pub path: &'a str,
    /// Whether it may be run.
    pub executable: bool,
    /// All its bytes.
    pub content: &'a [u8],
}

/// Packs `files`, in any order. Returns the archive and the digest of its tree.
///
/// # Errors
/// [`ArchiveError::Profile`] when the archive profile forbids a path, or two of them together.
pub fn pack_files(files: &[TreeFile<'_>]) -> Result<(Vec<u8>, Integrity), ArchiveError> {
    let unbounded = ArchiveLimits { max_unpacked: u64::MAX, max_entries: u64::MAX };
    let mut packer = TreePacker::new(Vec::new(), unbounded);
    let mut files = files.to_vec();
    files.sort_unstable_by_key(|file| file.path);
    for TreeFile { path, executable, content } in files {
        packer.file(path.as_bytes(), executable, content.len() as u64)?;
        packer.content(content)?;
    }
    packer.finish()
}

/// Packs a tree whose files come one after another, each opened and then filled, and are never held.
///
/// Its caller passes the files in the order of the bytes of their paths, and exactly the announced number of bytes.
pub struct TreePacker<W: Write> {
    packer: Packer<W>,
    index: TreeIndex,
}

impl<W: Write> TreePacker<W> {
    /// Writes the archive into `sink`, within `limits`.
    pub fn new(sink: W, limits: ArchiveLimits) -> Self {
        Self { packer: Packer::new(sink, limits), index: TreeIndex::default() }
    }

    /// Opens the next file; `len` bytes of [`content`](Self::content) follow.
    ///
    /// # Errors
    /// [`ArchiveError::Profile`] when the archive profile forbids the path, alone or beside those before it;
    /// [`ArchiveError::TooLarge`] for a tree beyond the limits; a failing sink counts as temporary storage.
    pub fn file(&mut self, path: &[u8], executable: bool, len: u64) -> Result<(), ArchiveError> {
        let path = accept_path(path)?;
        self.index.admit(path, TreeNode::File(FileRecord { executable, offset: 0, len }))?;
        self.packer.file(path, executable, len)
    }

    /// Takes the next bytes of the file opened last.
    ///
    /// # Errors
    /// As those of [`file`](Self::file).
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.packer.content(bytes)
    }

    /// Ends the archive. Returns the sink and the digest of the tree.
    ///
    /// # Errors
    /// As those of [`file`](Self::file).
    pub fn finish(self) -> Result<(W, Integrity), ArchiveError> {
        self.packer.finish()
    }
}

fn pack_within<R: Read, W: Write>(
    window: usize,
    open: impl FnOnce() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &ArchiveLimits,
    sink: W,
) -> Result<(W, Integrity), ArchiveError> {
    let packed = open().map_err(ArchiveError::Scratch)?;
    let mut files = Sorting::new(window, &scratch);
    let walked = walk(packed, limits, &mut files).map_err(blame_storage)?;
    let mut packer = Packer::new(sink, *limits);
    files.pass_to(walked.index.into_files(), &mut packer)?;
    packer.finish()
}

/// A canonical archive that is being written.
struct Packer<W: Write> {
    sink: GzEncoder<Undisguised<W>>,
    hasher: TreeHasher,
    limits: ArchiveLimits,
    entries: u64,
    unpacked: u64,
    /// The folder of the file opened last. It and all folders above it were written.
    folder: String,
    /// The padding after the file opened last.
    padding: usize,
}

impl<W: Write> Packer<W> {
    fn new(sink: W, limits: ArchiveLimits) -> Self {
        let sink = GzBuilder::new().operating_system(NO_SYSTEM).write(Undisguised::new(sink), LEVEL);
        let (hasher, folder) = (TreeHasher::new(), String::new());
        Self { sink, hasher, limits, entries: 0, unpacked: 0, folder, padding: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.unpacked += bytes.len() as u64;
        if self.unpacked > self.limits.max_unpacked {
            return Err(Excess::Unpacked(self.limits.max_unpacked).into());
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
            return Err(Excess::Entries(self.limits.max_entries).into());
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
                // A reader that uses this short name alone must not take a file for a folder.
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

impl<W: Write> FileSink for Packer<W> {
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

/// Prefix and name of a path as ustar writes it, without the slash between them; `None` if the path is too long.
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
