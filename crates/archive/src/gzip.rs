//! The bytes of a tar, decompressed or as they come, in whole blocks and within a budget.
//!
//! Owns decompression, the count of unpacked bytes, and the difference between a failed source and damaged data. Must not
//! know tar beyond its block size.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{GzDecoder, MultiGzDecoder};

use super::framing::Quirk;
use super::header::{BLOCK, could_be_header, is_zero};
use super::{ArchiveError, Excess, Violation};

/// Bytes that are unpacked at a time: whole blocks, so that no block is split.
const UNPACKED_BUFFER: usize = 512 * BLOCK;
const PACKED_BUFFER: usize = 64 * 1024;

/// The offset of the flags in a gzip header. Of its optional fields, only a name is canonical.
const FLAGS: usize = 3;
const NAME: u8 = 1 << 3;
/// The offset of the first optional field.
const FIELDS: usize = 10;
/// The longest name that every reader of gzip accepts.
const LONGEST_NAME: usize = 255;

/// The bytes of a gzip stream of one or more members, or of a plain tar. Callers take whole blocks.
pub(crate) struct Unpacked<R> {
    decoder: Decoder<BufReader<WatchedSource<R>>>,
    buffer: Box<[u8]>,
    filled: usize,
    taken: usize,
    total: u64,
    limit: u64,
}

impl<R: Read> Unpacked<R> {
    /// At most `limit` bytes may come out of `packed`.
    pub(crate) fn gzip(packed: R, limit: u64) -> Self {
        Self::new(packed, limit, |packed| Decoder::First(GzDecoder::new(packed)))
    }

    /// The bytes of `tar`, which is not compressed. Its sender bounds it.
    pub(crate) fn plain(tar: R) -> Self {
        Self::new(tar, u64::MAX, Decoder::Plain)
    }

    fn new(
        source: R,
        limit: u64,
        decoder: impl FnOnce(BufReader<WatchedSource<R>>) -> Decoder<BufReader<WatchedSource<R>>>,
    ) -> Self {
        let watched = WatchedSource { source, failure: None, head: [0; BLOCK], seen: 0 };
        Self {
            decoder: decoder(BufReader::with_capacity(PACKED_BUFFER, watched)),
            buffer: vec![0; UNPACKED_BUFFER].into_boxed_slice(),
            filled: 0,
            taken: 0,
            total: 0,
            limit,
        }
    }

    /// The bytes unpacked so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The departure of the stream from the canonical form. Call it after the end.
    pub(crate) fn quirk(&mut self) -> Option<Quirk> {
        let behind = match self.decoder {
            Decoder::Further(_) => Some(Quirk::Members),
            Decoder::Padded(_) => Some(Quirk::Zeros),
            Decoder::First(_) | Decoder::Changing => None,
            Decoder::Plain(_) => return None,
        };
        let WatchedSource { head, seen, .. } = self.decoder.source()?.get_ref();
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

    /// Fails if `size` more bytes would exceed the budget.
    pub(crate) fn afford(&self, size: u64) -> Result<(), Excess> {
        let taken = self.total - (self.filled - self.taken) as u64;
        if size <= self.limit - taken { Ok(()) } else { Err(Excess::Unpacked(self.limit)) }
    }

    /// Takes the next bytes, at most `most`; none at the end of the stream.
    pub(crate) fn take(&mut self, most: u64) -> Result<&[u8], ArchiveError> {
        if self.taken == self.filled {
            self.fill()?;
        }
        let ready = &self.buffer[self.taken..self.filled];
        let count = usize::try_from(most).map_or(ready.len(), |most| most.min(ready.len()));
        self.taken += count;
        Ok(&ready[..count])
    }

    /// Takes the next block; `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Result<Option<&[u8; BLOCK]>, ArchiveError> {
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
                return Err(Excess::Unpacked(self.limit).into());
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
    /// Nothing is compressed.
    Plain(B),
    First(GzDecoder<B>),
    Further(MultiGzDecoder<B>),
    /// There was one member, followed by zeros: bsdtar fills the last block of a pipe with them.
    Padded(B),
    /// Never between two calls.
    Changing,
}

impl<B: BufRead> Decoder<B> {
    fn source(&mut self) -> Option<&mut B> {
        match self {
            Self::First(decoder) => Some(decoder.get_mut()),
            Self::Further(decoder) => Some(decoder.get_mut()),
            Self::Plain(source) | Self::Padded(source) => Some(source),
            Self::Changing => None,
        }
    }
}

impl<B: BufRead> Read for Decoder<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let first = match self {
            Self::Plain(plain) => return plain.read(buffer),
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

/// Remembers the first block of its source, and its failure: the decoder returns only its own errors.
struct WatchedSource<R> {
    source: R,
    failure: Option<io::Error>,
    head: [u8; BLOCK],
    /// Bytes of `head` that came.
    seen: usize,
}

impl<R> WatchedSource<R> {
    fn note(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(BLOCK - self.seen);
        self.head[self.seen..][..count].copy_from_slice(&bytes[..count]);
        self.seen += count;
    }
}

impl<R: Read> Read for WatchedSource<R> {
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
