//! The digest and the bytes of a committed tree are those of the same files on disk, however Git stores it.

use std::collections::BTreeMap;

use archive::{TreeFile, pack_files};
use proptest::prelude::*;

use super::backend::Backend;
use super::fetching::Place;
use super::repository::Repository;
use super::{ROOMY, archive_of};

/// A tree: by path, whether the file may be run, and its content.
type Files = BTreeMap<String, (bool, Vec<u8>)>;

fn listed(files: &Files) -> Vec<TreeFile<'_>> {
    files
        .iter()
        .map(|(path, (executable, content))| TreeFile { path, executable: *executable, content })
        .collect()
}

/// Names whose order differs between folders and files, and names that Git treats in a way of its own.
const NAMES: [&str; 16] = [
    "a",
    "a-b",
    "a.b",
    "a0",
    "A b",
    "b",
    "안녕",
    "é",
    "e\u{301}x",
    "z~",
    ".gitignore",
    ".gitattributes",
    ".gitmodules",
    "volume.toml",
    "-",
    "[x]",
];

/// Contents that filters, ends of lines or attributes would change.
const CONTENTS: [&[u8]; 7] = [
    b"",
    b"\r\n\r\n",
    b"$Id$ $Format:%H$\n",
    b"* text eol=crlf\n",
    b"* export-ignore export-subst filter=lfs ident\n",
    b"*\n",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
];

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(&CONTENTS[..]).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0..100_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn any_files() -> impl Strategy<Value = Files> {
    let path = proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4)
        .prop_map(|names| names.join("/"));
    proptest::collection::btree_map(path, (any::<bool>(), any_content()), 0..12).prop_map(without_clashes)
}

/// Leaves out what the archive profile refuses: a file above another, and two paths in one spelling.
fn without_clashes(files: Files) -> Files {
    let mut kept = Files::new();
    for (path, file) in files {
        kept.insert(path.clone(), file);
        if pack_files(&listed(&kept)).is_err() {
            kept.remove(&path);
        }
    }
    kept
}

/// Commits files without any conversion on the way into the repository.
fn commit_raw(repository: &Repository, files: &Files) -> git_delivery::CommitId {
    let mut stream =
        b"commit refs/heads/main\ncommitter x <x> 1796000000 +0000\ndata 0\ndeleteall\n".to_vec();
    for (path, (executable, content)) in files {
        let mode = if *executable { "100755" } else { "100644" };
        stream.extend(format!("M {mode} inline \"{path}\"\ndata {}\n", content.len()).into_bytes());
        stream.extend_from_slice(content);
        stream.push(b'\n');
    }
    repository.git_with(&["fast-import", "--quiet", "--force", "--date-format=raw"], &stream);
    repository.head()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tree_has_the_digest_of_its_files(files in any_files()) {
        let repository = Repository::new();
        let commit = commit_raw(&repository, &files);
        let expected = pack_files(&listed(&files)).unwrap();
        prop_assert_eq!(&archive_of(&repository.objects(), commit).unwrap(), &expected);
        let place = Place::new();
        place.fetch(&mut Backend::of(&repository), &["main"], &ROOMY).unwrap();
        prop_assert_eq!(&archive_of(&place.objects(), commit).unwrap(), &expected);
    }
}

#[test]
fn a_commit_of_a_work_tree_has_the_digest_of_its_files() {
    let repository = Repository::new();
    let files = [
        TreeFile { path: "docs/안녕.md", executable: false, content: b"\r\n" },
        TreeFile { path: "run.sh", executable: true, content: b"#!/bin/sh\n" },
        TreeFile { path: "volume.toml", executable: false, content: b"hello" },
    ];
    let commit = repository.commit(&files);
    assert_eq!(archive_of(&repository.objects(), commit).unwrap(), pack_files(&files).unwrap());
}

/// Texts that are like each other, so that Git stores some of them as differences, and one that is not.
fn alike() -> Files {
    let text = |at: usize| {
        let lines = (0..400).map(|line| format!("{line}: {}\n", if line == at { "changed" } else { "kept" }));
        lines.collect::<String>().into_bytes()
    };
    let mut files: Files =
        (0..40).map(|at| (format!("notes/{at}.md"), (at % 3 == 0, text(at * 7)))).collect();
    files.insert(
        "noise".to_owned(),
        (false, (0..300_000_u32).flat_map(|at| at.wrapping_mul(at).to_be_bytes()).collect()),
    );
    files
}

#[test]
fn loose_objects_and_packs_of_any_form_give_the_same_bytes() {
    let repository = Repository::new();
    let files = alike();
    let expected = pack_files(&listed(&files)).unwrap();
    let commit = repository.commit(&listed(&files));
    assert_eq!(archive_of(&repository.objects(), commit).unwrap(), expected, "loose");

    for (form, settings, options) in [
        ("whole objects", &["-c", "pack.compression=0"][..], &["--window=0"][..]),
        ("differences", &["-c", "pack.compression=9"], &["--window=50", "--depth=50"]),
        ("other differences", &[], &["--window=3", "--depth=2"]),
    ] {
        let repack = [settings, &["repack", "-a", "-d", "-F", "--quiet"], options].concat();
        repository.git(&repack);
        let index = std::fs::read_dir(repository.folder().join("pack")).unwrap();
        let index =
            index.map(|file| file.unwrap().path()).find(|path| path.extension().unwrap() == "idx").unwrap();
        let listing = repository.git(&["verify-pack", "--verbose", index.to_str().unwrap()]);
        let deep = listing.lines().any(|line| line.starts_with("chain length"));
        assert_eq!(deep, form != "whole objects", "{form}: {listing}");
        assert_eq!(archive_of(&repository.objects(), commit).unwrap(), expected, "{form}");
    }
}

#[test]
fn a_tag_stands_for_its_commit() {
    let repository = Repository::new();
    let files = [TreeFile { path: "volume.toml", executable: false, content: b"hello" }];
    repository.commit(&files);
    repository.git(&["tag", "--annotate", "--message=x", "v1"]);
    repository.git(&["-c", "advice.nestedTag=false", "tag", "--annotate", "--message=x", "v1-again", "v1"]);
    let tag = repository.git(&["rev-parse", "v1-again"]).parse().unwrap();
    assert_eq!(archive_of(&repository.objects(), tag).unwrap(), pack_files(&files).unwrap());
}
