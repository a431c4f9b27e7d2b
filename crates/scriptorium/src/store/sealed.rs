//! Files that are verified as they are read.
//!
//! A sealed file is its content and then a trailer: a checksum of every block, the digests and identity of the content, and
//! a checksum of the trailer itself. Both are one file, so that one commit makes both visible. Owns which bytes may be
//! used: a byte is handed out only in a block whose checksum matched. Must not know archives or trust artifacts.

use std::io::{self, Write};
use std::ops::Range;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, crc32_iscsi};
use sha2::Digest;

use super::staging::inside;
use super::{Damage, FileStore, Staged, StorageKey, StoreError};
use crate::domain::Sha256;

mod content;
mod trailer;

#[cfg(test)]
mod tests;

pub(crate) use content::SealedContent;

/// Bytes covered by one checksum.
pub(crate) const BLOCK: u64 = 256 * 1024;
/// The most that one step of a stream reads.
const STEP: u64 = 4 * BLOCK;
/// Enough for the trailer of a content of up to 4 GiB.
const FIRST_READ: u64 = 64 * 1024;

/// The most bytes of facts that are kept with one content, on disk and in memory.
pub(crate) const MAX_FACTS: usize = 512;

/// What is known of a sealed file without reading its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Bytes of content.
    pub(crate) length: u64,
    /// The digest of the content.
    pub(crate) raw: Sha256,
    /// The digest by which readers ask for the content, which need not be `raw`.
    pub(crate) known_by: Sha256,
    /// Which release the content belongs to; may be empty.
    pub(crate) identity: String,
    /// The recipe by which the content was packed here; 0 for content as it was received.
    pub(crate) recipe: u16,
    /// What was found in the content when it was sealed, in the form of who looked; may be empty.
    pub(crate) facts: Vec<u8>,
    blocks: Vec<u32>,
}

/// Passes content on and seals it.
pub(crate) struct SealWriter<W> {
    inner: W,
    length: u64,
    raw: sha2::Sha256,
    block: crc_fast::Digest,
    blocks: Vec<u32>,
    recipe: u16,
    facts: Vec<u8>,
}

impl<W: Write> SealWriter<W> {
    /// Seals what is written through it to `inner`.
    pub(crate) fn new(inner: W) -> Self {
        Self::made_by(inner, 0)
    }

    /// The same for content that is packed here by a `recipe`.
    pub(crate) fn made_by(inner: W, recipe: u16) -> Self {
        let block = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        Self {
            inner,
            length: 0,
            raw: sha2::Sha256::new(),
            block,
            blocks: Vec::new(),
            recipe,
            facts: Vec::new(),
        }
    }

    /// The same, for content that was packed here by a `recipe`.
    pub(crate) fn with_recipe(self, recipe: u16) -> Self {
        Self { recipe, ..self }
    }

    /// The same, with what was found in the content. More than [`MAX_FACTS`] bytes are not kept: the content can be read again.
    pub(crate) fn with_facts(self, facts: Vec<u8>) -> Self {
        let facts = if facts.len() <= MAX_FACTS { facts } else { Vec::new() };
        Self { facts, ..self }
    }

    /// Where the content is passed on to.
    pub(crate) fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Writes the trailer and flushes. Content without a trailer cannot be read.
    pub(crate) fn finish(mut self, known_by: Sha256, identity: &str) -> io::Result<(W, Seal)> {
        if !self.length.is_multiple_of(BLOCK) {
            self.close_block();
        }
        let seal = Seal {
            length: self.length,
            raw: Sha256::new(self.raw.finalize().into()),
            known_by,
            identity: identity.to_owned(),
            recipe: self.recipe,
            facts: self.facts,
            blocks: self.blocks,
        };
        self.inner.write_all(&trailer::encode(&seal)?)?;
        self.inner.flush()?;
        Ok((self.inner, seal))
    }

    fn close_block(&mut self) {
        self.blocks.push(self.block.finalize_reset() as u32);
    }

    fn absorb(&mut self, mut bytes: &[u8]) {
        self.raw.update(bytes);
        while !bytes.is_empty() {
            let room = BLOCK - self.length % BLOCK;
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.block.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(BLOCK) {
                self.close_block();
            }
            bytes = later;
        }
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.absorb(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Seal {
    /// Reads all of the content of `key` and compares its digest.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is different content; another when it cannot be read.
    pub(crate) async fn read_through(
        &self,
        files: &dyn FileStore,
        key: &StorageKey,
    ) -> Result<(), StoreError> {
        let mut digest = sha2::Sha256::new();
        for step in steps(0..self.length) {
            digest.update(self.read(files, key, step).await?);
        }
        let digest = Sha256::new(digest.finalize().into());
        if digest == self.raw {
            return Ok(());
        }
        let expected = format!("content with the digest {}", self.raw);
        Err(StoreError::Corrupt(Damage::of(key, expected, digest.to_string())))
    }
}

/// Reads the seal of `key`; `None` when nothing is stored.
///
/// # Errors
/// [`StoreError::Corrupt`] when what is stored does not end in an intact seal.
pub(crate) async fn open(files: &dyn FileStore, key: &StorageKey) -> Result<Option<Seal>, StoreError> {
    open_reading(files, key, FIRST_READ).await
}

async fn open_reading(
    files: &dyn FileStore,
    key: &StorageKey,
    first: u64,
) -> Result<Option<Seal>, StoreError> {
    let Some((mut tail, size)) = files.read_tail(key, first).await? else { return Ok(None) };
    let length = trailer::length(&tail, size).map_err(|what| corrupt(key, what))?;
    if length > tail.len() as u64 {
        let Some((longer, _)) = files.read_tail(key, length).await? else { return Ok(None) };
        tail = longer;
    }
    trailer::decode(&tail, size).map(Some).map_err(|what| corrupt(key, what))
}

impl Seal {
    /// Reads exactly `range` of the content, as part of whole blocks whose checksums match. Memory holds all of it, so
    /// long ranges are read in [`steps`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a block is not what was sealed, [`StoreError::Missing`] when the file is gone.
    pub(crate) async fn read(
        &self,
        files: &dyn FileStore,
        key: &StorageKey,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        if self.is_empty(&range)? {
            return Ok(Bytes::new());
        }
        let Some(bytes) = files.read_range(key, self.blocks_around(&range)).await? else {
            return Err(StoreError::Missing { path: key.path() });
        };
        self.cut(key, range, bytes)
    }

    /// The same for a staged file that was written through this seal's writer. Blocks: call it on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a block is not what was sealed, and when the file cannot be read.
    pub(crate) fn read_staged(&self, staged: &Staged, range: Range<u64>) -> Result<Bytes, StoreError> {
        if self.is_empty(&range)? {
            return Ok(Bytes::new());
        }
        let blocks = self.blocks_around(&range);
        let mut bytes = vec![0; (blocks.end - blocks.start) as usize];
        staged.read_exact_at(&mut bytes, blocks.start)?;
        self.slice(range, bytes.into()).map_err(|BrokenBlock { expected, found }| {
            StoreError::Corrupt(Damage { path: inside(staged.path()), expected, found })
        })
    }

    /// Cuts exactly `range` out of `blocks`, the bytes [around](Self::blocks_around) it, if their checksums match.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a block is not what was sealed.
    pub(crate) fn cut(
        &self,
        key: &StorageKey,
        range: Range<u64>,
        blocks: Bytes,
    ) -> Result<Bytes, StoreError> {
        self.slice(range, blocks)
            .map_err(|BrokenBlock { expected, found }| StoreError::Corrupt(Damage::of(key, expected, found)))
    }

    fn slice(&self, range: Range<u64>, blocks: Bytes) -> Result<Bytes, BrokenBlock> {
        let first = range.start / BLOCK;
        self.verify(first, &blocks)?;
        let start = first * BLOCK;
        Ok(blocks.slice((range.start - start) as usize..(range.end - start) as usize))
    }

    /// Whether `range` is empty; an error if it is not within the content.
    fn is_empty(&self, range: &Range<u64>) -> Result<bool, StoreError> {
        if range.start > range.end || range.end > self.length {
            let text = format!("expected a range within 0..{}, got {range:?}", self.length);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text).into());
        }
        Ok(range.is_empty())
    }

    /// The bytes of all blocks that `range` touches.
    pub(crate) fn blocks_around(&self, range: &Range<u64>) -> Range<u64> {
        range.start - range.start % BLOCK..range.end.next_multiple_of(BLOCK).min(self.length)
    }

    /// Compares `bytes`, which begin with block `first`, with the checksums.
    ///
    /// # Errors
    /// [`BrokenBlock`] names the first block that is not what was sealed.
    pub(crate) fn verify(&self, first: u64, bytes: &[u8]) -> Result<(), BrokenBlock> {
        let sealed = self.blocks.iter().skip(first as usize);
        for (at, (block, sealed)) in (first..).zip(bytes.chunks(BLOCK as usize).zip(sealed)) {
            let found = crc32_iscsi(block);
            if found != *sealed {
                return Err(BrokenBlock {
                    expected: format!("block {at} with the checksum {sealed:08x}"),
                    found: format!("{found:08x}"),
                });
            }
        }
        Ok(())
    }
}

/// A block whose checksum does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokenBlock {
    /// Which block, and its sealed checksum.
    pub(crate) expected: String,
    /// The checksum of what was read.
    pub(crate) found: String,
}

/// Cuts `range` into steps of up to 1 MiB that end where blocks end.
pub(crate) fn steps(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        at = (start / STEP).saturating_add(1).saturating_mul(STEP).min(range.end);
        (start < range.end).then_some(start..at)
    })
}

fn corrupt(key: &StorageKey, found: &str) -> StoreError {
    StoreError::Corrupt(Damage::of(key, "content that ends in its seal", found))
}
