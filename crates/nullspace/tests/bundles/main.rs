//! Valid and hostile bundles, compared with their manifests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sample;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use nullspace::{BundleDescription, BundleError, BundleManifest};
use proptest::prelude::*;
use serde_json::Value;
use tar::{EntryType, Header};

use sample::{Entry, bundle_digest, dir, file, link, name, sample, tar, version};

fn manifest(entries: &[Entry]) -> BundleManifest {
    read(&version(entries)).unwrap()
}

fn read(version: &Value) -> Result<BundleManifest, String> {
    let read = BundleManifest::of_version(version.to_string().as_bytes(), 5);
    read.map(Option::unwrap).map_err(|refused| refused.to_string())
}

fn verdict(manifest: &BundleManifest, tar: impl Read) -> Result<String, String> {
    let bundle = BundleDescription::new(Arc::new(manifest.clone()), String::new());
    bundle.read(tar).map(|digest| digest.hex()).map_err(|error| match error {
        BundleError::Refused(refused) => refused.to_string(),
        BundleError::Source(_) => "source".to_owned(),
    })
}

#[test]
fn what_the_manifest_says_passes_in_any_order() {
    let mut entries = sample();
    let digest = bundle_digest(&entries);
    let listed = manifest(&entries);
    assert_eq!(verdict(&listed, &*tar(&entries)), Ok(digest.clone()));
    entries.reverse();
    assert_eq!(verdict(&listed, &*tar(&entries)), Ok(digest));
    assert_eq!(verdict(&manifest(&[]), &*tar(&[])), Ok(bundle_digest(&[])), "an empty project");
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
    let mut lying = version(&sample());
    lying["bundle_manifest"]["bundle_digest"] = "0".repeat(64).into();
    let lying = read(&lying).unwrap();
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
        (
            changed(|header| header.set_entry_type(EntryType::Link)),
            "`a` is a hard link, expected regular files",
        ),
        (changed(|header| header.set_entry_type(EntryType::Char)), "`a` is a character device"),
        (changed(|header| header.set_entry_type(EntryType::Fifo)), "`a` is a FIFO"),
        (changed(|header| header.set_entry_type(EntryType::GNUSparse)), "`a` is a sparse file"),
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
        (changed(|header| header.as_old_mut().size = *b"+0000000001\0"), "valid numbers"),
        (changed(|header| header.as_mut_bytes()[345] = b'p'), "`p/a` is not in it"),
        (
            changed(|header| {
                header.as_mut_bytes()[345] = b'p';
                header.as_mut_bytes()[263] = b'1';
            }),
            "`a` has a path prefix in a header whose format has none",
        ),
        (before(b'x', b"8 path=\n"), "the pax record `path` is given twice, is empty"),
        (before(b'x', b"11 mtime=1\n11 mtime=2\n"), "the pax record `mtime` is given twice"),
        (before(b'x', b"9 path=b\n9 path=c\n"), "the pax record `path` is given twice"),
        (before(b'g', b"9 path=b\n"), "`ext` is a global pax header"),
        (before(b'L', b"b\0\0"), "has a control"),
        (before(b'L', b"b\0"), "`b` is not in it"),
        (bomb.as_bytes().to_vec(), "an extension header of 8589934592 bytes"),
        (trailing, "only zero bytes"),
        (broken, "valid checksum"),
        (honest()[..700].to_vec(), "in the middle of an entry"),
        (honest()[..100].to_vec(), "in the middle of an entry"),
        (before(b'x', b"9 path=b\n")[..1024].to_vec(), "in the middle of an entry"),
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
    assert_eq!(BundleManifest::of_version(b"{\"id\":\"v1\"}", 5), Ok(None));
    assert_eq!(BundleManifest::of_version(b"no JSON", 5), Ok(None));
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
        // Padding belongs to no entry, and a checksum has several valid spellings.
        if let Ok(digest) = read {
            prop_assert_eq!(digest, bundle_digest(&sample()));
            prop_assert!((1031..1536).contains(&place) || (148..156).contains(&(place % 512)), "{}", place);
        }
    }
}
