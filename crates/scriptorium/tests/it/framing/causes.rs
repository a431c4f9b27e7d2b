//! Every way of framing that was seen to unpack to two trees, and its cousins.

use tar::Header;

use super::{Blocks, assert_is_the_tree, gz, header, record};
use crate::support::tarball::Entry;
use crate::support::{Release, Setup, Upstream};

type Pack = fn(&Release) -> Vec<u8>;

/// What becomes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    AsItCame,
    PackedAnew,
    Refused,
}

use Fate::{AsItCame, PackedAnew, Refused};

/// The release's files, the first of them changed.
fn changed(release: &Release, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let (first, rest) = release.entries.split_first().unwrap();
    let mut header = header_of(first);
    change(header.as_mut_bytes());
    let blocks = Blocks::default().entry(header, &first.content);
    gz(&rest.iter().fold(blocks, Blocks::file).ended())
}

fn header_of(entry: &Entry) -> Header {
    header(b'0', &entry.path, entry.content.len(), entry.executable)
}

fn put(at: usize, bytes: &[u8]) -> impl FnOnce(&mut [u8; 512]) {
    move |header| header[at..at + bytes.len()].copy_from_slice(bytes)
}

/// The release's files behind an extension header.
fn behind(release: &Release, kind: u8, payload: &[u8]) -> Vec<u8> {
    gz(&Blocks::default().extension(kind, payload).files(release).ended())
}

/// The same, something in the padding of the extension's payload.
fn padded(release: &Release, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut extension = Blocks::default().extension(kind, payload);
    let hidden = record("path", "hidden");
    let end = extension.0.len();
    extension.0[end - hidden.len()..].copy_from_slice(&hidden);
    gz(&extension.files(release).ended())
}

/// The release's files, two of them in a member of their own.
fn split_at_an_entry(release: &Release) -> Vec<u8> {
    let (first, rest) = release.entries.split_first().unwrap();
    let first = Blocks::default().file(first).0;
    [gz(&first), gz(&rest.iter().fold(Blocks::default(), Blocks::file).ended())].concat()
}

fn ended_by(release: &Release, end: &[u8]) -> Vec<u8> {
    gz(&[&Blocks::default().files(release).0[..], end].concat())
}

fn first_path(release: &Release) -> &str {
    &release.entries[0].path
}

const CASES: [(&str, Fate, Pack); 46] = [
    ("plain", AsItCame, |it| gz(&Blocks::default().files(it).ended())),
    ("times in pax", AsItCame, |it| behind(it, b'x', &record("mtime", "1700000000.5"))),
    ("a comment of git", AsItCame, |it| behind(it, b'g', &record("comment", "cafe"))),
    ("a long name of GNU tar", PackedAnew, |it| behind(it, b'L', format!("{}\0", first_path(it)).as_bytes())),
    ("padding of x", PackedAnew, |it| padded(it, b'x', &record("mtime", "1"))),
    ("padding of g", PackedAnew, |it| padded(it, b'g', &record("comment", "1"))),
    ("padding of L", PackedAnew, |it| padded(it, b'L', format!("{}\0", first_path(it)).as_bytes())),
    ("L without a NUL", PackedAnew, |it| behind(it, b'L', first_path(it).as_bytes())),
    ("L with a NUL within", Refused, |it| behind(it, b'L', format!("{}\0more\0", first_path(it)).as_bytes())),
    ("a prefix of another version", Refused, |it| {
        changed(it, |header| {
            put(345, b"dir")(header);
            put(263, b"01")(header);
        })
    }),
    ("a prefix with GNU's magic", Refused, |it| {
        changed(it, |header| {
            put(345, b"dir")(header);
            put(257, b"ustar  \0")(header);
        })
    }),
    ("something behind the name", PackedAnew, |it| changed(it, put(60, b"hidden"))),
    ("a line feed in a pax value", PackedAnew, |it| {
        behind(it, b'x', &record("comment", "x\n20 path=hidden.txt\n"))
    }),
    ("a plus in the size", Refused, |it| {
        let size = format!("+{:010o}\0", it.entries[0].content.len());
        changed(it, put(124, size.as_bytes()))
    }),
    ("a plus in the mode", Refused, |it| changed(it, put(100, b"+000755\0"))),
    ("a NUL type and a slash", Refused, |it| {
        changed(it, |header| {
            put(156, b"\0")(header);
            put(first_of(header), b"/")(header);
        })
    }),
    ("a NUL type", PackedAnew, |it| changed(it, put(156, b"\0"))),
    ("an owner that is no number", PackedAnew, |it| changed(it, put(108, b"nobody!\0"))),
    ("a group that is negative", PackedAnew, |it| changed(it, put(116, &[0xff; 8]))),
    ("a time that is no number", PackedAnew, |it| changed(it, put(136, b"yesterday\0\0\0"))),
    ("a device that is no number", PackedAnew, |it| changed(it, put(329, b"xyz\0"))),
    ("a pax key twice", Refused, |it| {
        behind(it, b'x', &[record("mtime", "1"), record("mtime", "2")].concat())
    }),
    ("an empty pax path", Refused, |it| behind(it, b'x', &record("path", ""))),
    ("an empty pax key", Refused, |it| behind(it, b'x', &record("", "x"))),
    ("an unknown pax key", PackedAnew, |it| behind(it, b'x', &record("VENDOR.thing", "x"))),
    ("a pax path", PackedAnew, |it| behind(it, b'x', &record("path", first_path(it)))),
    ("SCHILY.realsize", Refused, |it| behind(it, b'x', &record("SCHILY.realsize", "1"))),
    ("GNU.sparse", Refused, |it| behind(it, b'x', &record("GNU.sparse.name", "other"))),
    ("a pax size that differs", Refused, |it| behind(it, b'x', &record("size", "1"))),
    ("a pax size that is repeated", PackedAnew, |it| {
        behind(it, b'x', &record("size", &it.entries[0].content.len().to_string()))
    }),
    ("another charset", Refused, |it| behind(it, b'x', &record("hdrcharset", "ISO-IR 8859 1 1998"))),
    ("g between x and its entry", Refused, |it| {
        let blocks = Blocks::default().extension(b'x', &record("path", first_path(it)));
        gz(&blocks.extension(b'g', &record("comment", "x")).files(it).ended())
    }),
    ("a link name on a file", PackedAnew, |it| changed(it, put(157, b"/etc/passwd"))),
    ("K before a file", PackedAnew, |it| behind(it, b'K', b"/etc/passwd\0")),
    ("type 7", PackedAnew, |it| changed(it, put(156, b"7"))),
    ("Solaris's X", Refused, |it| changed(it, put(156, b"X"))),
    ("an extension named as bzip2 begins", PackedAnew, |it| {
        let payload = record("mtime", "1");
        let extension = header(b'x', "BZh91AY&SY", payload.len(), false);
        gz(&Blocks::default().entry(extension, &payload).files(it).ended())
    }),
    ("members split at an entry", PackedAnew, split_at_an_entry),
    ("an empty second member", PackedAnew, |it| [gz(&Blocks::default().files(it).ended()), gz(b"")].concat()),
    ("zeros behind the gzip", PackedAnew, |it| {
        [gz(&Blocks::default().files(it).ended()), vec![0; 700]].concat()
    }),
    ("no end", PackedAnew, |it| ended_by(it, &[])),
    ("one zero block", PackedAnew, |it| ended_by(it, &[0; 512])),
    ("an entry behind a zero block", Refused, |it| {
        let more = Blocks::default().file(&Entry::file("more.md", "x")).ended();
        ended_by(it, &[&[0; 512][..], &more].concat())
    }),
    ("setuid", PackedAnew, |it| changed(it, put(100, b"0004644\0"))),
    ("times of star behind the prefix", PackedAnew, |it| changed(it, put(476, b"14000000000 14000000000 "))),
    ("a binary size", PackedAnew, |it| {
        let size = it.entries[0].content.len() as u64;
        changed(it, put(124, &[&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat()))
    }),
];

/// Where the name of a header ends.
fn first_of(header: &[u8; 512]) -> usize {
    header.iter().position(|byte| *byte == 0).unwrap()
}

#[test]
fn each_way_of_framing_goes_out_as_the_tree_that_was_hashed_or_not_at_all() {
    let upstream = Upstream::start();
    let cases: Vec<_> = (1_u32..)
        .zip(CASES)
        .map(|(number, (what, fate, pack))| {
            let release = Release::new(&format!("case-{number}"), "1.0.0");
            let archive = pack(&release);
            upstream.publish_as(&release, archive.clone());
            (what, fate, release, archive)
        })
        .collect();
    let proxy = Setup::before(&upstream).start();
    for (what, fate, release, archive) in &cases {
        let answer = proxy.client().get(&release.download());
        let found = match answer.status {
            200 if answer.body == *archive => AsItCame,
            200 => PackedAnew,
            409 => Refused,
            status => panic!("{what}: {status} {}", answer.text()),
        };
        assert_eq!(found, *fate, "{what}: {}", if found == Refused { answer.text() } else { String::new() });
        if *fate == Refused {
            answer.problem(409, "inconsistent-registry-state");
        } else {
            assert_is_the_tree(&answer.ok(), release);
        }
    }
}
