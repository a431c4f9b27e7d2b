//! The seed archives of mutation: archives of ordinary packers, and archives written by hand.
//!
//! Owns the volume of the tests, and the archives that ordinary packers do not write. The packers' archives are in `packed/`,
//! with the script that packs them.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::block::{BLOCK, GNU, LINK, MODE, PREFIX, SIZE, USTAR, header, long, pax, piece, pieces, put};
use crate::draft::Draft;

/// The manifest that every archive of the tests needs.
pub(crate) const MANIFEST: &[u8] = b"[volume]\nname = \"@acme/review\"\nversion = \"1.2.3\"\n";

/// A seed archive.
pub(crate) struct Base {
    pub(crate) name: String,
    pub(crate) draft: Draft,
}

/// Archives of ordinary packers with their default options, unchanged.
pub(crate) fn packed() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/packed");
    let mut archives: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .map(|path| (path.file_name().unwrap().display().to_string(), fs::read(path).unwrap()))
        .collect();
    archives.sort();
    archives
}

/// All seed archives, always in the same order.
pub(crate) fn bases() -> Vec<Base> {
    let of_packers = packed().into_iter().map(|(name, bytes)| {
        let mut tar = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap();
        (name, pieces(&tar))
    });
    let by_hand = by_hand().into_iter().map(|(name, pieces)| (name.to_owned(), pieces));
    of_packers.chain(by_hand).map(|(name, pieces)| Base { name, draft: Draft::new(pieces) }).collect()
}

/// A file with a header of POSIX.
pub(crate) fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    piece(header(USTAR, b'0', name, content.len()), content)
}

/// A folder with a header of POSIX.
pub(crate) fn folder(name: &[u8]) -> Vec<u8> {
    edited(folder_header(name), |_| {}, b"")
}

/// A header that was changed, sealed, with its payload.
pub(crate) fn edited(
    mut header: [u8; BLOCK],
    edit: impl FnOnce(&mut [u8; BLOCK]),
    content: &[u8],
) -> Vec<u8> {
    edit(&mut header);
    piece(header, content)
}

/// The two blocks that end a tar.
pub(crate) fn end() -> Vec<Vec<u8>> {
    vec![vec![0; BLOCK], vec![0; BLOCK]]
}

/// The volume, with `more` between its entries.
pub(crate) fn volume(more: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let before =
        vec![file(b"volume.toml", MANIFEST), folder(b"agents/"), file(b"agents/review.md", b"agent\n")];
    let after = vec![file(b"docs/last.md", b"last\n")];
    [before, more, after, end()].concat()
}

/// A tar inside a file's content. A reader that takes it for framing creates files and replaces the manifest.
pub(crate) fn hidden() -> Vec<u8> {
    [file(b"agents/planted.md", b"planted\n"), file(b"volume.toml", b"replaced\n")].concat()
}

fn folder_header(name: &[u8]) -> [u8; BLOCK] {
    let mut folder = header(USTAR, b'5', name, 0);
    put(&mut folder, MODE, b"0000755\0");
    folder
}

fn by_hand() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let long_name = [&b"long/"[..], &[b'n'; 130]].concat();
    let cut = &long_name[..100];
    let script = edited(
        header(USTAR, b'0', b"scripts/run.sh", 18),
        |header| put(header, MODE, b"0000755\0"),
        b"#!/bin/sh\necho ok\n",
    );
    let prefixed = edited(
        header(USTAR, b'0', b"name.md", 4),
        |header| put(header, PREFIX, b"folder/in/the/prefix"),
        b"deep",
    );
    let binary = edited(
        header(GNU, b'0', b"docs/binary.md", 6),
        |header| put(header, SIZE, b"\x80\0\0\0\0\0\0\0\0\0\0\x06"),
        b"binary",
    );
    let old = |name: &[u8], content: &[u8]| {
        let mode = if name.ends_with(b"/") { b"0000755\0" } else { b"0000644\0" };
        edited(header(&[0; 8], 0, name, content.len()), |header| put(header, MODE, mode), content)
    };
    let star = edited(
        header(USTAR, b'0', b"docs/star.md", 4),
        |header| {
            header[476..500].copy_from_slice(b"14600000000\x0014600000000\0");
            header[508..].copy_from_slice(b"tar\0");
        },
        b"star",
    );
    let with_link = edited(
        header(USTAR, b'0', b"docs/linked.md", 4),
        |header| put(header, LINK, b"volume.toml"),
        b"link",
    );
    vec![
        ("hidden", volume(vec![file(b"assets/nested.tar", &hidden()), script.clone()])),
        (
            "hidden-gnu",
            volume(vec![
                long(b'L', &[&long_name[..], b"\0"].concat()),
                piece(header(GNU, b'0', cut, hidden().len()), &hidden()),
                binary,
            ]),
        ),
        (
            "hidden-pax",
            volume(vec![
                pax(b'g', &[(b"comment", b"of all")]),
                pax(
                    b'x',
                    &[
                        (b"path", &long_name),
                        (b"mtime", b"1.5"),
                        (b"size", hidden().len().to_string().as_bytes()),
                    ],
                ),
                piece(header(USTAR, b'0', cut, hidden().len()), &hidden()),
                script,
            ]),
        ),
        ("prefixed", volume(vec![prefixed, file("docs/안녕.md".as_bytes(), b"hangul")])),
        (
            "v7",
            [
                vec![
                    old(b"volume.toml", MANIFEST),
                    old(b"agents/", b""),
                    old(b"agents/review.md", b"agent\n"),
                ],
                vec![old(b"assets/nested.tar", &hidden())],
                end(),
            ]
            .concat(),
        ),
        ("star", volume(vec![star, with_link])),
        (
            "empty files",
            volume(vec![file(b"a", b""), file(b"b", b""), folder(b"empty/"), file(b"c", &[0; 1024])]),
        ),
    ]
}
