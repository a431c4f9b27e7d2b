//! Bundles of every kind, honest and hostile, against their manifests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{Cursor, Read};

use proptest::prelude::*;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use super::super::contents::compare;
use super::super::manifest::Manifest;
use super::super::tarball::Fault;
use crate::domain::Sha256;

/// One entry, as it is in the manifest and, unless it is changed there, in the tar.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
}

pub(super) fn file(path: &str, content: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "file", mode: 0o644, content: content.into() }
}

pub(super) fn dir(path: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "dir", mode: 0o755, content: vec![] }
}

pub(super) fn link(path: &str, target: &str) -> Entry {
    Entry { path: path.to_owned(), kind: "symlink", mode: 0o777, content: target.into() }
}

pub(super) fn sample() -> Vec<Entry> {
    vec![dir("src"), file("src/main.py", "print()"), link("src/latest", "main.py")]
}

impl Entry {
    fn size(&self) -> usize {
        if self.kind == "file" { self.content.len() } else { 0 }
    }

    fn digest(&self) -> Option<String> {
        (self.kind != "dir").then(|| Sha256::of(&self.content).hex())
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "path": self.path, "kind": self.kind, "included": true, "reason": "included",
            "size": self.size(), "mode": self.mode,
        });
        if let Some(digest) = self.digest() {
            entry["digest"] = digest.into();
        }
        entry
    }
}

/// The bundle digest, put together as its definition reads.
pub(super) fn bundle_digest(entries: &[Entry]) -> String {
    let sorted: BTreeMap<_, _> = entries.iter().map(|entry| (&entry.path, entry)).collect();
    let mut text = "config:c0\n".to_owned();
    for (path, entry) in sorted {
        let (kind, mode, size) = (entry.kind, entry.mode, entry.size());
        let digest = entry.digest().unwrap_or_default();
        let _ = writeln!(text, "{path}\0{kind}\0{mode}\0{size}\0{digest}");
    }
    Sha256::of(text.as_bytes()).hex()
}

/// A version's document, as a client sends it and a registry answers it.
pub(super) fn version(entries: &[Entry]) -> Value {
    let mut listed: Vec<_> = entries.iter().map(Entry::to_json).collect();
    listed.push(json!({"path": ".git", "kind": "dir", "included": false, "reason": "excluded", "size": 0}));
    json!({
        "id": "v1", "bundle_digest": bundle_digest(entries),
        "bundle_manifest": {"config_digest": "c0", "bundle_digest": bundle_digest(entries), "entries": listed},
    })
}

fn manifest(entries: &[Entry]) -> Manifest {
    read(&version(entries)).unwrap()
}

fn read(version: &Value) -> Result<Manifest, String> {
    let read = Manifest::of_version(version.to_string().as_bytes(), 5);
    read.map(Option::unwrap).map_err(|refused| refused.to_string())
}

pub(super) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        let mode = match (entry.mode, entry.kind) {
            (0, "file") => 0o644,
            (0, "dir") => 0o755,
            (0, _) => 0o777,
            (mode, _) => mode & 0o777,
        };
        header.set_mode(mode);
        header.set_size(entry.size() as u64);
        let (path, target) = (&entry.path, String::from_utf8_lossy(&entry.content).into_owned());
        let long =
            |key, value: &str| (value.len() > 100 || !value.is_ascii()).then(|| (key, value.to_owned()));
        let target = if entry.kind == "symlink" { target } else { String::new() };
        let pax: Vec<_> = [long("path", path), long("linkpath", &target)].into_iter().flatten().collect();
        let pax = pax.iter().map(|(key, value)| (*key, value.as_bytes()));
        builder.append_pax_extensions(pax).unwrap();
        let fits = |text: &str| text.len() <= 100 && text.is_ascii();
        let kind = match entry.kind {
            "file" => EntryType::Regular,
            "dir" => EntryType::Directory,
            _ => EntryType::Symlink,
        };
        header.set_entry_type(kind);
        let slash = if entry.kind == "dir" { "/" } else { "" };
        if fits(path) {
            name(&mut header, format!("{path}{slash}").as_bytes());
        } else {
            name(&mut header, b"long");
        }
        if fits(&target) {
            let field = &mut header.as_old_mut().linkname;
            field[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_cksum();
        let content = if entry.kind == "file" { &*entry.content } else { &[] };
        builder.append(&header, content).unwrap();
    }
    let mut tar = builder.into_inner().unwrap();
    // As the API's client pads it.
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    tar
}

/// Not through the library, which refuses the names that are tried here.
fn name(header: &mut Header, name: &[u8]) {
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
}

fn verdict(manifest: &Manifest, tar: impl Read) -> Result<String, String> {
    compare(manifest, tar).map(|digest| digest.hex()).map_err(|fault| match fault {
        Fault::Tar(refused) => refused.to_string(),
        Fault::Source => "source".to_owned(),
    })
}

#[test]
fn what_the_manifest_says_passes_in_any_order() {
    let mut entries = sample();
    let digest = bundle_digest(&entries);
    let manifest = manifest(&entries);
    assert_eq!(verdict(&manifest, &*tar(&entries)), Ok(digest.clone()));
    entries.reverse();
    assert_eq!(verdict(&manifest, &*tar(&entries)), Ok(digest));
    assert_eq!(verdict(&super::tars::manifest(&[]), &*tar(&[])), Ok(bundle_digest(&[])), "an empty project");
}

#[test]
fn modes_are_compared_as_clients_pack_them() {
    let mut entry = file("a", "a");
    for (declared, packed, fits) in [
        (0o644, 0o644, true),
        (0o4755, 0o755, true),
        (0o4755, 0o4755, true),
        (0, 0o644, true),
        (0o644, 0o600, false),
        (0o755, 0o4755, false),
        (0, 0, false),
    ] {
        entry.mode = declared;
        let manifest = manifest(&[entry.clone()]);
        let mut packed_entry = entry.clone();
        packed_entry.mode = 0o644;
        let mut tar = tar(&[packed_entry]);
        change(&mut tar, |header| header.set_mode(packed));
        let verdict = verdict(&manifest, &*tar);
        assert_eq!(verdict.is_ok(), fits, "{declared:o} {packed:o}: {verdict:?}");
    }
}

/// Changes the first header of a tar.
fn change(tar: &mut [u8], how: impl FnOnce(&mut Header)) {
    let mut header = Header::from_byte_slice(&tar[..512]).clone();
    how(&mut header);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
}

#[test]
fn a_bundle_that_differs_is_refused_with_the_difference() {
    let manifest = manifest(&sample());
    let with = |place: usize, how: fn(&mut Entry)| {
        let mut entries = sample();
        how(&mut entries[place]);
        tar(&entries)
    };
    let twice = [sample(), vec![dir("src")]].concat();
    let extra = [sample(), vec![file("x", "")]].concat();
    for (tar, says) in [
        (with(1, |entry| entry.content = b"print!!".to_vec()), "`src/main.py` has the digest"),
        (with(1, |entry| entry.content = b"p".to_vec()), "`src/main.py` has 1 bytes, expected 7"),
        (with(1, |entry| entry.mode = 0o755), "`src/main.py` has the mode 755, expected 644"),
        (with(1, |entry| entry.path = "src/main.pY".to_owned()), "`src/main.pY` is not in it"),
        (with(0, |entry| entry.kind = "symlink"), "`src` is a symlink, expected a dir"),
        (with(2, |entry| entry.content = b"/etc".to_vec()), "`src/latest` has the digest"),
        (tar(&sample()[..2]), "`src/latest` is missing"),
        (tar(&twice), "`src` comes twice"),
        (tar(&extra), "`x` is not in it"),
    ] {
        let refused = verdict(&manifest, &*tar).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let mut lying = manifest.clone();
    lying.bundle_digest = Some("0".repeat(64));
    assert!(verdict(&lying, &*tar(&sample())).unwrap_err().contains("the digest over its entries is"));
}

#[test]
fn hostile_tars_are_refused() {
    let manifest = manifest(&[file("a", "a")]);
    let honest = || tar(&[file("a", "a")]);
    let changed = |how: fn(&mut Header)| {
        let mut tar = honest();
        change(&mut tar, how);
        tar
    };
    let before = |kind: u8, content: &[u8]| {
        let mut header = Header::new_ustar();
        header.as_old_mut().linkflag = [kind];
        name(&mut header, b"ext");
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut tar = [header.as_bytes().as_slice(), content].concat();
        tar.resize(tar.len().next_multiple_of(512), 0);
        [tar, honest()].concat()
    };
    let mut bomb = Header::new_gnu();
    bomb.set_entry_type(EntryType::GNULongName);
    bomb.set_size(1 << 33);
    bomb.set_cksum();
    let mut trailing = honest();
    trailing.extend_from_slice(b"more");
    let mut broken = honest();
    broken[0] = b'b';
    for (tar, says) in [
        (changed(|header| header.set_entry_type(EntryType::Link)), "neither a regular file"),
        (changed(|header| header.set_entry_type(EntryType::Char)), "neither a regular file"),
        (changed(|header| header.set_entry_type(EntryType::Fifo)), "neither a regular file"),
        (changed(|header| header.set_entry_type(EntryType::GNUSparse)), "neither a regular file"),
        (changed(|header| header.set_entry_type(EntryType::Directory)), "has content"),
        (changed(|header| header.set_size(1 << 30)), "has 1073741824 bytes"),
        (changed(|header| name(header, b"../a")), "`../a` is not in it"),
        (changed(|header| name(header, b"/a")), "`/a` is not in it"),
        (changed(|header| name(header, b"\xff")), "not UTF-8"),
        (before(b'x', b"13 path=../x\n"), "`../x` is not in it"),
        (before(b'x', b"9 size=1\n"), "the pax record `size` is not known here"),
        (before(b'x', b"22 GNU.sparse.major=1\n"), "the pax record `GNU.sparse.major`"),
        (before(b'x', b"+9 path=b\n"), "pax records of the form"),
        (before(b'x', b"99 path=b\n"), "pax records of the form"),
        (before(b'x', b"9 path=b\n9 path=c\n"), "two extension headers"),
        (before(b'g', b"9 path=b\n"), "neither a regular file"),
        (before(b'L', b"b\0\0"), "NUL"),
        (before(b'L', b"b\0"), "`b` is not in it"),
        (bomb.as_bytes().to_vec(), "an extension header has 8589934592 bytes"),
        (trailing, "only zero bytes"),
        (broken, "valid checksum"),
        (honest()[..700].to_vec(), "in the middle of a member"),
        (honest()[..100].to_vec(), "valid checksum"),
        (before(b'x', b"9 path=b\n")[..1024].to_vec(), "behind an extension header"),
        (vec![], "`a` is missing"),
    ] {
        let refused = verdict(&manifest, &*tar).unwrap_err();
        assert!(refused.contains(says), "{refused} for {says}");
    }
    let endless = Cursor::new(honest()).chain(std::io::repeat(0).take(1 << 24));
    assert!(verdict(&manifest, endless).is_ok(), "zeros may follow, and take no memory");
}

#[test]
fn a_manifest_that_no_bundle_may_have_is_refused() {
    for (entries, says) in [
        (vec![file("../a", "")], "not a path below the project"),
        (vec![file("/a", "")], "not a path below the project"),
        (vec![file("a//b", "")], "not a path below the project"),
        (vec![file("", "")], "is empty"),
        (vec![file(&"a/".repeat(2100), "")], "too long"),
        (vec![file("a", ""), file("a", "b")], "more than once"),
        (vec![link("a", "/etc"), file("a/b", "")], "below what is no directory"),
        (vec![file("a", ""), dir("a/b/c")], "below what is no directory"),
        (["a", "b", "c", "d", "e", "f"].map(dir).to_vec(), "more than 5 entries"),
    ] {
        let refused = read(&version(&entries)).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
    let mut special = version(&sample());
    special["bundle_manifest"]["entries"][0]["kind"] = "socket".into();
    assert!(read(&special).unwrap_err().contains("neither a file"));
    assert_eq!(Manifest::of_version(b"{\"id\":\"v1\"}", 5), Ok(None));
    assert_eq!(Manifest::of_version(b"no JSON", 5), Ok(None));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let mode = prop_oneof![Just(0), 0_u32..0o10000];
    let content = proptest::collection::vec(any::<u8>(), 0..1500);
    let path = "[a-c가]{1,3}|[a-z]{110}";
    (path, 0..3_usize, mode, content, "[a-z]{1,20}|[a-zä]{105}").prop_map(
        |(path, kind, mode, content, target)| {
            let kind = ["file", "dir", "symlink"][kind];
            let content = if kind == "file" { content } else { target.into_bytes() };
            Entry { path, kind, mode, content }
        },
    )
}

proptest! {
    #[test]
    fn the_bundle_digest_is_what_its_definition_says(
        entries in proptest::collection::vec(any_entry(), 0..5),
        shuffle in any::<u64>(),
    ) {
        let by_path: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let mut entries: Vec<Entry> = by_path.into_values().collect();
        let manifest = manifest(&entries);
        if !entries.is_empty() {
            let place = usize::try_from(shuffle).unwrap_or(0) % entries.len();
            entries.rotate_left(place);
        }
        prop_assert_eq!(verdict(&manifest, &*tar(&entries)), Ok(bundle_digest(&entries)));
    }

    #[test]
    fn whatever_comes_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(verdict(&manifest(&[file("a", "a")]), &*bytes).is_err());
    }

    #[test]
    fn no_byte_of_a_member_can_change(place in 0_usize..3072, flip in 1_u8..=255) {
        let mut bytes = tar(&sample());
        bytes[place] ^= flip;
        let read = verdict(&manifest(&sample()), &*bytes);
        // Padding is nobody's, and a checksum may be spelt in more than one way.
        if let Ok(digest) = read {
            prop_assert_eq!(digest, bundle_digest(&sample()));
            prop_assert!((1031..1536).contains(&place) || (148..156).contains(&(place % 512)), "{}", place);
        }
    }
}
