//! Packed archives: one tree gives the same bytes, which every reader unpacks alike.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::super::fixture::{self, Dialect, Tar, TestFile, any_tree, integrity_of, scratch};
use super::super::{Framing, Sha256, examine};
use super::*;

const ROOMY: ArchiveLimits = ArchiveLimits { max_unpacked: 1 << 30, max_entries: 10_000 };

fn packed_within(window: usize, archive: &[u8], limits: &ArchiveLimits) -> Result<Vec<u8>, ArchiveError> {
    pack_within(window, || Ok(archive), scratch, limits, Vec::new()).map(|(packed, _)| packed)
}

fn packed(files: &[TestFile]) -> Vec<u8> {
    packed_within(WINDOW, &archive(files, Dialect::Pax), &ROOMY).unwrap()
}

fn archive(files: &[TestFile], dialect: Dialect) -> Vec<u8> {
    files.iter().fold(Tar::default(), |tar, file| tar.file_in(dialect, file)).gz()
}

/// Path, type, mode, owner, time and content of every entry.
fn listed(packed: &[u8]) -> Vec<(String, u8, u32, u64, u64, Vec<u8>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    let entry = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let owner = header.uid().unwrap() + header.gid().unwrap();
        (path, header.entry_type().as_byte(), header.mode().unwrap(), owner, header.mtime().unwrap(), content)
    };
    archive.entries().unwrap().map(entry).collect()
}

fn file(path: &str, executable: bool, content: &str) -> TestFile {
    (path.to_owned(), executable, content.as_bytes().to_vec())
}

#[test]
fn the_bytes_of_a_tree_are_the_same_on_every_machine() {
    let packed = packed(&[file("volume.toml", false, "hello"), file("bin/run", true, "#!/bin/sh\n")]);
    assert_eq!(Sha256::of(&packed).hex(), "2cdc709f3a136ec35ad33d9cfa124354fc2e6a6b258a7ac50a141ea085dd261e");
}

#[test]
fn files_are_written_in_order_after_their_folders_only() {
    let archive = Tar::default()
        .entry(b'5', "empty/", "")
        .file("b/c/d", "2")
        .file("b.x", "3")
        .file("a", "1")
        .file("b/c!", "4")
        .entry(b'5', "b/", "")
        .file("b/e/f", "5")
        .gz();
    let (folder, file) = (
        |path: &str| (path.to_owned(), b'5', 0o755, 0, 0, vec![]),
        |path: &str, content: &str| (path.to_owned(), b'0', 0o644, 0, 0, content.as_bytes().to_vec()),
    );
    assert_eq!(
        listed(&packed_within(WINDOW, &archive, &ROOMY).unwrap()),
        [
            file("a", "1"),
            file("b.x", "3"),
            folder("b/"),
            file("b/c!", "4"),
            folder("b/c/"),
            file("b/c/d", "2"),
            folder("b/e/"),
            file("b/e/f", "5"),
        ]
    );
}

#[test]
fn a_path_of_any_length_is_read_by_all_readers() {
    let slash_at_the_cut = format!("{}/{}", "a".repeat(99), "b".repeat(120));
    for path in [
        "n".repeat(100),
        "n".repeat(101),
        format!("{}/{}", "d".repeat(155), "n".repeat(100)),
        format!("{}/{}", "d".repeat(156), "n".repeat(100)),
        format!("{}/{}", "d".repeat(10), "n".repeat(101)),
        format!("{}안녕", "x".repeat(98)),
        "d/".repeat(400) + "n",
        slash_at_the_cut,
    ] {
        let tree = [file(&path, true, "x"), file("volume.toml", false, "")];
        let packed = packed(&tree);
        let files: Vec<_> =
            listed(&packed).into_iter().filter(|entry| entry.1 == b'0').map(|entry| entry.0).collect();
        let mut expected = [path.as_str(), "volume.toml"];
        expected.sort_unstable();
        assert_eq!(files, expected);
        let examined = examine(|| Ok(&packed[..]), scratch, &ROOMY).unwrap();
        assert_eq!((examined.integrity, examined.framing), (integrity_of(&tree), Framing::Canonical));
    }
}

#[test]
fn a_size_past_octal_is_written_in_binary_and_is_canonical() {
    let limits = ArchiveLimits { max_unpacked: u64::MAX, max_entries: 10 };
    for (path, len) in [
        ("a".to_owned(), LARGEST_OCTAL),
        ("a".to_owned(), LARGEST_OCTAL + 1),
        ("d/".repeat(100) + "n", u64::MAX >> 2),
    ] {
        let mut packer = Packer::new(Vec::new(), limits);
        packer.entry(b'0', &path, 0o644, len).unwrap();
        let mut tar = Vec::new();
        GzDecoder::new(&packer.sink.finish().and_then(Undisguised::finish).unwrap()[..])
            .read_to_end(&mut tar)
            .unwrap();
        let last = tar.last_chunk::<BLOCK>().unwrap();
        let header = super::super::header::Header::read(last).unwrap();
        assert_eq!((header.size().unwrap(), header.quirk()), (len, None));
    }
}

#[test]
fn the_new_archive_is_within_the_limits_too() {
    let tree = [file("a/b/c/d", false, "x"), file("e/f/g", false, "y")];
    let archive = archive(&tree, Dialect::Ustar);
    let limits = |max_entries, max_unpacked| ArchiveLimits { max_entries, max_unpacked };
    assert!(packed_within(WINDOW, &archive, &limits(7, 11 * 512 + 1024)).is_ok());
    let entries = packed_within(WINDOW, &archive, &limits(6, 1 << 20));
    assert!(matches!(entries, Err(ArchiveError::TooLarge(Excess::Entries(6)))));
    let unpacked = packed_within(WINDOW, &archive, &limits(7, 9 * 512 + 1024 - 1));
    assert!(matches!(unpacked, Err(ArchiveError::TooLarge(Excess::Unpacked(_)))));
}

#[test]
fn a_failing_sink_is_reported_as_temporary_storage() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let archive = archive(&[file("a", false, "x")], Dialect::Ustar);
    let failed = pack(|| Ok(&archive[..]), scratch, &ROOMY, Full);
    assert!(matches!(failed, Err(ArchiveError::Scratch(_))));
    let cut = packed_within(WINDOW, &archive[..20], &ROOMY);
    assert!(matches!(cut, Err(ArchiveError::Scratch(_))), "it was whole before");
}

proptest! {
    #[test]
    fn one_tree_is_packed_to_one_archive(
        files in any_tree(),
        order in any::<prop::sample::Index>(),
        dialect in proptest::sample::select(vec![Dialect::Ustar, Dialect::Pax, Dialect::Gnu]),
        window in prop_oneof![Just(0), 0..4000_usize],
    ) {
        let expected = packed(&files);
        let mut other = files.clone();
        other.rotate_left(order.index(files.len()));
        let came = archive(&other, dialect);
        let (packed, integrity) = pack_within(window, || Ok(&came[..]), fixture::scratch, &ROOMY, Vec::new()).unwrap();
        prop_assert!(packed == expected);
        prop_assert_eq!(integrity, integrity_of(&files));
        let examined = examine(|| Ok(&packed[..]), scratch, &ROOMY).unwrap();
        prop_assert_eq!(&examined.framing, &Framing::Canonical);
        prop_assert_eq!(examined.integrity, integrity);
        let again = packed_within(WINDOW, &packed, &ROOMY).unwrap();
        prop_assert!(again == packed, "packing what was packed changes nothing");
    }
}
