//! Any bytes as an archive, as a tar, and as a pax record: the archive is refused, or the archive that is sent has the hashed
//! tree.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::verdict::{Verdict, judge};

pub(crate) const WORDS: &[&[u8]] = &[
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff",
    b"\x1f\x8b\x08\x1c",
    b"ustar\x0000",
    b"ustar  \x00",
    b"x",
    b"g",
    b"L",
    b"K",
    b"5",
    b"7777777",
    b"\x80\x00\x00\x00\x00\x00\x00\x01",
    b"30 path=agents/../x.md\n",
    b"20 size=18446744073\n",
    b"path=",
    b"linkpath=",
    b"GNU.sparse.major=1\n",
    b"SCHILY.xattr.a=b\n",
    b"../",
    b"\x00\x00\x00\x00\x00\x00\x00\x00",
];

const MANIFEST: &[u8] = b"[volume]\nschema = 1\nname = \"lamp\"\nversion = \"1.0.0\"\n";

fn header(path: &str, length: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_size(length as u64);
    header.set_cksum();
    header
}

/// A small archive, with `record` in a pax header before its second file.
fn tar(record: Option<&[u8]>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append(&header("agents/review.md", 9), &b"# Review\n"[..]).unwrap();
    if let Some(record) = record {
        let mut pax = header("PaxHeaders/x", record.len());
        pax.set_entry_type(EntryType::XHeader);
        pax.set_cksum();
        builder.append(&pax, record).unwrap();
    }
    builder.append(&header("volume.toml", MANIFEST.len()), MANIFEST).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gzips() -> Vec<Vec<u8>> {
    vec![gzip(&tar(None), 6), gzip(&tar(None), 0), [gzip(&tar(None), 1), gzip(b"", 1)].concat()]
}

pub(crate) fn tars() -> Vec<Vec<u8>> {
    vec![tar(None), tar(Some(b"22 path=docs/other.md\n"))]
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    ["22 path=docs/other.md\n", "19 mtime=1700000.5\n", "12 uid=1000\n", "21 comment=something\n"]
        .map(|record| record.as_bytes().to_vec())
        .into()
}

pub(crate) fn fuzz_gzip(data: &[u8]) -> bool {
    match judge(data) {
        Verdict::Broken(why) => panic!("{why}"),
        Verdict::Refused(_) => false,
        Verdict::AsItCame(_) | Verdict::PackedAnew(..) => true,
    }
}

pub(crate) fn fuzz_tar(data: &[u8]) -> bool {
    fuzz_gzip(&gzip(data, 0))
}

pub(crate) fn fuzz_pax(data: &[u8]) -> bool {
    fuzz_tar(&tar(Some(data)))
}
