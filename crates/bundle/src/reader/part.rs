//! One tar file of blobs, read from its beginning to its end.
//!
//! Owns the walk: an entry is taken only where its header is the one that its digest and size give. After something else the
//! walk goes on at the next block, so that damage costs the blobs that it hit and no others. Must not know where the file lies.

use std::io::{self, BufReader, Read};

use archive::Sha256;

use super::index::{BlobPlace, ListedBlob};
use super::problem::BlobFault;
use super::watch::InspectionWatch;
use crate::hashing::{Hasher, Hashing};
use crate::manifest::BundlePart;
use crate::tar_form::{BLOCK, END, header, named, padding};

const BUFFER: usize = 256 * 1024;

/// A part that is being read.
pub(super) struct PartWalk<'a, R> {
    source: BufReader<Hashing<R>>,
    part: &'a BundlePart,
    number: u16,
    at: u64,
    /// Where something else than a blob stood first.
    odd: Option<u64>,
}

impl<'a, R: Read> PartWalk<'a, io::Take<R>> {
    pub(super) fn new(source: R, number: u16, part: &'a BundlePart) -> Self {
        let source = BufReader::with_capacity(BUFFER, Hashing::new(source.take(part.size)));
        Self { source, part, number, at: 0, odd: None }
    }

    /// Finds the blobs in it, and notes where they are.
    ///
    /// # Errors
    /// What is wrong with the part as a whole.
    pub(super) fn read(
        mut self,
        blobs: &mut [ListedBlob],
        watch: &mut InspectionWatch<'_>,
    ) -> Result<(), BlobFault> {
        let entries = self.part.size.saturating_sub(END.len() as u64);
        let mut block = [0; BLOCK];
        while self.at < entries {
            let here = self.at;
            self.take(&mut block)?;
            if !self.entry(&block, blobs, watch)? {
                self.odd.get_or_insert(here);
            }
        }
        let mut end = Vec::with_capacity(END.len());
        self.source.read_to_end(&mut end)?;
        if end != END {
            self.odd.get_or_insert(entries);
        }
        let Hashing { hasher, bytes, .. } = self.source.into_inner();
        if bytes < self.part.size {
            return Err(BlobFault::CutOff);
        }
        match self.odd {
            Some(at) => Err(BlobFault::Framing { at }),
            None if hasher.finish() != self.part.sha256 => Err(BlobFault::Digest),
            None => Ok(()),
        }
    }

    /// Takes the entry behind a header, if it is one of a listed blob and all of it can be in this part.
    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        blobs: &mut [ListedBlob],
        watch: &mut InspectionWatch<'_>,
    ) -> Result<bool, BlobFault> {
        let found = named(block).and_then(|digest| {
            let at = blobs.binary_search_by_key(&digest, |blob| blob.digest).ok()?;
            blobs.get_mut(at).filter(|blob| header(&digest, blob.size) == *block)
        });
        let Some(blob) = found else { return Ok(false) };
        let at = self.at;
        if blob.size > self.part.size - at {
            return Ok(false);
        }
        let digest = self.content(blob.size, watch)?;
        let mut pad = [0; BLOCK];
        let pad = &mut pad[..padding(blob.size)];
        self.take(pad)?;
        if pad.iter().any(|byte| *byte != 0) {
            self.odd.get_or_insert(self.at - pad.len() as u64);
        }
        match (digest == blob.digest, blob.place) {
            (true, BlobPlace::Nowhere | BlobPlace::Damaged) => {
                blob.place = BlobPlace::Part { number: self.number, at };
                Ok(true)
            }
            (false, BlobPlace::Nowhere) => {
                blob.place = BlobPlace::Damaged;
                Ok(true)
            }
            // It comes twice.
            (true | false, _) => Ok(false),
        }
    }

    fn content(&mut self, size: u64, watch: &mut InspectionWatch<'_>) -> Result<Sha256, BlobFault> {
        let (mut hasher, mut left) = (Hasher::default(), size);
        while left > 0 {
            let bytes = io::BufRead::fill_buf(&mut self.source)?;
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            if taken == 0 {
                return Err(BlobFault::CutOff);
            }
            hasher.update(&bytes[..taken]);
            io::BufRead::consume(&mut self.source, taken);
            (left, self.at) = (left - taken as u64, self.at + taken as u64);
            watch.read(taken as u64);
        }
        Ok(hasher.finish())
    }

    fn take(&mut self, block: &mut [u8]) -> Result<(), BlobFault> {
        self.source.read_exact(block)?;
        self.at += block.len() as u64;
        Ok(())
    }
}
