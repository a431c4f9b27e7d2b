//! Changes to extension headers: pax records and GNU's long names, well formed and not.
//!
//! Owns the keys that some reader uses. Must not know which of them the crate reads.

use fastrand::Rng;

use super::{any_header, names, pick};
use crate::block::{self, BLOCK, GNU, KIND, NAME, SIZE, USTAR, get, header, long, pax, piece, put, record};
use crate::corpus::{Base, file};
use crate::draft::Draft;

const KEYS: &[&[u8]] = &[
    b"path",
    b"path",
    b"path",
    b"size",
    b"size",
    b"size",
    b"linkpath",
    b"mtime",
    b"atime",
    b"ctime",
    b"uid",
    b"gid",
    b"uname",
    b"gname",
    b"comment",
    b"charset",
    b"hdrcharset",
    b"hdrcharset",
    b"SCHILY.realsize",
    b"SCHILY.dev",
    b"SCHILY.ino",
    b"SCHILY.nlink",
    b"SCHILY.filetype",
    b"SCHILY.fflags",
    b"SCHILY.devmajor",
    b"SCHILY.acl.access",
    b"SCHILY.acl.ace",
    b"SCHILY.xattr.user.a",
    b"SCHILY.tarfiletype",
    b"LIBARCHIVE.creationtime",
    b"LIBARCHIVE.xattr.user.a",
    b"LIBARCHIVE.symlinktype",
    b"GNU.sparse.major",
    b"GNU.sparse.minor",
    b"GNU.sparse.name",
    b"GNU.sparse.realsize",
    b"GNU.sparse.size",
    b"GNU.sparse.map",
    b"GNU.sparse.numblocks",
    b"GNU.sparse.offset",
    b"GNU.sparse.numbytes",
    b"GNU.dumpdir",
    b"GNU.volume.filename",
    b"GNU.volume.label",
    b"RHT.security.selinux",
    b"MSWINDOWS.rawsd",
    b"NODETAR.depth",
    b"APPLE.x",
    b"realtime.x",
    b"security.x",
    b"VENDOR.key",
    b"PATH",
    b" path",
    b"path ",
    b"path\0x",
    b"",
    b"mode",
    b"type",
    b"typeflag",
    b"prefix",
    b"name",
];

/// An extension header before some header.
pub(super) fn insert(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let Some(at) = any_header(draft, rng) else { return };
    let entry = draft.pieces[at].clone();
    let kind = pick(rng, &[b"x", b"x", b"x", b"x", b"g", b"L", b"L", b"K", b"X", b"N", b"V", b"M", b"D"])[0];
    let payload = match kind {
        b'x' | b'g' | b'X' => records(rng, &entry),
        _ => name_payload(rng, &entry),
    };
    let magic = if rng.u8(..8) == 0 || kind.is_ascii_uppercase() { GNU } else { USTAR };
    let name = match rng.u8(..6) {
        0 => names::any(rng),
        1 => b"././@LongLink".to_vec(),
        _ => b"PaxHeaders.0/entry".to_vec(),
    };
    draft.pieces.insert(at, piece(header(magic, kind, &name, payload.len()), &payload));
    // Another one before or after it: of two, readers take the first, the last, or both.
    if rng.u8(..6) == 0 {
        let again = match rng.u8(..4) {
            0 => draft.pieces[at].clone(),
            1 => pax(b'g', &[(b"comment", b"between")]),
            2 => pax(b'x', &[(b"mtime", b"1")]),
            _ => long(b'L', b"agents/other.md\0"),
        };
        draft.pieces.insert(at + usize::from(rng.bool()), again);
    }
}

/// An extension header as ordinary packers write it, before an entry of GNU or POSIX.
pub(super) fn ordinary(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let Some(at) = any_header(draft, rng) else { return };
    let extension = match rng.u8(..5) {
        0 => long(b'L', format!("long/{}/{}.md\0", "n".repeat(rng.usize(60..120)), rng.u16(..)).as_bytes()),
        1 => pax(b'x', &[(b"path", format!("fresh/{}.md", rng.u16(..)).as_bytes())]),
        2 => pax(b'x', &[(b"uid", b"3000000"), (b"gid", b"3000000"), (b"mtime", b"1715000000")]),
        3 => {
            let mtime = format!("{}.{}", rng.u64(..1 << 33) >> rng.u8(..33), "5".repeat(rng.usize(1..19)));
            pax(b'x', &[(b"mtime", mtime.as_bytes()), (b"atime", b"1715000000.5"), (b"ctime", b"1")])
        }
        _ => pax(b'g', &[(b"comment", b"0123456789abcdef0123456789abcdef01234567")]),
    };
    draft.pieces.insert(if rng.u8(..8) == 0 { 0 } else { at }, extension);
}

/// One to three records. Sometimes one of them is invalid.
fn records(rng: &mut Rng, entry: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..rng.u8(1..4) {
        let key = pick(rng, KEYS);
        let value = value(rng, key, entry);
        let mut bytes = record(key, &value);
        if rng.u8(..6) == 0 {
            spoil(rng, &mut bytes);
        }
        payload.extend(bytes);
        if rng.u8(..12) == 0 {
            payload.extend(record(key, &value));
        }
    }
    match rng.u8(..16) {
        0 => payload.push(0),
        1 => payload.push(b'\n'),
        2 => drop(payload.pop()),
        3 => payload.extend_from_slice(b"99999 path=x\n"),
        4 => payload.clear(),
        _ => {}
    }
    payload
}

fn value(rng: &mut Rng, key: &[u8], entry: &[u8]) -> Vec<u8> {
    let size = block::octal(get(entry, SIZE));
    let number = |rng: &mut Rng| match rng.u8(..14) {
        0..5 => size.to_string().into_bytes(),
        5 => (size + 512).to_string().into_bytes(),
        6 => size.saturating_sub(1).to_string().into_bytes(),
        7 => format!("0{size}").into_bytes(),
        8 => format!("+{size}").into_bytes(),
        9 => format!(" {size}").into_bytes(),
        10 => format!("{size}.5").into_bytes(),
        11 => format!("-{size}").into_bytes(),
        12 => format!("{size}\0").into_bytes(),
        _ => pick(rng, &[b"0", b"512", b"", b"x", b"1e3", b"0x10", b"99999999999", b"18446744073709551616"])
            .to_vec(),
    };
    if rng.u8(..10) == 0 {
        return pick(rng, &[b"", b"\n", b"a\n12 path=b.md\n", b"\0", b"=", b"a=b", b"\xff", b"x\0y"])
            .to_vec();
    }
    match key {
        b"path" | b"linkpath" | b"GNU.sparse.name" => match rng.u8(..4) {
            0 => text(entry),
            1 => [&text(entry)[..], pick(rng, &[b"/", b"//", b" ", b"\0", b"\0x", b"\n", b".", b"\\x"])]
                .concat(),
            _ => names::any(rng),
        },
        b"hdrcharset" => {
            pick(rng, &[b"BINARY", b"ISO-IR 10646 2000 UTF-8", b"ISO-8859-1", b"", b"UTF-16"]).to_vec()
        }
        b"GNU.sparse.map" => pick(rng, &[b"0,4", b"0,512,1024,1", b"", b"4,0", b"0,99999999"]).to_vec(),
        b"GNU.sparse.major" | b"GNU.sparse.minor" => pick(rng, &[b"0", b"1"]).to_vec(),
        b"SCHILY.filetype" | b"typeflag" | b"type" => {
            pick(rng, &[b"sparse", b"symlink", b"2", b"regular"]).to_vec()
        }
        b"SCHILY.acl.access" => b"user::rwx,group::---,other::---".to_vec(),
        b"SCHILY.fflags" => pick(rng, &[b"uchg", b"nodump", b"hidden"]).to_vec(),
        b"uname" | b"gname" | b"comment" => pick(rng, &[b"root", b"nobody", b"\xc3\xa9", b""]).to_vec(),
        _ => number(rng),
    }
}

fn text(entry: &[u8]) -> Vec<u8> {
    get(entry, NAME).iter().copied().take_while(|byte| *byte != 0).collect()
}

fn spoil(rng: &mut Rng, record: &mut Vec<u8>) {
    match rng.u8(..8) {
        0 => record.insert(0, b'0'),
        1 => record.insert(0, b' '),
        2 => record.insert(0, b'+'),
        3 => record[0] = record[0].wrapping_add(1),
        4 => drop(record.pop()),
        5 => record.push(b'\n'),
        6 => {
            if let Some(space) = record.iter().position(|byte| *byte == b' ') {
                record[space] = pick(rng, &[b"\t", b"\0", b"="])[0];
            }
        }
        _ => {
            let at = rng.usize(..record.len());
            record[at] = rng.u8(..);
        }
    }
}

/// A long name as GNU tar writes it, or in another form.
fn name_payload(rng: &mut Rng, entry: &[u8]) -> Vec<u8> {
    let mut payload = if rng.u8(..3) == 0 { text(entry) } else { names::any(rng) };
    payload.extend_from_slice(pick(
        rng,
        &[b"\0", b"\0", b"\0", b"", b"\0\0", b"\0x", b"\0x\0", b"/\0", b"\n\0", b" \0"],
    ));
    payload
}

/// Damages an existing extension header, or replaces its payload.
pub(super) fn edit(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let Some(at) = any_extension(draft, rng) else { return };
    let piece = &mut draft.pieces[at];
    if piece.len() <= BLOCK {
        return;
    }
    match rng.u8(..4) {
        0 => {
            let size = block::octal(get(piece, SIZE)).clamp(1, piece.len() - BLOCK);
            piece[BLOCK + rng.usize(..size)] =
                pick(rng, &[b"\0", b"\n", b" ", b"=", b"0", b"9", b"/", b"\xff"])[0];
        }
        1 => {
            let payload = records(rng, &piece[..BLOCK]);
            put(piece, SIZE, format!("{:011o}\0", payload.len()).as_bytes());
            piece.truncate(BLOCK);
            piece.extend(payload);
            piece.resize(piece.len().next_multiple_of(BLOCK), 0);
        }
        2 => {
            let size = block::octal(get(piece, SIZE));
            let size = [size + 1, size.saturating_sub(1), size + 512, 0, piece.len() - BLOCK][rng.usize(..5)];
            put(piece, SIZE, format!("{size:011o}\0").as_bytes());
        }
        _ => piece[KIND.at] = pick(rng, &[b"x", b"g", b"X", b"L", b"K", b"N", b"0"])[0],
    }
    block::seal(piece);
}

/// Replaces the zeros after a payload: by text, or by a header that only some readers reach.
pub(super) fn dirty_padding(draft: &mut Draft, rng: &mut Rng, _: &[Base]) {
    let extension = if rng.u8(..4) == 0 { any_header(draft, rng) } else { any_extension(draft, rng) };
    let Some(at) = extension else { return };
    let piece = &mut draft.pieces[at];
    let end = BLOCK + block::octal(get(piece, SIZE));
    if end >= piece.len() {
        return;
    }
    match rng.u8(..3) {
        0 => piece[end..].fill(rng.u8(1..)),
        1 => {
            let text = b"17 path=sneaky.md\n";
            let count = text.len().min(piece.len() - end);
            piece[end..end + count].copy_from_slice(&text[..count]);
        }
        _ => piece.extend(file(b"agents/after.md", b"")),
    }
}

fn any_extension(draft: &Draft, rng: &mut Rng) -> Option<usize> {
    let kinds = b"xgXLK";
    let extensions: Vec<usize> = (0..draft.pieces.len())
        .filter(|at| draft.pieces[*at].len() > BLOCK && kinds.contains(&draft.pieces[*at][KIND.at]))
        .collect();
    rng.choice(extensions)
}
