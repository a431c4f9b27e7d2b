//! The first block of a compressed archive must not be a valid tar header by chance.
//!
//! Some readers try tar before gzip, and one archive in ten thousand would pass as a tar. In that case another value is
//! written into gzip's operating-system byte, which has no effect. Owns that byte. Must not know what is compressed.

use std::io::{self, Write};

use super::super::header::{BLOCK, could_be_header};

/// The offset of the operating system in a gzip header.
const SYSTEM: usize = 9;
/// The value "unknown", which is written unless the block would be a tar header.
pub(crate) const NO_SYSTEM: u8 = 255;
/// The assigned values: more than the ways in which a block can be a header.
const SYSTEMS: std::ops::RangeInclusive<u8> = 0..=13;

/// Holds the first block back until it is complete.
pub(crate) struct Undisguised<W> {
    sink: W,
    head: [u8; BLOCK],
    seen: usize,
}

impl<W: Write> Undisguised<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, head: [0; BLOCK], seen: 0 }
    }

    /// Writes what is held, and returns the sink.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if self.seen < BLOCK {
            self.sink.write_all(&self.head[..self.seen])?;
        }
        Ok(self.sink)
    }

    fn undisguise(&mut self) {
        for system in std::iter::once(NO_SYSTEM).chain(SYSTEMS) {
            self.head[SYSTEM] = system;
            if !could_be_header(&self.head) {
                return;
            }
        }
    }
}

impl<W: Write> Write for Undisguised<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.seen == BLOCK {
            return self.sink.write(bytes);
        }
        let count = bytes.len().min(BLOCK - self.seen);
        self.head[self.seen..][..count].copy_from_slice(&bytes[..count]);
        self.seen += count;
        if self.seen == BLOCK {
            self.undisguise();
            self.sink.write_all(&self.head)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output for `bytes`, written in pieces of `step`.
    fn through(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut sink = Undisguised::new(Vec::new());
        bytes.chunks(step).for_each(|piece| sink.write_all(piece).unwrap());
        sink.finish().unwrap()
    }

    /// A gzip header and noise that are a tar header with this value for the system: the checksum field holds their sum.
    fn disguised(system: u8) -> Vec<u8> {
        let mut bytes = vec![b'n'; 700];
        bytes[..10].copy_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, system]);
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes[SYSTEM] = NO_SYSTEM;
        bytes
    }

    #[test]
    fn a_block_that_is_a_header_gets_another_system() {
        let bytes = disguised(NO_SYSTEM);
        assert!(could_be_header(bytes[..BLOCK].try_into().unwrap()));
        for step in [1, 9, 511, 512, 513, 700] {
            let sent = through(&bytes, step);
            assert!(!could_be_header(sent[..BLOCK].try_into().unwrap()));
            assert_eq!((sent[SYSTEM], &sent[..SYSTEM], &sent[10..]), (0, &bytes[..SYSTEM], &bytes[10..]));
        }
    }

    #[test]
    fn any_other_block_is_unchanged() {
        let bytes = disguised(3);
        for len in [10, 511, 512, 513, 700] {
            assert_eq!(through(&bytes[..len], 100), bytes[..len]);
        }
        assert_eq!(through(&disguised(NO_SYSTEM)[..511], 100), disguised(NO_SYSTEM)[..511]);
    }
}
