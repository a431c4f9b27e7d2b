//! Every path through the verifier gives the same verdict.

use std::cell::Cell;

use super::super::fixture::{
    self, Dialect, MANIFEST as MANIFEST_TEXT, Tar, TestFile, any_tree, gz, header, integrity_of,
};
use super::super::{TreeFile, Violation, pack_files};
use super::*;
use proptest::prelude::*;

const ROOMY: ArchiveLimits = ArchiveLimits { max_unpacked: 1 << 30, max_entries: 1000 };

/// The result of a verification, and the storage that it used.
struct Run {
    outcome: Result<Examined, ArchiveError>,
    readings: u32,
    scratch_files: u32,
}

fn run(packed: &[u8], window: usize, integrity: Integrity, limits: ArchiveLimits) -> Run {
    let (name, version) = ("@acme/review".parse().unwrap(), "1.2.3".parse().unwrap());
    let expected = ExpectedRelease { name: &name, version: &version, integrity: Some(&integrity) };
    let (readings, scratch_files) = (Cell::new(1), Cell::new(0));
    let again = || {
        readings.set(readings.get() + 1);
        Ok(packed)
    };
    let scratch = || {
        scratch_files.set(scratch_files.get() + 1);
        fixture::scratch()
    };
    let outcome = verify_within(window, packed, again, scratch, &expected, &limits);
    let outcome = outcome.map(|verified| verified.examined);
    Run { outcome, readings: readings.get(), scratch_files: scratch_files.get() }
}

fn judge(packed: &[u8]) -> ArchiveError {
    run(packed, WINDOW, integrity_of(&[]), ROOMY).outcome.unwrap_err()
}

fn judge_tree(files: &[TestFile]) -> Result<Examined, ArchiveError> {
    run(&archive(files), WINDOW, integrity_of(files), ROOMY).outcome
}

fn archive(files: &[TestFile]) -> Vec<u8> {
    files.iter().fold(Tar::default(), |tar, file| tar.file_in(Dialect::Ustar, file)).gz()
}

fn tree(paths: &[&str], size: usize) -> Vec<TestFile> {
    let file = |path: &&str| match *path {
        MANIFEST => (MANIFEST.to_owned(), false, MANIFEST_TEXT.into()),
        path => (path.to_owned(), path.ends_with(".sh"), path.bytes().cycle().take(size).collect()),
    };
    paths.iter().map(file).collect()
}

#[test]
fn every_window_gives_the_same_digest_and_reads_again_only_if_needed() {
    const KIB: usize = 1024;
    let in_order = ["a", "b.sh", "c/d", "volume.toml", "z"];
    let early = ["b.sh", "a", "volume.toml", "z", "c/d"];
    let late = ["b.sh", "c/d", "volume.toml", "z", "a"];
    for (what, paths, size, readings, scratch_files) in [
        ("in order, fits", in_order, 1, 1, 0),
        ("in order, outgrows the window", in_order, 100 * KIB, 1, 0),
        ("out of order, fits", late, 1, 1, 0),
        ("out of order in time, outgrows the window", early, 20 * KIB, 1, 1),
        ("out of order too late", late, 20 * KIB, 2, 1),
    ] {
        let files = tree(&paths, size);
        let integrity = integrity_of(&files);
        let run = run(&archive(&files), 32 * KIB, integrity, ROOMY);
        let verified = run.outcome.unwrap();
        assert_eq!((verified.integrity, verified.entries), (integrity, 5), "{what}");
        assert_eq!((run.readings, run.scratch_files), (readings, scratch_files), "{what}");
    }
}

#[test]
fn directories_count_as_entries_but_not_in_the_digest() {
    let files = tree(&["volume.toml", "z/y"], 10);
    let tar = Tar::default()
        .entry(b'5', "z/", "")
        .file_in(Dialect::Gnu, &files[1])
        .file_in(Dialect::Pax, &files[0]);
    let unpacked = tar.clone().ended().len() as u64;
    let integrity = integrity_of(&files);
    let limits = ArchiveLimits { max_unpacked: unpacked, max_entries: 3 };
    let verified = run(&tar.clone().gz(), WINDOW, integrity, limits).outcome.unwrap();
    assert_eq!((verified.integrity, verified.entries, verified.unpacked), (integrity, 3, unpacked));

    let entries =
        run(&tar.clone().gz(), WINDOW, integrity, ArchiveLimits { max_entries: 2, ..limits }).outcome;
    assert!(matches!(entries, Err(ArchiveError::TooLarge(Excess::Entries(2)))));
    let bytes =
        run(&tar.gz(), WINDOW, integrity, ArchiveLimits { max_unpacked: unpacked - 1, ..limits }).outcome;
    assert!(matches!(bytes, Err(ArchiveError::TooLarge(Excess::Unpacked(_)))));
}

#[test]
fn the_digest_is_judged_before_the_manifest() {
    let files = tree(&["a"], 1);
    assert!(
        matches!(judge(&archive(&files)), ArchiveError::Digest { found, .. } if found == integrity_of(&files))
    );
}

#[test]
fn a_manifest_must_be_a_file_within_its_limit() {
    let elsewhere = tree(&["a/volume.toml"], 1);
    assert!(matches!(judge_tree(&elsewhere), Err(ArchiveError::Manifest(ManifestError::Missing))));
    let directory = Tar::default().entry(b'5', MANIFEST, "").gz();
    assert!(matches!(judge(&directory), ArchiveError::Manifest(ManifestError::Missing)));

    let of_size = |size: u64| {
        let mut manifest = format!("{MANIFEST_TEXT}#").into_bytes();
        manifest.resize(size as usize, b'x');
        judge_tree(&[(MANIFEST.to_owned(), false, manifest)])
    };
    of_size(MAX_MANIFEST).unwrap();
    let size = MAX_MANIFEST + 1;
    assert!(
        matches!(of_size(size), Err(ArchiveError::Manifest(found)) if found == ManifestError::TooLong(size))
    );
}

#[test]
fn the_manifest_must_name_the_release_and_keep_its_permissions() {
    let with = |manifest: String| judge_tree(&[(MANIFEST.to_owned(), false, manifest.into_bytes())]);
    assert!(matches!(with("[volume".into()), Err(ArchiveError::Manifest(ManifestError::Invalid(_)))));
    let wild = "[[components]]\npermissions.shell = 'allow'";
    assert!(matches!(with(format!("{MANIFEST_TEXT}{wild}")), Err(ArchiveError::Escalation { .. })));
    let other = MANIFEST_TEXT.replace("1.2.3", "1.2.4");
    assert!(matches!(with(format!("{other}{wild}")), Err(ArchiveError::Identity { .. })));
}

#[test]
fn the_facts_of_the_manifest_are_those_that_a_second_reading_finds() {
    let (name, version) = ("@acme/review".parse().unwrap(), "1.2.3".parse().unwrap());
    let expected = ExpectedRelease { name: &name, version: &version, integrity: None };
    let text =
        format!("{MANIFEST_TEXT}license = 'MIT'\n[publisher]\nid = 'acme'\n[permissions]\nshell = 'allow'\n");
    // In and out of path order, so that the files are read once and twice.
    for paths in [["a", "volume.toml", "z"], ["z", "volume.toml", "a"]] {
        let mut files = tree(&paths, 1000);
        files[1].2 = text.clone().into();
        let packed = archive(&files);
        let verified =
            verify_within(200, &packed[..], || Ok(&packed[..]), fixture::scratch, &expected, &ROOMY);
        let facts = verified.unwrap().manifest;
        assert_eq!(facts, manifest_facts(&packed[..], &ROOMY).unwrap());
        assert_eq!((facts.licence.as_deref(), facts.publisher.as_deref()), (Some("MIT"), Some("acme")));
    }
}

#[test]
fn without_an_expected_integrity_all_other_checks_apply() {
    let of = |version: &str, files: &[TestFile]| {
        let (name, version) = ("@acme/review".parse().unwrap(), version.parse().unwrap());
        let expected = ExpectedRelease { name: &name, version: &version, integrity: None };
        let packed = archive(files);
        verify(&packed[..], || Ok(&packed[..]), fixture::scratch, &expected, &ROOMY)
    };
    let files = tree(&["a", "volume.toml"], 100);
    assert_eq!(of("1.2.3", &files).unwrap().examined.integrity, integrity_of(&files));
    assert!(matches!(of("1.2.4", &files), Err(ArchiveError::Identity { .. })));
    let missing = of("1.2.3", &tree(&["a"], 100));
    assert!(matches!(missing, Err(ArchiveError::Manifest(ManifestError::Missing))));
    let wild = format!("{MANIFEST_TEXT}[[components]]\npermissions.shell = 'allow'");
    let wild = of("1.2.3", &[(MANIFEST.to_owned(), false, wild.into_bytes())]);
    assert!(matches!(wild, Err(ArchiveError::Escalation { .. })));
}

#[test]
fn clashing_entries_are_refused() {
    let twice = Tar::default().file("a", "x").file("a", "x").gz();
    assert!(matches!(judge(&twice), ArchiveError::Profile(Violation::Duplicate(_))));
    let below_a_file = Tar::default().file("a", "x").file("a/b", "x").gz();
    assert!(matches!(judge(&below_a_file), ArchiveError::Profile(Violation::FileAsParent(_))));
}

#[test]
fn damaged_gzip_and_an_invalid_archive_are_distinguished() {
    let files = tree(&["a", "volume.toml"], 3000);
    let good = archive(&files);
    for end in 0..good.len() {
        assert!(matches!(judge(&good[..end]), ArchiveError::Gzip(_)), "cut at {end}");
    }
    for at in [0, good.len() - 8, good.len() - 4] {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(matches!(judge(&flipped), ArchiveError::Gzip(_)), "flipped at {at}");
    }
    // bsdtar fills its last block, so zeros alone are no damage.
    assert!(matches!(judge(&[&good[..], b"\0"].concat()), ArchiveError::Digest { .. }));
    assert!(matches!(judge(&[&good[..], b"\0garbage"].concat()), ArchiveError::Gzip(_)));
    assert!(matches!(judge(&[&good[..], b"garbage"].concat()), ArchiveError::Gzip(_)));

    let (head, tail) =
        (Tar::default().file_in(Dialect::Gnu, &files[0]), Tar::default().file_in(Dialect::Gnu, &files[1]));
    let members = [gz(&head.bytes()[..700]), gz(&head.bytes()[700..]), gz(b""), gz(&tail.ended())].concat();
    run(&members, WINDOW, integrity_of(&files), ROOMY).outcome.unwrap();
}

/// Returns its bytes, then fails. Some reads are interrupted, which is not a failure.
struct Failing<'a>(&'a [u8], bool);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        match self.0.len() {
            _ if self.1 => Err(io::ErrorKind::Interrupted.into()),
            0 => Err(io::Error::other("os says no")),
            count => self.0.read(&mut buffer[..count.min(10)]),
        }
    }
}

#[test]
fn a_failing_source_and_failing_storage_are_distinguished() {
    let files = tree(&["b", "volume.toml", "a"], 200);
    let good = archive(&files);
    let integrity = integrity_of(&files);
    let (name, version) = ("@acme/review".parse().unwrap(), "1.2.3".parse().unwrap());
    let expected = ExpectedRelease { name: &name, version: &version, integrity: Some(&integrity) };
    let no_file = || Err(io::Error::other("os says no"));
    let unread = || -> io::Result<&[u8]> { unreachable!() };

    for end in [0, 5, 30, good.len()] {
        let refused = verify(Failing(&good[..end], false), unread, no_file, &expected, &ROOMY).unwrap_err();
        assert!(matches!(refused, ArchiveError::Source(_)), "{end}: {refused:?}");
        assert!(!refused.to_string().contains("os says no"));
    }
    let storage = |window, again: &dyn Fn() -> io::Result<Failing<'static>>| {
        let refused = verify_within(window, &good[..], again, no_file, &expected, &ROOMY).unwrap_err();
        assert!(matches!(refused, ArchiveError::Scratch(_)), "{refused:?}");
        assert!(!refused.to_string().contains("os says no"));
    };
    storage(300, &|| unreachable!());
    storage(200, &|| Err(io::Error::other("os says no")));
    storage(200, &|| Ok(Failing(b"", false)));
    verify(&good[..], unread, no_file, &expected, &ROOMY).unwrap();
}

#[test]
fn an_archive_that_changed_before_it_is_read_again_does_not_pass() {
    let files = tree(&["b", "volume.toml", "a"], 200);
    let good = archive(&files);
    let integrity = integrity_of(&files);
    let (name, version) = ("@acme/review".parse().unwrap(), "1.2.3".parse().unwrap());
    let expected = ExpectedRelease { name: &name, version: &version, integrity: Some(&integrity) };
    let other = archive(&tree(&["b", "volume.toml", "a"], 201));
    let changed = verify_within(200, &good[..], || Ok(&other[..]), fixture::scratch, &expected, &ROOMY);
    assert!(matches!(changed, Err(ArchiveError::Digest { .. })));
    let damaged = verify_within(200, &good[..], || Ok(&good[..50]), fixture::scratch, &expected, &ROOMY);
    assert!(matches!(damaged, Err(ArchiveError::Scratch(_))));
}

#[test]
fn a_bomb_is_refused_after_a_small_part_of_it() {
    const BOMB: u64 = 3 << 30;
    let tar = Tar::default().block(header(tar::Header::new_gnu(), b'0', b"bomb", BOMB), "");
    let zeros = gz(&vec![0; 8 << 20]);
    let members = (0..BOMB >> 23).map(|_| &zeros[..]);
    let packed = [&gz(tar.bytes())[..]].into_iter().chain(members).collect::<Vec<_>>().concat();
    let mut left = &packed[..];
    let (name, version, integrity) = ("a".parse().unwrap(), "1.0.0".parse().unwrap(), integrity_of(&[]));
    let expected = ExpectedRelease { name: &name, version: &version, integrity: Some(&integrity) };
    let limits = ArchiveLimits { max_unpacked: BOMB, max_entries: 10 };
    let refused = verify(&mut left, || Ok(io::empty()), fixture::scratch, &expected, &limits);
    assert!(matches!(refused, Err(ArchiveError::TooLarge(Excess::Unpacked(BOMB)))));
    assert!(
        packed.len() - left.len() < packed.len() / 10,
        "read {} of {}",
        packed.len() - left.len(),
        packed.len()
    );
}

proptest! {
    #[test]
    fn any_tree_in_any_order_and_dialect_has_its_digest(
        files in any_tree(),
        dialects in proptest::collection::vec(proptest::sample::select(vec![Dialect::Ustar, Dialect::Pax, Dialect::Gnu]), 1..4),
        window in prop_oneof![Just(0), 0..4000_usize, Just(1 << 20)],
    ) {
        let tar = files.iter().zip(dialects.iter().cycle());
        let packed = tar.fold(Tar::default(), |tar, (file, dialect)| tar.file_in(*dialect, file)).gz();
        let verified = run(&packed, window, integrity_of(&files), ROOMY).outcome.unwrap();
        prop_assert_eq!(verified.entries, files.len() as u64);
    }

    #[test]
    fn any_tree_from_an_independent_writer_has_its_digest(files in any_tree()) {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, executable, content) in &files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, &content[..]).unwrap();
        }
        let packed = gz(&builder.into_inner().unwrap());
        prop_assert!(run(&packed, 2000, integrity_of(&files), ROOMY).outcome.is_ok());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(run(&bytes, 100, integrity_of(&[]), ROOMY).outcome.is_err());
        prop_assert!(run(&gz(&bytes), 100, integrity_of(&[]), ROOMY).outcome.is_err());
    }

    #[test]
    fn no_altered_tar_panics_or_passes_with_another_tree(
        files in any_tree(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = files.iter().fold(Tar::default(), |tar, file| tar.file_in(Dialect::Pax, file)).ended();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let block = &mut bytes[at / 512 * 512..][..512];
            let mut header = tar::Header::from_byte_slice(block).clone();
            if header.as_ustar().is_some() {
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        if let Ok(verified) = run(&gz(&bytes), 1000, integrity_of(&files), ROOMY).outcome {
            prop_assert_eq!(verified.integrity, integrity_of(&files));
        }
    }
}

#[test]
fn the_facts_of_a_packed_archive_are_read_again_wherever_its_manifest_lies() {
    let manifest = format!("{MANIFEST_TEXT}\n[publisher]\nid = 'acme'\n");
    let file = |path, content| TreeFile { path, executable: false, content };
    for files in [["volume.toml", "z"], ["a", "volume.toml"]] {
        let content = |path: &str| if path == "volume.toml" { manifest.as_bytes() } else { b"x".as_slice() };
        let files: Vec<_> = files.iter().map(|path| file(*path, content(path))).collect();
        let (packed, _) = pack_files(&files).unwrap();
        let facts = manifest_facts(&packed[..], &ROOMY).unwrap();
        assert_eq!(facts.publisher.as_deref(), Some("acme"));
        assert!(manifest_facts(&packed[..packed.len() / 4], &ROOMY).is_err());
    }
    let (packed, _) = pack_files(&[file("a", b"x")]).unwrap();
    let missing = manifest_facts(&packed[..], &ROOMY);
    assert!(matches!(missing, Err(ArchiveError::Manifest(ManifestError::Missing))), "{missing:?}");
}
