//! The layout of a seal in its file.
//!
//! ```text
//! content ‖ checksum of every block: u32 … ‖ identity ‖ facts ‖ footer
//! footer = content length: u64 ‖ block size: u32 ‖ identity length: u16 ‖ facts length: u16 ‖ raw digest: 32 bytes
//!        ‖ digest it is known by: 32 bytes ‖ magic: 8 bytes ‖ version: u16 ‖ recipe: u16
//!        ‖ checksum of the trailer so far: u32
//! ```
//! Numbers are little-endian and checksums are CRC32C. Version 1 has no facts, and so is read as one whose facts are empty;
//! a seal without facts is still written as version 1. Owns this layout. Must not read from a store or check content.

use std::io;

use bytes::{Buf, BufMut};
use crc_fast::crc32_iscsi;

use super::{BLOCK, MAX_FACTS, Seal};
use crate::domain::Sha256;

const MAGIC: [u8; 8] = *b"SCRPSEAL";
/// A seal without facts.
const BARE: u16 = 1;
/// A seal with facts.
const WITH_FACTS: u16 = 2;
const CHECKSUM: usize = size_of::<u32>();
const FOOTER: usize = 8 + 4 + 4 + 32 + 32 + 8 + 2 + 2 + CHECKSUM;
/// Bounds the memory that a damaged footer can ask for.
const MAX_IDENTITY: u16 = 4096;

/// The trailer of `seal`.
pub(super) fn encode(seal: &Seal) -> io::Result<Vec<u8>> {
    let identity = short(seal.identity.len(), MAX_IDENTITY, "an identity")?;
    let facts = short(seal.facts.len(), MAX_FACTS as u16, "facts")?;
    let variable = seal.identity.len() + seal.facts.len();
    let mut out = Vec::with_capacity(seal.blocks.len() * CHECKSUM + variable + FOOTER);
    seal.blocks.iter().for_each(|checksum| out.put_u32_le(*checksum));
    out.put_slice(seal.identity.as_bytes());
    out.put_slice(&seal.facts);
    out.put_u64_le(seal.length);
    out.put_u32_le(BLOCK as u32);
    out.put_u16_le(identity);
    out.put_u16_le(facts);
    out.put_slice(seal.raw.as_bytes());
    out.put_slice(seal.known_by.as_bytes());
    out.put_slice(&MAGIC);
    out.put_u16_le(if facts == 0 { BARE } else { WITH_FACTS });
    out.put_u16_le(seal.recipe);
    out.put_u32_le(crc32_iscsi(&out));
    Ok(out)
}

/// The `length` of a part that is at most `most` bytes long.
fn short(length: usize, most: u16, what: &str) -> io::Result<u16> {
    u16::try_from(length).ok().filter(|length| *length <= most).ok_or_else(|| {
        let text = format!("expected {what} of up to {most} bytes, got {length}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// The length of the trailer of a file of `size` bytes that ends in `tail`.
pub(super) fn length(tail: &[u8], size: u64) -> Result<u64, &'static str> {
    Footer::parse(tail)?.trailer(size)
}

/// The seal of a file of `size` bytes that ends in `tail`.
pub(super) fn decode(tail: &[u8], size: u64) -> Result<Seal, &'static str> {
    const CUT: &str = "a part of a seal at the end";
    let footer = Footer::parse(tail)?;
    let length = usize::try_from(footer.trailer(size)?).map_err(|_| CUT)?;
    let start = tail.len().checked_sub(length).ok_or(CUT)?;
    let (trailer, checksum) = tail[start..].split_last_chunk::<CHECKSUM>().ok_or(CUT)?;
    if crc32_iscsi(trailer) != u32::from_le_bytes(*checksum) {
        return Err("a seal whose checksum does not match");
    }
    let variable = length - FOOTER;
    let (rest, facts) = trailer[..variable].split_at(variable - usize::from(footer.facts));
    let (blocks, identity) = rest.split_at(rest.len() - usize::from(footer.identity));
    Ok(Seal {
        length: footer.length,
        raw: footer.raw,
        known_by: footer.known_by,
        identity: String::from_utf8(identity.to_vec()).map_err(|_| "a seal whose identity is not UTF-8")?,
        recipe: footer.recipe,
        facts: facts.to_vec(),
        blocks: blocks
            .as_chunks::<CHECKSUM>()
            .0
            .iter()
            .map(|checksum| u32::from_le_bytes(*checksum))
            .collect(),
    })
}

/// The part of fixed size, which may be wrong until the checksum of the trailer matched.
struct Footer {
    length: u64,
    identity: u16,
    facts: u16,
    recipe: u16,
    raw: Sha256,
    known_by: Sha256,
}

impl Footer {
    fn parse(tail: &[u8]) -> Result<Self, &'static str> {
        let footer: &[u8; FOOTER] = tail.last_chunk().ok_or("too few bytes to hold a seal")?;
        let mut rest = footer.as_slice();
        let length = rest.get_u64_le();
        let block = rest.get_u32_le();
        let (identity, facts) = (rest.get_u16_le(), rest.get_u16_le());
        let raw = digest(&mut rest);
        let known_by = digest(&mut rest);
        if !rest.starts_with(&MAGIC) {
            return Err("something else at the end");
        }
        rest.advance(MAGIC.len());
        let (version, recipe) = (rest.get_u16_le(), rest.get_u16_le());
        let is_known = match version {
            BARE => facts == 0,
            WITH_FACTS => usize::from(facts) <= MAX_FACTS,
            _ => false,
        };
        if !is_known || u64::from(block) != BLOCK || identity > MAX_IDENTITY {
            return Err("a seal of another version");
        }
        Ok(Self { length, identity, facts, recipe, raw, known_by })
    }

    /// The length of the whole trailer; a file of another size was cut or grew.
    fn trailer(&self, size: u64) -> Result<u64, &'static str> {
        let table = self.length.div_ceil(BLOCK) * CHECKSUM as u64;
        let trailer = table + u64::from(self.identity) + u64::from(self.facts) + FOOTER as u64;
        if self.length.checked_add(trailer) == Some(size) {
            Ok(trailer)
        } else {
            Err("a file that is not as long as its seal says")
        }
    }
}

fn digest(from: &mut &[u8]) -> Sha256 {
    let mut bytes = [0; 32];
    from.copy_to_slice(&mut bytes);
    Sha256::new(bytes)
}
