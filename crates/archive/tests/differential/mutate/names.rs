//! Names that some system reads as another name.
//!
//! Owns the list. No name leads to a path where a test could do harm.

use fastrand::Rng;

use super::pick;
use crate::escape::ABSOLUTE;

const NAMES: &[&[u8]] = &[
    b"",
    b"/",
    b".",
    b"..",
    b"./",
    b"../escaped",
    b"a/../../escaped",
    b"./volume.toml",
    b"agents//review.md",
    b"agents/./review.md",
    b"agents/../volume.toml",
    b"agents/review.md/",
    b"agents/review.md/.",
    b"volume.toml/",
    b"volume.toml/below",
    b"agents",
    b"agents/",
    b"agents/review.md",
    b"volume.toml",
    b"VOLUME.TOML",
    b"Volume.toml",
    b"agents/REVIEW.md",
    b"AGENTS/review.md",
    b"agents/review.md ",
    b" volume.toml",
    b"volume.toml.",
    b"volume.toml\0hidden",
    b"\0volume.toml",
    b"agents\\review.md",
    b"..\\escaped",
    b"C:/escaped",
    b"c:escaped",
    b"\\escaped",
    b"\\\\?\\C:\\x",
    b"con",
    b"aux.txt",
    b"docs/nul",
    b"docs/a:b",
    b"a\nb",
    b"a\rb",
    b"a\x01b",
    b"a\x7fb",
    b"tab\there",
    b"\xff\xfe",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"\xe2\x80\xaecod.exe",
    b"a\xe2\x80\x8bb",
    b"\xc2\xa0",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"-rf",
    b"--checkpoint=1",
    b"@file",
    b"~/x",
    b"*",
    b"a?b",
    b"[ab]",
    b"$HOME",
    b"%41",
    b"a;b",
    b"\"quoted\"",
    b"'",
    b"{a,b}",
    b"._volume.toml",
    b".git/config",
    b"PaxHeaders/x",
    b"./PaxHeaders/x",
    b"././@LongLink",
    b"@LongLink",
    b"pax_global_header",
    b"GNUSparseFile.0/x",
    b"070707",
    b"070701000000000000",
    b"!<arch>\n",
    b"#mtree",
    b"PK\x03\x04",
    b"xar!",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07\0",
    b"WARC/1.0",
    b"\x1f\x8b\x08",
    b"BZh91AY",
    b"x.tar/y",
    b"...",
    b"a/...",
    b".../a",
    b"a/..b",
    ABSOLUTE,
];

const LENGTHS: &[usize] = &[99, 100, 101, 130, 154, 155, 156, 199, 255, 256, 257, 300, 512, 513, 1024, 4096];

/// A name, hostile or long.
pub(super) fn any(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..8) {
        0 => {
            let length = LENGTHS[rng.usize(..LENGTHS.len())];
            let every = [usize::MAX, 40, 90][rng.usize(..3)];
            (0..length).map(|at| if at % every == every - 1 { b'/' } else { b'n' }).collect()
        }
        1 => [pick(rng, NAMES), pick(rng, &[b"/", b"", b"\0", b"\\"]), pick(rng, NAMES)].concat(),
        2 => format!("fresh/{}.md", rng.u16(..)).into_bytes(),
        _ => pick(rng, NAMES).to_vec(),
    }
}
