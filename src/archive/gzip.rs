//! The decompressed bytes of a gzip stream, in whole tar blocks and within a budget.
//!
//! Owns decompression, the count of unpacked bytes, and telling a source that failed from data that is
//! damaged. Must not know tar beyond the size of its blocks.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::{ArchiveError, Excess, Violation};

/// Tar's unit: everything starts at a multiple of it.
pub(super) const BLOCK: usize = 512;
/// Bytes unpacked at a time: whole blocks, so that no block is ever split.
const UNPACKED_BUFFER: usize = 512 * BLOCK;
const PACKED_BUFFER: usize = 64 * 1024;

/// What comes out of a gzip stream of one or more members. Callers take whole blocks in the end.
pub(super) struct Unpacked<R> {
    decoder: MultiGzDecoder<BufReader<Watched<R>>>,
    buffer: Box<[u8]>,
    filled: usize,
    taken: usize,
    total: u64,
    limit: u64,
}

impl<R: Read> Unpacked<R> {
    /// At most `limit` bytes may come out of `packed`.
    pub(super) fn new(packed: R, limit: u64) -> Self {
        let packed = BufReader::with_capacity(PACKED_BUFFER, Watched { source: packed, failure: None });
        Self {
            decoder: MultiGzDecoder::new(packed),
            buffer: vec![0; UNPACKED_BUFFER].into_boxed_slice(),
            filled: 0,
            taken: 0,
            total: 0,
            limit,
        }
    }

    /// The bytes unpacked so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Fails when `size` more bytes could not be taken within the budget.
    pub(super) fn afford(&self, size: u64) -> Result<(), Excess> {
        let taken = self.total - (self.filled - self.taken) as u64;
        if size <= self.limit - taken { Ok(()) } else { Err(Excess::Unpacked { limit: self.limit }) }
    }

    /// Takes the next bytes, at most `most`; none at the end of the stream.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8], ArchiveError> {
        if self.taken == self.filled {
            self.fill()?;
        }
        let ready = &self.buffer[self.taken..self.filled];
        let count = usize::try_from(most).map_or(ready.len(), |most| most.min(ready.len()));
        self.taken += count;
        Ok(&ready[..count])
    }

    /// Takes the next block; `None` at the end of the stream.
    pub(super) fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, ArchiveError> {
        match self.take(BLOCK as u64)? {
            [] => Ok(None),
            bytes => bytes.try_into().map(Some).map_err(|_| Violation::Truncated.into()),
        }
    }

    fn fill(&mut self) -> Result<(), ArchiveError> {
        (self.filled, self.taken) = (0, 0);
        while self.filled < self.buffer.len() {
            match self.decoder.read(&mut self.buffer[self.filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    self.filled += count;
                    self.total += count as u64;
                }
                Err(error) => return Err(self.blame(error)),
            }
            if self.total > self.limit {
                return Err(Excess::Unpacked { limit: self.limit }.into());
            }
        }
        Ok(())
    }

    fn blame(&mut self, error: io::Error) -> ArchiveError {
        match self.decoder.get_mut().get_mut().failure.take() {
            Some(failure) => ArchiveError::Source(failure),
            None => ArchiveError::Gzip(error),
        }
    }
}

/// Remembers its source's failure, which would be indistinguishable from the decoder's own.
struct Watched<R> {
    source: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::ErrorKind::Other.into());
                }
                Ok(count) => return Ok(count),
            }
        }
    }
}
