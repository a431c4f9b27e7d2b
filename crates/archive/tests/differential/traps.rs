//! Archives that readers unpack to different trees, each for one reason.
//!
//! Owns the list. If such an archive were sent unchanged, some clients would unpack a tree that was never hashed.

use crate::block::{
    BLOCK, Field, GNU, KIND, LINK, MODE, MTIME, NAME, PREFIX, SIZE, UID, USTAR, header, long, pax, piece, put,
};
use crate::corpus::{edited, file, hidden, volume};
use crate::draft::{Draft, empty_member};

/// A reason, and an archive.
pub(crate) type Trap = (&'static str, Draft);

/// All of them.
pub(crate) fn traps() -> Vec<Trap> {
    let framing = extensions().into_iter().chain(headers()).chain(streams());
    framing.map(|(why, pieces)| (why, Draft::new(pieces))).chain(packings()).collect()
}

/// Traps that affect only node-tar or Windows.
pub(crate) const FOR_OTHERS: &[&str] =
    &["hdrcharset", "a link name on a file of the first kind", "a name with a backslash"];

type Pieces = Vec<Vec<u8>>;

/// A file whose header was changed.
fn with(field: Field, bytes: &[u8]) -> Vec<u8> {
    edited(header(USTAR, b'0', b"docs/odd.md", 4), |header| put(header, field, bytes), b"odd\n")
}

/// An extension header that does not end where its size says.
fn dirty(mut extension: Vec<u8>, from: usize) -> Vec<u8> {
    let more = b"19 path=sneaky.md.\n";
    extension[BLOCK + from..][..more.len()].copy_from_slice(more);
    extension
}

fn extensions() -> Vec<(&'static str, Pieces)> {
    let odd = || file(b"docs/odd.md", b"odd\n");
    let path = |value: &[u8]| pax(b'x', &[(b"path", value)]);
    let sized =
        |size: &[u8]| volume(vec![pax(b'x', &[(b"size", size)]), file(b"assets/nested.tar", &hidden())]);
    let entry = |records: &[(&[u8], &[u8])]| volume(vec![pax(b'x', records), odd()]);
    vec![
        ("a payload of x with records in its padding", volume(vec![dirty(path(b"docs/a.md"), 18), odd()])),
        (
            "L without a closing NUL and dirt after it",
            volume(vec![dirty(long(b'L', b"docs/long.md"), 12), odd()]),
        ),
        ("a line feed in a pax value", entry(&[(b"comment", b"a\n18 path=docs/b.md")])),
        ("a NUL in a pax path", entry(&[(b"path", b"docs/a.md\0x")])),
        ("an empty pax path", entry(&[(b"path", b"")])),
        ("two pax headers before an entry", volume(vec![path(b"docs/a.md"), path(b"docs/b.md"), odd()])),
        ("x and L before an entry", volume(vec![path(b"docs/a.md"), long(b'L', b"docs/b.md\0"), odd()])),
        ("L and x before an entry", volume(vec![long(b'L', b"docs/b.md\0"), path(b"docs/a.md"), odd()])),
        (
            "two L before an entry",
            volume(vec![long(b'L', b"docs/a.md\0"), long(b'L', b"docs/b.md\0"), odd()]),
        ),
        (
            "g between x and its entry",
            volume(vec![path(b"docs/a.md"), pax(b'g', &[(b"comment", b"c")]), odd()]),
        ),
        ("a global path", volume(vec![pax(b'g', &[(b"path", b"docs/a.md")]), odd()])),
        ("a pax size below the header's", sized(b"0")),
        ("a pax size with a sign", sized(b"+512")),
        ("an empty pax size", sized(b"")),
        ("SCHILY.realsize", entry(&[(b"SCHILY.realsize", b"2")])),
        ("GNU.sparse.name", entry(&[(b"GNU.sparse.name", b"docs/s.md"), (b"GNU.sparse.major", b"1")])),
        ("GNU.sparse.size", entry(&[(b"GNU.sparse.size", b"9"), (b"GNU.sparse.numblocks", b"0")])),
        ("a name in another Unicode form, in pax", entry(&[(b"path", "docs/cafe\u{301}.md".as_bytes())])),
        ("hdrcharset", entry(&[(b"hdrcharset", b"BINARY"), (b"path", b"docs/\xff.md")])),
        (
            "an old extended header X",
            volume(vec![piece(header(USTAR, b'X', b"PaxHeaders/x", 18), b"18 path=docs/a.md\n"), odd()]),
        ),
    ]
}

fn headers() -> Vec<(&'static str, Pieces)> {
    let one = |piece: Vec<u8>| volume(vec![piece]);
    let prefixed = |magic: &[u8; 8]| {
        one(edited(header(magic, b'0', b"docs/odd.md", 4), |header| put(header, PREFIX, b"deep"), b"odd\n"))
    };
    let of_kind = |kind: u8| {
        one(edited(header(USTAR, kind, b"docs/odd.md", 4), |header| put(header, KIND, &[kind]), b"odd\n"))
    };
    let nested = |size: &[u8]| {
        let content = hidden();
        let edit = |header: &mut [u8; BLOCK]| put(header, SIZE, size);
        one(edited(header(USTAR, b'0', b"assets/nested.tar", content.len()), edit, &content))
    };
    vec![
        ("a prefix under GNU's magic", prefixed(GNU)),
        ("a prefix without a magic", prefixed(&[0; 8])),
        ("a prefix under a magic with spaces", prefixed(b"ustar\0  ")),
        ("a prefix under another version", prefixed(b"ustar\x0001")),
        ("a plus before the size", nested(b"+4000")),
        ("a size with a NUL before its digits", nested(b"\x004000")),
        ("a size with a letter", nested(b"4000x")),
        ("a size with an eight", nested(b"40008")),
        ("a negative size", nested(&[0xff; 12])),
        ("an owner that is no number", one(with(UID, b"garbage"))),
        ("a time that is no number", one(with(MTIME, b"yesterday"))),
        ("a time past every calendar", one(with(MTIME, b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))),
        ("a device that is no number", one(with(Field { at: 329, len: 8 }, b"garbage"))),
        ("a mode that is no number", one(with(MODE, b"rwxr-xr-"))),
        ("executable for others only", one(with(MODE, b"0000645\0"))),
        ("readable for nobody", one(with(MODE, b"0000000\0"))),
        ("set-user-id", one(with(MODE, b"0004755\0"))),
        (
            "a link name on a file of the first kind",
            one(edited(
                header(USTAR, 0, b"docs/odd.md", 4),
                |header| put(header, LINK, b"volume.toml"),
                b"odd\n",
            )),
        ),
        ("kind S", of_kind(b'S')),
        ("kind M", of_kind(b'M')),
        ("kind V", of_kind(b'V')),
        ("kind N", of_kind(b'N')),
        ("kind Z", of_kind(b'Z')),
        (
            "a NUL kind and a slash at the end",
            one(edited(header(USTAR, 0, b"assets/odd/", hidden().len()), |_| {}, &hidden())),
        ),
        (
            "kind 0 and a slash at the end",
            one(edited(header(USTAR, b'0', b"assets/odd/", 4), |_| {}, b"odd\n")),
        ),
        (
            "a folder with content",
            one(edited(
                header(USTAR, b'5', b"assets/odd/", hidden().len()),
                |header| put(header, MODE, b"0000755\0"),
                &hidden(),
            )),
        ),
        ("a name with a backslash", one(with(NAME, b"..\\escaped"))),
        ("a name for a drive", one(with(NAME, b"C:/escaped"))),
    ]
}

fn streams() -> Vec<(&'static str, Pieces)> {
    vec![
        ("a block of zeros in the midst", volume(vec![vec![0; BLOCK], file(b"docs/odd.md", b"odd\n")])),
        ("an end in the midst", volume(vec![vec![0; 2 * BLOCK], file(b"docs/odd.md", b"odd\n")])),
        ("a wrong checksum in the midst", {
            let mut broken = file(b"docs/odd.md", b"odd\n");
            broken[0] = b'D';
            volume(vec![broken])
        }),
    ]
}

fn packings() -> Vec<Trap> {
    let packed = |edit: fn(&mut Draft)| {
        let mut draft = Draft::new(volume(vec![file(b"docs/odd.md", b"odd\n")]));
        edit(&mut draft);
        draft
    };
    vec![
        ("members that part at an entry", packed(|draft| draft.packing.cuts = vec![4 * BLOCK])),
        ("members that part within a block", packed(|draft| draft.packing.cuts = vec![700])),
        ("an empty first member", packed(|draft| draft.packing.before = empty_member())),
        ("something after the last member", packed(|draft| draft.packing.after = b"garbage".to_vec())),
        ("flags of gzip that mean nothing", packed(|draft| draft.packing.flags = 0x20)),
    ]
}
