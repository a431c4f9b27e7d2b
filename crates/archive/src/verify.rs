//! Verification of one archive, from its first byte to the verdict.
//!
//! Owns the order of the checks: profile and limits while the archive is read, then the digest, then the manifest. Must not
//! know how a check is done, nor what follows from an archive that is not canonical.

use std::io::{self, Read};

use super::error::MAX_MANIFEST;
use super::framing::Framing;
use super::hashing::{FileSink, Optimistic, Sorting};
use super::manifest::{ManifestFacts, VolumeManifest};
use super::paths::MANIFEST;
use super::profile::{FileRecord, TreeIndex, TreeNode};
use super::reader::{EntryKind, TarReader};
use super::spill::Scratch;
use super::{ArchiveError, Excess, Integrity, ManifestError, Version, VolumeName};

/// The most bytes of content that are held in memory. An archive whose files are not in order shows that early, mostly within a few
/// files, and one that shows it later is read twice.
pub(crate) const WINDOW: usize = 4 << 20;

/// The limits of an archive's size.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveLimits {
    /// The most decompressed bytes, tar framing included.
    pub max_unpacked: u64,
    /// The most files and directories.
    pub max_entries: u64,
}

/// The release that an archive must be.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedRelease<'a> {
    /// Its name.
    pub name: &'a VolumeName,
    /// Its version.
    pub version: &'a Version,
    /// The digest of its tree, if it is known beforehand.
    pub integrity: Option<&'a Integrity>,
}

/// An archive whose profile, limits and framing were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The digest of its tree. It equals the expected digest, if there was one.
    pub integrity: Integrity,
    /// The number of its files and directories.
    pub entries: u64,
    /// Its decompressed bytes, tar framing included.
    pub unpacked: u64,
    /// Whether every reader unpacks the same tree.
    pub framing: Framing,
}

/// An archive that is that of its release, and what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedArchive {
    /// Its tree, size and framing.
    pub examined: Examined,
    /// What an operator may judge by; read in the same pass.
    pub manifest: ManifestFacts,
}

/// Verifies a `.tar.gz` while its bytes arrive.
///
/// `arriving` reads the compressed bytes. `again` opens them from the start; it is called at most once, after `arriving`
/// ended, for a large archive whose files are not in path order. `scratch` creates a temporary file; it is called only for
/// such archives. Memory is bounded for any input.
///
/// # Errors
/// [`ArchiveError`]: the fault of the archive, of its source, or of temporary storage.
pub fn verify<R: Read, A: Read>(
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    expected: &ExpectedRelease<'_>,
    limits: &ArchiveLimits,
) -> Result<VerifiedArchive, ArchiveError> {
    verify_within(WINDOW, arriving, again, scratch, expected, limits)
}

fn verify_within<R: Read, A: Read>(
    window: usize,
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    expected: &ExpectedRelease<'_>,
    limits: &ArchiveLimits,
) -> Result<VerifiedArchive, ArchiveError> {
    let (examined, manifest) = examine_within(window, arriving, again, scratch, limits)?;
    let found = examined.integrity;
    if let Some(expected) = expected.integrity.filter(|expected| **expected != found) {
        return Err(ArchiveError::Digest { expected: *expected, found });
    }
    let manifest = VolumeManifest::parse(&manifest?)?;
    manifest.check(expected.name, expected.version)?;
    Ok(VerifiedArchive { examined, manifest: manifest.facts() })
}

/// Checks the profile, the tree and the framing of a stored `.tar.gz`, of any release. `open` opens it from the start; it is
/// called again for a large archive whose files are not in path order.
///
/// # Errors
/// [`ArchiveError`]: the fault of the archive, of its source, or of temporary storage.
pub fn examine<R: Read>(
    open: impl Fn() -> io::Result<R>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &ArchiveLimits,
) -> Result<Examined, ArchiveError> {
    let packed = open().map_err(ArchiveError::Source)?;
    examine_within(WINDOW, packed, &open, scratch, limits).map(|(examined, _)| examined)
}

/// What the manifest of a stored `.tar.gz` says. The archive is read up to the end of its manifest.
///
/// # Errors
/// [`ArchiveError`]: the archive or its source is damaged, or it has no readable manifest. An archive that was verified has one.
pub fn manifest_facts(packed: impl Read, limits: &ArchiveLimits) -> Result<ManifestFacts, ArchiveError> {
    let mut reader = TarReader::archive(packed, limits.max_unpacked);
    while let Some(entry) = reader.next_entry()? {
        let is_manifest = entry.kind == EntryKind::File && entry.path == MANIFEST;
        if is_manifest && entry.size > MAX_MANIFEST {
            return Err(ManifestError::TooLong(entry.size).into());
        }
        let mut manifest = Vec::new();
        while let Some(bytes) = reader.content()? {
            if is_manifest {
                manifest.extend_from_slice(bytes);
            }
        }
        if is_manifest {
            return Ok(VolumeManifest::parse(&manifest)?.facts());
        }
    }
    Err(ManifestError::Missing.into())
}

fn examine_within<R: Read, A: Read>(
    window: usize,
    arriving: R,
    again: impl FnOnce() -> io::Result<A>,
    scratch: impl Fn() -> io::Result<Box<dyn Scratch>>,
    limits: &ArchiveLimits,
) -> Result<(Examined, Result<Vec<u8>, ManifestError>), ArchiveError> {
    let mut files = Optimistic::new(window, &scratch);
    let ReadArchive { index, unpacked, manifest, framing } = walk(arriving, limits, &mut files)?;
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

/// Blames temporary storage for bytes that are damaged when they are read again: they were sound when they arrived.
pub(crate) fn blame_storage(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Source(error) | ArchiveError::Gzip(error) => ArchiveError::Scratch(error),
        other => other,
    }
}

/// The result of one reading of an archive.
pub(crate) struct ReadArchive {
    pub(crate) index: TreeIndex,
    unpacked: u64,
    /// The bytes of the manifest.
    manifest: Result<Vec<u8>, ManifestError>,
    framing: Framing,
}

/// Reads an archive to its end, and passes its contents to `files`.
pub(crate) fn walk(
    packed: impl Read,
    limits: &ArchiveLimits,
    files: &mut impl FileSink,
) -> Result<ReadArchive, ArchiveError> {
    let mut reader = TarReader::archive(packed, limits.max_unpacked);
    let mut index = TreeIndex::default();
    let mut manifest = Err(ManifestError::Missing);
    let mut offset = 0;
    while let Some(entry) = reader.next_entry()? {
        if index.len() == limits.max_entries {
            return Err(Excess::Entries(limits.max_entries).into());
        }
        let EntryKind::File = entry.kind else {
            index.admit(&entry.path, TreeNode::Directory)?;
            continue;
        };
        let executable = entry.mode & 0o111 != 0;
        index.admit(&entry.path, TreeNode::File(FileRecord { executable, offset, len: entry.size }))?;
        offset += entry.size;
        files.file(&entry.path, executable, entry.size)?;
        let is_manifest = entry.path == MANIFEST;
        if is_manifest {
            let fits = entry.size <= MAX_MANIFEST;
            manifest = if fits { Ok(Vec::new()) } else { Err(ManifestError::TooLong(entry.size)) };
        }
        while let Some(bytes) = reader.content()? {
            files.content(bytes)?;
            if let (true, Ok(manifest)) = (is_manifest, &mut manifest) {
                manifest.extend_from_slice(bytes);
            }
        }
    }
    Ok(ReadArchive { index, unpacked: reader.unpacked(), manifest, framing: reader.framing() })
}

#[cfg(test)]
mod tests;
