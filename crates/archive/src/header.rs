//! One header of a tar: its fields, and whether they are in the canonical form.
//!
//! Owns the offset of each field and how its bytes are read. Numbers are read strictly, since lenient readers disagree about
//! them. Must not know what comes before or after the header.

use std::borrow::Cow;

use super::framing::Quirk;
use super::paths::begins_as_another_format;
use super::{Excerpt, Violation};

/// The block size of tar: every header and content starts at a multiple of it.
pub(crate) const BLOCK: usize = 512;
/// The largest size that eleven octal digits hold.
pub(crate) const LARGEST_OCTAL: u64 = 0o777_7777_7777;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The longest prefix of star and node-tar, which put times after it.
const SHORT_PREFIX: usize = 130;

/// A header whose checksum is valid.
pub(crate) struct Header([u8; BLOCK]);

/// The format that a header declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Magic {
    /// POSIX: the only format with a prefix.
    Ustar,
    Gnu,
    Other,
}

/// A number, and the way it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// Octal digits, then spaces or NULs.
    Plain(u64),
    /// Leading spaces, or no terminator.
    Odd(u64),
    /// Base 256.
    Binary(u64),
    /// Only NULs.
    Missing,
    /// Readers disagree about the number.
    Broken,
}

impl Header {
    /// Reads a header whose checksum is valid.
    pub(crate) fn read(block: &[u8; BLOCK]) -> Result<Self, Violation> {
        let header = Self(*block);
        match header.number(148, 8) {
            Number::Plain(sum) | Number::Odd(sum) if sum == checksum(block) => Ok(header),
            _ => Err(Violation::Header),
        }
    }

    fn field(&self, at: usize, len: usize) -> &[u8] {
        &self.0[at..at + len]
    }

    fn text(&self, at: usize, len: usize) -> &[u8] {
        let field = self.field(at, len);
        &field[..field.iter().position(|byte| *byte == 0).unwrap_or(len)]
    }

    /// Whether only zeros follow the text of a field.
    fn ends_clean(&self, at: usize, len: usize) -> bool {
        is_zero(&self.field(at, len)[self.text(at, len).len()..])
    }

    fn number(&self, at: usize, len: usize) -> Number {
        number(self.field(at, len))
    }

    /// The type flag.
    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    pub(crate) fn magic(&self) -> Magic {
        match self.field(257, 8) {
            b"ustar\x0000" => Magic::Ustar,
            b"ustar  \0" => Magic::Gnu,
            _ => Magic::Other,
        }
    }

    /// The name field, without its prefix.
    pub(crate) fn name(&self) -> &[u8] {
        self.text(0, 100)
    }

    /// The target of a link.
    pub(crate) fn link(&self) -> &[u8] {
        self.text(157, 100)
    }

    /// The whole path.
    pub(crate) fn path(&self) -> Result<Cow<'_, [u8]>, Violation> {
        let (name, prefix) = (self.name(), self.prefix()?);
        if prefix.is_empty() || name.is_empty() {
            return Ok(name.into());
        }
        Ok([prefix, b"/", name].concat().into())
    }

    /// The prefix of the name. It is refused if some readers would ignore it.
    pub(crate) fn prefix(&self) -> Result<&[u8], Violation> {
        let prefix = self.text(345, 155);
        // Star writes times where a long prefix would end.
        let is_whole = self.field(508, 4) != b"tar\0" || prefix.len() <= SHORT_PREFIX;
        match self.magic() {
            Magic::Ustar if is_whole => Ok(prefix),
            Magic::Gnu if self.has_gnu_times() => Ok(b""),
            // Some readers use a prefix with any magic.
            _ if prefix.is_empty() => Ok(b""),
            _ => Err(Violation::Prefix(Excerpt::new(self.name()))),
        }
    }

    /// Whether the field of the prefix holds only the times of access and change, as GNU tar and Go write them.
    fn has_gnu_times(&self) -> bool {
        let is_time = |at| matches!(self.number(at, 12), Number::Plain(_) | Number::Missing);
        is_time(345) && is_time(357) && is_zero(self.field(369, 131))
    }

    pub(crate) fn size(&self) -> Result<u64, Violation> {
        self.number(124, 12).value().ok_or(Violation::Header)
    }

    pub(crate) fn mode(&self) -> Result<u64, Violation> {
        self.number(100, 8).value().ok_or(Violation::Header)
    }

    /// The first departure from the canonical form. An extension header may have any mode.
    pub(crate) fn quirk(&self) -> Option<Quirk> {
        let magic = self.magic();
        let prefix_clean = match magic {
            Magic::Ustar => self.ends_clean(345, 155),
            Magic::Gnu => is_zero(self.field(345, 155)),
            Magic::Other => return Some(Quirk::Magic),
        };
        let is_size = match self.number(124, 12) {
            Number::Plain(_) => true,
            Number::Binary(size) => magic == Magic::Gnu && size > LARGEST_OCTAL,
            Number::Odd(_) | Number::Missing | Number::Broken => false,
        };
        let is_device = |at| matches!(self.number(at, 8), Number::Plain(0) | Number::Missing);
        let prints = |at| {
            let name = self.text(at, 32);
            name.len() < 32 && self.ends_clean(at, 32) && !name.iter().any(u8::is_ascii_control)
        };
        let rows = [
            (prefix_clean && self.ends_clean(0, 100) && is_zero(self.field(500, 12)), Quirk::NameTail),
            (matches!(self.number(148, 8), Number::Plain(_)), Quirk::Checksum),
            (is_size, Quirk::Size),
            (self.is_mode(), Quirk::Mode),
            (is_owner(self.number(108, 8)) && is_owner(self.number(116, 8)), Quirk::Owner),
            (matches!(self.number(136, 12), Number::Plain(_) | Number::Missing), Quirk::Time),
            (is_zero(self.field(157, 100)), Quirk::Link),
            (prints(265) && prints(297), Quirk::OwnerName),
            (is_device(329) && is_device(337), Quirk::Device),
            (matches!(self.kind(), b'0' | b'5' | b'x' | b'g' | b'L' | b'K'), Quirk::Type),
        ];
        rows.into_iter().find_map(|(holds, quirk)| (!holds).then_some(quirk))
    }

    /// Whether a tar that begins with this header looks like another file format.
    pub(crate) fn is_sniffed(&self) -> bool {
        begins_as_another_format(self.name())
    }

    fn is_mode(&self) -> bool {
        let Number::Plain(mode) = self.number(100, 8) else { return false };
        match self.kind() {
            b'5' => mode & !0o7777 == 0 && mode & 0o700 == 0o700,
            b'x' | b'g' | b'L' | b'K' => true,
            _ => {
                let runs = mode & 0o111 == 0 || mode & 0o100 != 0;
                mode & !0o777 == 0 && mode & 0o400 != 0 && runs
            }
        }
    }
}

impl Number {
    fn value(self) -> Option<u64> {
        match self {
            Self::Plain(value) | Self::Odd(value) | Self::Binary(value) => Some(value),
            Self::Missing | Self::Broken => None,
        }
    }
}

fn is_owner(number: Number) -> bool {
    match number {
        Number::Plain(_) | Number::Missing => true,
        Number::Binary(id) => id <= i32::MAX as u64,
        Number::Odd(_) | Number::Broken => false,
    }
}

/// Reads a numeric field. A sign is not accepted, although some readers accept one.
fn number(field: &[u8]) -> Number {
    if let [0x80, binary @ ..] = field {
        let (high, low) = binary.split_at(binary.len().saturating_sub(8));
        let value = low.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        return if is_zero(high) { Number::Binary(value) } else { Number::Broken };
    }
    if is_zero(field) {
        return Number::Missing;
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let len = digits.iter().position(|byte| !matches!(byte, b'0'..=b'7')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(len);
    if digits.is_empty() || !rest.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Number::Broken;
    }
    let value = digits.iter().fold(0, |value, digit| value << 3 | u64::from(digit - b'0'));
    if start == 0 && !rest.is_empty() { Number::Plain(value) } else { Number::Odd(value) }
}

/// The sum of a header's bytes, with spaces in the checksum field.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let field = 148..156;
    let spaces = field.len() as u64 * u64::from(b' ');
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    sum(&block[..field.start]) + spaces + sum(&block[field.end..])
}

/// Whether any reader, however lenient, could find a valid checksum in `bytes`.
pub(crate) fn could_be_header(bytes: &[u8; BLOCK]) -> bool {
    let field = &bytes[148..156];
    let found = match field {
        // GNU tar of 1999 wrote base 64 behind a sign.
        [b'+' | b'-', sextets @ ..] => {
            let digits = sextets.iter().map_while(|byte| BASE64.iter().position(|digit| digit == byte));
            digits.fold(0, |value, digit| value << 6 | digit as i64)
        }
        [0x80 | 0xff, binary @ ..] => binary.iter().fold(0, |value, byte| value << 8 | i64::from(*byte)),
        octal => {
            let digits = octal.iter().skip_while(|byte| **byte == 0 || byte.is_ascii_whitespace());
            let digits = digits.take_while(|byte| matches!(byte, b'0'..=b'7'));
            digits.fold(0, |value, digit| value << 3 | i64::from(digit - b'0'))
        }
    };
    let unsigned = checksum(bytes) as i64;
    let high = bytes[..148].iter().chain(&bytes[156..]).filter(|byte| **byte >= 0x80).count() as i64;
    found == unsigned || found == unsigned - 256 * high
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
