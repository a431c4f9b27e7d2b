//! Verification of one archive, from its first byte to the verdict.
//!
//! Owns the order of the checks: profile and limits as they are met, then the digest, then the manifest. Must
//! not know how any of them is done, nor what becomes of an archive that is not canonical.

use std::io::{self, Read};

use super::entries::{Entries, Kind};
use super::framing::Framing;
use super::gzip::Unpacked;
use super::hashing::{Files, Optimistic, Sorting};
use super::manifest::{MANIFEST, MAX_MANIFEST, Manifest};
use super::profile::{FileRecord, Index, Node};
use super::spill::Scratch;
use super::{ArchiveError, Excess, ManifestError};
use crate::domain::{Integrity, Version, VolumeName};

/// Most bytes of content held in memory.
pub(super) const WINDOW: usize = 16 << 20;

/// How large an archive may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most decompressed bytes, tar framing included.
    pub max_unpacked: u64,
    /// Most files and directories.
    pub max_entries: u64,
}

/// The release an archive should be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its name.
    pub name: &'a VolumeName,
    /// Its version.
    pub version: &'a Version,
    /// The digest of its tree, where it is known beforehand.
    pub integrity: Option<&'a Integrity>,
}

/// What is known of an archive whose profile, limits and framing were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The digest of its tree; of one that passed as a release, the one expected, where one was.
    pub integrity: Integrity,
    /// Its files and directories.
    pub entries: u64,
    /// Its decompressed bytes, tar framing included.
    pub unpacked: u64,
    /// Whether every reader unpacks this tree.
    pub framing: Framing,
}

/// Verifies a `.tar.gz` while its bytes arrive.
///
/// `arriving` gives the compressed bytes. `again` opens them once more from the start; it is called at most
/// once, after `arriving` ended, for a large archive whose files are not in path order. `scratch` makes an
/// temporary file, wanted only for archives out of order. Memory stays bounded whatever comes.
///
/// # Errors
/// [`ArchiveError`] says what is wrong: with the archive, with its source, or with temporary storage.
pub fn verify<R: Read, A: Read>(
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    expected: &Expected<'_>,
    limits: &Limits,
) -> Result<Examined, ArchiveError> {
    verify_within(WINDOW, arriving, again, scratch, expected, limits)
}

fn verify_within<R: Read, A: Read>(
    window: usize,
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    expected: &Expected<'_>,
    limits: &Limits,
) -> Result<Examined, ArchiveError> {
    let (examined, manifest) = examine_within(window, arriving, again, scratch, limits)?;
    let found = examined.integrity;
    if let Some(expected) = expected.integrity.filter(|expected| **expected != found) {
        return Err(ArchiveError::Digest { expected: *expected, found });
    }
    manifest.parse()?.check(expected.name, expected.version)?;
    Ok(examined)
}

/// Looks at a `.tar.gz` that lies somewhere, whosever archive it is: its profile, its tree, its framing. `open` opens
/// it from the start, and once more for a large one whose files are not in path order.
///
/// # Errors
/// [`ArchiveError`] says what is wrong: with the archive, with its source, or with temporary storage.
pub fn examine<R: Read>(
    open: impl Fn() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &Limits,
) -> Result<Examined, ArchiveError> {
    let packed = open().map_err(ArchiveError::Source)?;
    examine_within(WINDOW, packed, &open, scratch, limits).map(|(examined, _)| examined)
}

fn examine_within<R: Read, A: Read>(
    window: usize,
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &Limits,
) -> Result<(Examined, ManifestBytes), ArchiveError> {
    let mut files = Optimistic::new(window, &scratch);
    let Walked { index, unpacked, manifest, framing } = walk(arriving, limits, &mut files)?;
    let entries = index.len();
    let integrity = match files.finish(|| index.into_files())? {
        Some(integrity) => integrity,
        None => {
            let staged = again().map_err(ArchiveError::Scratch)?;
            let mut files = Sorting::new(window, &scratch);
            let walked = walk(staged, limits, &mut files).map_err(blame_storage)?;
            files.finish(walked.index.into_files())?
        }
    };
    Ok((Examined { integrity, entries, unpacked, framing }, manifest))
}

/// Bytes that were sound as they arrived and are not when read again were damaged here.
pub(super) fn blame_storage(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Source(error) | ArchiveError::Gzip(error) => ArchiveError::Scratch(error),
        other => other,
    }
}

/// What one reading of an archive found.
pub(super) struct Walked {
    pub(super) index: Index,
    unpacked: u64,
    manifest: ManifestBytes,
    framing: Framing,
}

/// Reads an archive to its end, and gives its contents to `files`.
pub(super) fn walk(
    packed: impl Read,
    limits: &Limits,
    files: &mut impl Files,
) -> Result<Walked, ArchiveError> {
    let mut entries = Entries::new(Unpacked::new(packed, limits.max_unpacked));
    let mut index = Index::default();
    let mut manifest = ManifestBytes::default();
    let mut offset = 0;
    while let Some(entry) = entries.next()? {
        if index.len() == limits.max_entries {
            return Err(Excess::Entries { limit: limits.max_entries }.into());
        }
        let Kind::File { executable } = entry.kind else {
            index.admit(&entry.path, Node::Directory)?;
            continue;
        };
        index.admit(&entry.path, Node::File(FileRecord { executable, offset, len: entry.size }))?;
        offset += entry.size;
        files.file(&entry.path, executable, entry.size);
        let mut capture = (entry.path == MANIFEST).then(|| manifest.open(entry.size)).flatten();
        while let Some(bytes) = entries.content()? {
            files.content(bytes)?;
            if let Some(capture) = &mut capture {
                capture.extend_from_slice(bytes);
            }
        }
    }
    Ok(Walked { index, unpacked: entries.unpacked(), manifest, framing: entries.framing() })
}

/// The manifest's bytes, once they came by.
#[derive(Default)]
enum ManifestBytes {
    #[default]
    Missing,
    TooLong(u64),
    Read(Vec<u8>),
}

impl ManifestBytes {
    /// Where to put the manifest's `size` bytes, unless they are too many.
    fn open(&mut self, size: u64) -> Option<&mut Vec<u8>> {
        *self = if size > MAX_MANIFEST { Self::TooLong(size) } else { Self::Read(Vec::new()) };
        match self {
            Self::Read(bytes) => Some(bytes),
            Self::Missing | Self::TooLong(_) => None,
        }
    }

    fn parse(self) -> Result<Manifest, ManifestError> {
        match self {
            Self::Missing => Err(ManifestError::Missing),
            Self::TooLong(size) => Err(ManifestError::TooLong { size }),
            Self::Read(bytes) => Manifest::parse(&bytes),
        }
    }
}

#[cfg(test)]
mod tests;
