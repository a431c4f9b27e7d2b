//! Blobs in tar files: `part-0001.tar` and so on.
//!
//! Owns which blob goes into which part, and that a part holds whole blobs only: an entry that fails is cut off again. Must not know the
//! manifest.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use archive::Sha256;

use super::{CopyFailure, Copying, ExportError};
use crate::folder::BundleFolder;
use crate::hashing::Hasher;
use crate::layout::{MAX_PARTS, PARTIAL, is_part, part_name};
use crate::manifest::BundlePart;
use crate::tar_form::{BLOCK, END, entry_size, header, padding};

/// So many bytes of a part are on their way to the medium while the next ones are written.
const FLUSHED_AT_ONCE: u64 = 16 << 20;

/// The parts of a bundle.
pub(super) struct PartFiles {
    part_size: u64,
    open: Option<OpenPart>,
    done: Vec<BundlePart>,
}

/// A part that has no name yet.
struct OpenPart {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
    /// The bytes of which the flush has begun.
    flushed: u64,
}

impl OpenPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn entry(
        &mut self,
        digest: &Sha256,
        size: u64,
        source: &mut impl Read,
        copying: &mut Copying,
    ) -> Result<(), CopyFailure> {
        self.write(&header(digest, size)).map_err(CopyFailure::Sink)?;
        copying.copy(source, (digest, size), |bytes| self.write(bytes))?;
        if self.bytes - self.flushed >= FLUSHED_AT_ONCE {
            self.flushed = self.bytes;
            BundleFolder::begin_flush(self.file.get_ref());
        }
        self.write(&[0; BLOCK][..padding(size)]).map_err(CopyFailure::Sink)
    }

    /// Forgets what was written after the first `bytes`.
    fn cut(&mut self, bytes: u64, hasher: Hasher) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(bytes))?;
        self.file.get_mut().set_len(bytes)?;
        (self.bytes, self.hasher) = (bytes, hasher);
        self.flushed = self.flushed.min(bytes);
        Ok(())
    }
}

impl PartFiles {
    pub(super) fn new(part_size: u64) -> Self {
        Self { part_size, open: None, done: Vec::new() }
    }

    pub(super) fn write(
        &mut self,
        root: &BundleFolder,
        digest: &Sha256,
        size: u64,
        source: &mut impl Read,
        copying: &mut Copying,
    ) -> Result<(), ExportError> {
        let is_full = |part: &OpenPart| {
            part.bytes > 0 && part.bytes + entry_size(size) + END.len() as u64 > self.part_size
        };
        if self.open.as_ref().is_some_and(is_full) {
            self.close(root)?;
        }
        let io = ExportError::at(root, &part_name(self.done.len() + 1));
        let part = match &mut self.open {
            Some(part) => part,
            None if self.done.len() >= MAX_PARTS => return Err(ExportError::TooManyParts),
            closed @ None => closed.insert(OpenPart {
                file: BufWriter::with_capacity(BLOCK * 256, root.create(PARTIAL).map_err(&io)?),
                hasher: Hasher::default(),
                bytes: 0,
                flushed: 0,
            }),
        };
        let (bytes, hasher) = (part.bytes, part.hasher.clone());
        part.entry(digest, size, source, copying).map_err(|failure| match part.cut(bytes, hasher) {
            Ok(()) => failure.told(digest, &io),
            Err(error) => io(error),
        })
    }

    fn close(&mut self, root: &BundleFolder) -> Result<(), ExportError> {
        let Some(mut part) = self.open.take() else { return Ok(()) };
        let name = part_name(self.done.len() + 1);
        let io = ExportError::at(root, &name);
        if part.bytes == 0 {
            return root.remove(PARTIAL).map_err(io);
        }
        part.write(&END).and_then(|()| part.file.flush()).map_err(&io)?;
        root.rename(PARTIAL, root, &name).map_err(&io)?;
        self.done.push(BundlePart { name, sha256: part.hasher.finish(), size: part.bytes });
        Ok(())
    }

    /// All parts, once every blob is in one.
    pub(super) fn finish(mut self, root: &BundleFolder) -> Result<Vec<BundlePart>, ExportError> {
        self.close(root)?;
        Ok(self.done)
    }
}

/// Removes the parts of an earlier bundle.
pub(super) fn remove_all(root: &BundleFolder) -> io::Result<()> {
    root.names(is_part)?.iter().try_for_each(|name| root.remove(name))
}
