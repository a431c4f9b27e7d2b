//! Changes to one header: its numbers, texts, kind and dialect.
//!
//! Owns the spellings that readers read differently. Most changes are followed by a valid checksum, since all readers refuse
//! an invalid one.

use fastrand::Rng;

use super::{any_header, names, pick};
use crate::block::{
    self, CHECKSUM, Field, GID, GNU, GROUP, KIND, LINK, MAGIC, MODE, MTIME, NAME, NUMBERS, OWNER, PREFIX,
    SIZE, TEXTS, UID, USTAR, get, put,
};
use crate::corpus::Base;
use crate::draft::Draft;

const KINDS: &[u8] = b"\x000123456789ADEIKLMNPRSTVXZagxz \xff";

/// Changes a numeric field: another spelling of the value, another value, or nonsense.
pub(super) fn number(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let field = match rng.u8(..3) {
            0 => SIZE,
            _ => NUMBERS[rng.usize(..NUMBERS.len())],
        };
        let value = match rng.u8(..6) {
            0 => rng.u64(..2048),
            1 => 512 * rng.u64(..4),
            2 => rng.u64(..) >> rng.u8(..64),
            _ => block::octal(get(header, field)) as u64,
        };
        let spelled = spell(rng, field, value);
        put(header, field, &spelled);
    });
}

/// A value in a spelling that some packer writes or some reader accepts.
fn spell(rng: &mut Rng, Field { len, .. }: Field, value: u64) -> Vec<u8> {
    let width = len - 1;
    match rng.u8(..24) {
        0 => format!("{value:0len$o}").into_bytes(),
        1 => format!("{value:0width$o} ").into_bytes(),
        2 => format!("{value:>width$o}\0").into_bytes(),
        3 => format!("{value:>width$o} ").into_bytes(),
        4 => format!("{value:o}").into_bytes(),
        5 => format!("{value:o} \0").into_bytes(),
        6 => format!("+{value:o}").into_bytes(),
        7 => format!("-{value:o}").into_bytes(),
        8 => format!("0x{value:x}").into_bytes(),
        9 => format!("{value}").into_bytes(),
        10 => format!("{value:o}\0{value:o}").into_bytes(),
        11 => format!("{value:o} {}", rng.u8(..)).into_bytes(),
        12 => format!("{value:o}{}", char::from(pick(rng, &[b"8", b"9", b"a", b"/", b".", b"-"])[0]))
            .into_bytes(),
        13 => format!("\0{value:o}").into_bytes(),
        14 => format!("\t{value:o}").into_bytes(),
        15 => format!("0o{value:o}").into_bytes(),
        16 => format!("{value:o}_0").into_bytes(),
        17 => vec![b' '; len],
        18 => vec![],
        19 => vec![rng.u8(..); len],
        20 => (0..len).map(|_| rng.u8(..)).collect(),
        first => {
            let fill = if first == 21 { 0xff } else { 0 };
            let mut bytes = vec![fill; len];
            let digits = value.to_be_bytes();
            let count = len.min(8);
            bytes[len - count..].copy_from_slice(&digits[8 - count..]);
            bytes[0] |= 0x80;
            if first == 23 {
                let at = rng.usize(..len);
                bytes[at] |= 1 << rng.u8(..8);
            }
            bytes
        }
    }
}

/// Changes a text field: garbage, the magic of another format, NULs inside.
pub(super) fn text(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let field = TEXTS[rng.usize(..TEXTS.len())];
        match rng.u8(..6) {
            0 => put(header, field, &names::any(rng)),
            1 => put(header, field, b"volume.toml"),
            2 => put(header, field, &[]),
            3 => put(header, field, &vec![rng.u8(b' '..0x7f); field.len]),
            4 => header[field.at + rng.usize(..field.len)] = rng.u8(..),
            _ => put(
                header,
                field,
                pick(rng, &[b"\0x", b"a\0b", b"\xff", b"tar\0", b"ustar", b"1", b"0000000", b" "]),
            ),
        }
    });
}

/// Another kind of entry.
pub(super) fn kind(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        header[KIND.at] = KINDS[rng.usize(..KINDS.len())];
        if rng.u8(..4) == 0 {
            put(header, LINK, pick(rng, &[b"volume.toml", b"agents/review.md", b"../escaped", b""]));
        }
    });
}

/// Another magic, with or without bytes in the prefix.
pub(super) fn dialect(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let other: &[&[u8]] = &[
            USTAR,
            GNU,
            b"",
            b"ustar\0  ",
            b"ustar\x0001",
            b"ustar   ",
            b"ustar 00",
            b"ustar00\0",
            b"ustar\0\0\0",
            b"USTAR\x0000",
            b"xstar\x0000",
            b"ustarxxx",
        ];
        put(header, MAGIC, pick(rng, other));
        if rng.bool() {
            put(
                header,
                PREFIX,
                pick(rng, &[b"", b"agents", b"deep/er", b"\0x", b"/", b"00000000001\0", b".."]),
            );
        }
        if rng.u8(..4) == 0 {
            header[508..512].copy_from_slice(b"tar\0");
        }
    });
}

/// Another name, in the fields that a header has for it.
pub(super) fn name(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let name = names::any(rng);
        match rng.u8(..5) {
            0 => put(header, PREFIX, &name),
            1 => {
                let mut changed = get(header, NAME).to_vec();
                let end = changed.iter().position(|byte| *byte == 0).unwrap_or(NAME.len);
                changed.truncate(end);
                changed.extend_from_slice(pick(
                    rng,
                    &[b"/", b"//", b" ", b".", b"/.", b"\\", b"\0x", b"\0/", b"\n"],
                ));
                put(header, NAME, &changed);
            }
            _ => put(header, NAME, &name),
        }
    });
}

/// Other permissions.
pub(super) fn mode(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let mode = match rng.u8(..3) {
            0 => rng.u32(..0o10000),
            1 => 0o100_000 | rng.u32(..0o1000),
            _ => {
                [0o644, 0o755, 0o664, 0o775, 0o600, 0o700, 0o777, 0o444, 0o555, 0o654, 0o645][rng.usize(..11)]
            }
        };
        put(header, MODE, format!("{mode:07o}\0").as_bytes());
    });
}

/// Owner, group, time and permissions, as ordinary packers write them.
pub(super) fn ordinary(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    edit(draft, rng, |header, rng| {
        let numbers = [(UID, 1 << 21), (GID, 1 << 21), (MTIME, 1 << 33)];
        let (field, most) = numbers[rng.usize(..numbers.len())];
        let (value, width) = (rng.u64(..most) >> rng.u8(..20), field.len - 1);
        let number = match rng.u8(..4) {
            0 => format!("{value:0width$o}\0"),
            1 => format!("{value:0width$o} "),
            2 => format!("{value:0width$o}", width = width - 1) + " \0",
            _ => format!("{value:o}\0"),
        };
        match rng.u8(..4) {
            0 => put(header, OWNER, pick(rng, &[b"root", b"", b"somebody", b"a b", b"DOMAIN+user"])),
            1 => put(header, GROUP, pick(rng, &[b"wheel", b"", b"users", b"a-very-long-name-of-a-group-xy"])),
            _ => put(header, field, number.as_bytes()),
        }
    });
}

/// Applies `change` to a header. In nine of ten cases, its checksum is corrected afterwards.
fn edit(draft: &mut Draft, rng: &mut Rng, change: impl FnOnce(&mut [u8], &mut Rng)) {
    let Some(at) = any_header(draft, rng) else { return };
    let header = &mut draft.pieces[at][..block::BLOCK];
    let before = get(header, CHECKSUM).to_vec();
    change(header, rng);
    let asked_for_another = get(header, CHECKSUM) != before;
    if !asked_for_another && rng.u8(..10) > 0 {
        block::seal(header);
    }
}
