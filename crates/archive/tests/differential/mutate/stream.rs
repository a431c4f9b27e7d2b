//! Changes to the stream: its order, its end, foreign pieces, and its gzip framing.
//!
//! Must not know the meaning of a header.

use fastrand::Rng;

use super::{any_header, pick};
use crate::block::{self, BLOCK, GNU, SIZE, USTAR, get, header, is_zero, piece, put};
use crate::corpus::{Base, file, hidden};
use crate::draft::{Draft, empty_member};

/// Two pieces change places.
pub(super) fn reorder(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let len = draft.pieces.len();
    if len > 0 {
        draft.pieces.swap(rng.usize(..len), rng.usize(..len));
    }
}

/// A piece comes twice.
pub(super) fn duplicate(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let len = draft.pieces.len();
    if len > 0 {
        let piece = draft.pieces[rng.usize(..len)].clone();
        draft.pieces.insert(rng.usize(..=len), piece);
    }
}

/// Removes a piece, or the last bytes of one.
pub(super) fn leave_out(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let len = draft.pieces.len();
    if len == 0 {
        return;
    }
    let at = rng.usize(..len);
    match rng.u8(..3) {
        0 => {
            let keep = rng.usize(..=draft.pieces[at].len());
            draft.pieces[at].truncate(keep);
        }
        1 => {
            let keep = draft.pieces[at].len().saturating_sub(BLOCK);
            draft.pieces[at].truncate(keep);
        }
        _ => drop(draft.pieces.remove(at)),
    }
}

/// Blocks of zeros between pieces.
pub(super) fn zeros(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let at = rng.usize(..=draft.pieces.len());
    for _ in 0..rng.u8(1..4) {
        draft.pieces.insert(at, vec![0; BLOCK]);
    }
}

/// Another end: no block, one block, many blocks, or other bytes after them.
pub(super) fn ending(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    while draft.pieces.last().is_some_and(|piece| is_zero(piece)) {
        draft.pieces.pop();
    }
    let blocks = [0, 1, 2, 3, 18, 400][rng.usize(..6)];
    draft.pieces.extend(vec![vec![0; BLOCK]; blocks]);
    match rng.u8(..6) {
        0 => draft.pieces.push(file(b"agents/after.md", b"after\n")),
        1 => draft.pieces.push(b"garbage".to_vec()),
        2 => draft.pieces.push(vec![0; rng.usize(1..BLOCK)]),
        3 => draft.pieces.push(vec![rng.u8(1..); BLOCK]),
        _ => {}
    }
}

/// Pieces of another archive.
pub(super) fn splice(draft: &mut Draft, rng: &mut Rng, bases: &[Base]) {
    let other = &bases[rng.usize(..bases.len())].draft.pieces;
    let from = rng.usize(..other.len());
    let count = rng.usize(1..4).min(other.len() - from);
    let at = rng.usize(..=draft.pieces.len());
    let replaced = rng.usize(..3).min(draft.pieces.len() - at);
    draft.pieces.splice(at..at + replaced, other[from..from + count].iter().cloned());
}

/// A file whose content is a tar, after a header with a smaller or larger length.
pub(super) fn smuggle(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let content = hidden();
    let name = format!("assets/{}.tar", rng.u8(..));
    let mut whole = piece(header(pick_magic(rng), b'0', name.as_bytes(), content.len()), &content);
    if rng.u8(..3) == 0 {
        let size = pick(
            rng,
            &[b"", b"0", b"+3000", b"00000000000\0", b"\x80\0\0\0\0\0\0\0\0\0\x06\0", b"3000\x008"],
        );
        put(&mut whole, SIZE, size);
        block::seal(&mut whole);
    }
    let at = rng.usize(..=draft.pieces.len());
    draft.pieces.insert(at, whole);
}

fn pick_magic(rng: &mut Rng) -> &'static [u8; 8] {
    if rng.bool() { USTAR } else { GNU }
}

/// Other content, as long as before.
pub(super) fn content(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let Some(at) = any_header(draft, rng) else { return };
    let piece = &mut draft.pieces[at];
    let size = block::octal(get(piece, SIZE)).min(piece.len() - BLOCK);
    if size > 0 {
        piece[BLOCK + rng.usize(..size)] = rng.u8(..);
    }
}

/// Another file, of any length.
pub(super) fn add(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let content = vec![rng.u8(..); [0, 1, 511, 512, 513, 1536, 70_000][rng.usize(..7)]];
    let name = format!("fresh/{}.md", rng.u16(..));
    let at = any_header(draft, rng).unwrap_or(0);
    draft.pieces.insert(at, piece(header(pick_magic(rng), b'0', name.as_bytes(), content.len()), &content));
}

/// Flips bits anywhere. In most cases, a header's checksum is corrected afterwards.
pub(super) fn flip(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let Some(at) = any_header(draft, rng) else { return };
    let piece = &mut draft.pieces[at];
    for _ in 0..rng.u8(1..4) {
        let place = if rng.bool() { rng.usize(..BLOCK) } else { rng.usize(..piece.len()) };
        piece[place] ^= 1 << rng.u8(..8);
    }
    if rng.u8(..5) > 0 {
        block::seal(piece);
    }
}

/// Another gzip framing: several members, header fields, stored blocks, bytes before or after.
pub(super) fn packing(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let ends: Vec<usize> = draft
        .pieces
        .iter()
        .scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        })
        .collect();
    let packing = &mut draft.packing;
    match rng.u8(..10) {
        0 => packing.cuts.push(rng.usize(..1 << 16)),
        1 => packing.cuts.extend(rng.choice(ends)),
        2 => packing.cuts.push(0),
        3 => packing.stored = true,
        4 => packing.flags = [2, 4, 8, 16, 1, 0x20, 0x80, 30][rng.usize(..8)],
        5 => packing.stamp = [rng.u8(..), 0, 0, 0, rng.u8(..), rng.u8(..)],
        6 => {
            packing.after = match rng.u8(..5) {
                0 => vec![0; rng.usize(1..1100)],
                1 => b"garbage".to_vec(),
                2 => empty_member(),
                3 => [vec![0; 16], empty_member()].concat(),
                _ => vec![0x1f, 0x8b],
            }
        }
        7 => packing.name = vec![rng.u8(1..); [0, 1, 100, 4000, 60_000][rng.usize(..5)]],
        8 => packing.before = if rng.bool() { empty_member() } else { vec![0; rng.usize(1..600)] },
        _ => packing.flips.push(rng.usize(..1 << 20)),
    }
}
