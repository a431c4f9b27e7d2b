//! A draft of an archive: pieces of a tar, and their gzip framing.
//!
//! Owns the gzip framing. It is written byte by byte, since no library writes all its forms.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// The draft that mutations change.
#[derive(Clone)]
pub(crate) struct Draft {
    /// Headers with their payloads, and blocks of zeros.
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) packing: Packing,
}

/// The compression of a tar.
#[derive(Clone, Default)]
pub(crate) struct Packing {
    /// The offsets in the tar at which a gzip member ends and the next begins.
    pub(crate) cuts: Vec<usize>,
    /// Whether blocks are stored instead of deflated.
    pub(crate) stored: bool,
    /// gzip's FLG: FTEXT 1, FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16, and unused bits.
    pub(crate) flags: u8,
    /// The name in the header and its NUL, if there is one.
    pub(crate) name: Vec<u8>,
    /// Modification time, extra flags and system of the header.
    pub(crate) stamp: [u8; 6],
    /// The bytes before the first member.
    pub(crate) before: Vec<u8>,
    /// The bytes after the last member.
    pub(crate) after: Vec<u8>,
    /// The offsets of bits that are flipped last.
    pub(crate) flips: Vec<usize>,
}

impl Draft {
    /// The tar in `pieces`, packed in one plain member.
    pub(crate) fn new(pieces: Vec<Vec<u8>>) -> Self {
        Self { pieces, packing: Packing::default() }
    }

    /// Its bytes as they would be sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.packing.pack(&self.pieces.concat())
    }
}

impl Packing {
    fn pack(&self, plain: &[u8]) -> Vec<u8> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut % (plain.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(plain.len());
        let mut packed = self.before.clone();
        let mut from = 0;
        for cut in cuts {
            self.member(&plain[from..cut], &mut packed);
            from = cut;
        }
        packed.extend_from_slice(&self.after);
        for place in &self.flips {
            let bits = packed.len() * 8;
            packed[place % bits / 8] ^= 1 << (place % 8);
        }
        packed
    }

    fn member(&self, plain: &[u8], packed: &mut Vec<u8>) {
        let begin = packed.len();
        let flags = self.flags | if self.name.is_empty() { 0 } else { 8 };
        packed.extend_from_slice(&[0x1f, 0x8b, 8, flags]);
        packed.extend_from_slice(&self.stamp);
        let name = [&self.name, &b"\0"[..]].concat();
        for (flag, field) in [(4, &b"\x06\0ab\x02\0hi"[..]), (8, &name), (16, b"a comment\0")] {
            if flags & flag != 0 {
                packed.extend_from_slice(field);
            }
        }
        if flags & 2 != 0 {
            let sum = crc(&packed[begin..]).to_le_bytes();
            packed.extend_from_slice(&sum[..2]);
        }
        let level = if self.stored { Compression::none() } else { Compression::fast() };
        let mut deflate = DeflateEncoder::new(&mut *packed, level);
        deflate.write_all(plain).unwrap();
        deflate.finish().unwrap();
        packed.extend_from_slice(&crc(plain).to_le_bytes());
        packed.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    }
}

/// An empty member, which most readers skip.
pub(crate) fn empty_member() -> Vec<u8> {
    Packing::default().pack(b"")
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
