//! The decompressed bytes of a gzip stream, in whole tar blocks and within a budget.
//!
//! Owns decompression, the count of unpacked bytes, and telling a source that failed from data that is
//! damaged. Must not know tar beyond the size of its blocks.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{GzDecoder, MultiGzDecoder};

use super::framing::Quirk;
use super::header::{could_be_header, is_zero};
use super::{ArchiveError, Excess, Violation};

/// Tar's unit: everything starts at a multiple of it.
pub(super) const BLOCK: usize = 512;
/// Bytes unpacked at a time: whole blocks, so that no block is ever split.
const UNPACKED_BUFFER: usize = 512 * BLOCK;
const PACKED_BUFFER: usize = 64 * 1024;

/// The flags of a gzip header: of its optional fields, only a name is canonical.
const FLAGS: usize = 3;
const NAME: u8 = 1 << 3;
/// Where the first optional field begins.
const FIELDS: usize = 10;
/// The longest name that every reader of gzip takes.
const LONGEST_NAME: usize = 255;

/// What comes out of a gzip stream of one or more members. Callers take whole blocks in the end.
pub(super) struct Unpacked<R> {
    decoder: Decoder<BufReader<Watched<R>>>,
    buffer: Box<[u8]>,
    filled: usize,
    taken: usize,
    total: u64,
    limit: u64,
}

impl<R: Read> Unpacked<R> {
    /// At most `limit` bytes may come out of `packed`.
    pub(super) fn new(packed: R, limit: u64) -> Self {
        let watched = Watched { source: packed, failure: None, head: [0; BLOCK], seen: 0 };
        let packed = BufReader::with_capacity(PACKED_BUFFER, watched);
        Self {
            decoder: Decoder::First(GzDecoder::new(packed)),
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

    /// How the stream departs from the canonical form; for after its end.
    pub(super) fn quirk(&mut self) -> Option<Quirk> {
        let behind = match self.decoder {
            Decoder::Further(_) => Some(Quirk::Members),
            Decoder::Padded(_) => Some(Quirk::Zeros),
            Decoder::First(_) | Decoder::Changing => None,
        };
        let Watched { head, seen, .. } = self.decoder.source()?.get_ref();
        match () {
            () if behind.is_some() => behind,
            () if head[FLAGS] & !NAME != 0 => Some(Quirk::GzipHeader),
            () if head[FLAGS] != 0 && !head[FIELDS..][..=LONGEST_NAME].contains(&0) => {
                Some(Quirk::GzipHeader)
            }
            () if *seen == BLOCK && could_be_header(head) => Some(Quirk::Disguise),
            () => None,
        }
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
        let failure = self.decoder.source().and_then(|packed| packed.get_mut().failure.take());
        match failure {
            Some(failure) => ArchiveError::Source(failure),
            None => ArchiveError::Gzip(error),
        }
    }
}

/// Decodes one member after another, and knows whether there was more than one.
enum Decoder<B> {
    First(GzDecoder<B>),
    Further(MultiGzDecoder<B>),
    /// There was one, and zeros are behind it: bsdtar fills the last block of a pipe with them.
    Padded(B),
    /// Never between two calls.
    Changing,
}

impl<B: BufRead> Decoder<B> {
    fn source(&mut self) -> Option<&mut B> {
        match self {
            Self::First(decoder) => Some(decoder.get_mut()),
            Self::Further(decoder) => Some(decoder.get_mut()),
            Self::Padded(source) => Some(source),
            Self::Changing => None,
        }
    }
}

impl<B: BufRead> Read for Decoder<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let first = match self {
            Self::First(first) => first,
            Self::Further(further) => return further.read(buffer),
            Self::Padded(source) => return expect_only_zeros(source),
            Self::Changing => return Ok(0),
        };
        let count = first.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let Some(next) = first.get_mut().fill_buf()?.first().copied() else { return Ok(0) };
        if let Self::First(first) = std::mem::replace(self, Self::Changing) {
            let source = first.into_inner();
            *self = match next {
                0 => Self::Padded(source),
                _ => Self::Further(MultiGzDecoder::new(source)),
            };
        }
        self.read(buffer)
    }
}

fn expect_only_zeros(source: &mut impl BufRead) -> io::Result<usize> {
    loop {
        let bytes = source.fill_buf()?;
        let length = bytes.len();
        if !is_zero(bytes) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if length == 0 {
            return Ok(0);
        }
        source.consume(length);
    }
}

/// Remembers how its source begins, and its failure, which would be indistinguishable from the decoder's own.
struct Watched<R> {
    source: R,
    failure: Option<io::Error>,
    head: [u8; BLOCK],
    /// Bytes of `head` that came.
    seen: usize,
}

impl<R> Watched<R> {
    fn note(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(BLOCK - self.seen);
        self.head[self.seen..][..count].copy_from_slice(&bytes[..count]);
        self.seen += count;
    }
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
                Ok(count) => {
                    self.note(&buffer[..count]);
                    return Ok(count);
                }
            }
        }
    }
}
