//! Damage: every byte changed, every file cut off, what is right kept.
//!
//! Owns that no byte of a bundle is without meaning. Must not know hostile files.

use std::fs;
use std::io::Read;
use std::path::Path;

use archive::Sha256;
use bundle::{BlobFault, BlobMismatch, ProblemSubject};

use super::fixture::{LAYOUTS, State, fault, head, home, inspect, key, small_bundle, tree};

#[test]
fn no_byte_can_change_unnoticed() {
    for layout in LAYOUTS {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), layout);
        let trusted = [trusted];
        assert_eq!(fault(&path, &trusted), None);
        for (name, bytes) in tree(&path) {
            let file = path.join(&name);
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                fs::write(&file, damaged).unwrap();
                let found = fault(&path, &trusted);
                assert!(found.is_some(), "{}: byte {at} of {}", name.display(), bytes.len());
            }
            fs::write(&file, bytes).unwrap();
        }
        assert_eq!(fault(&path, &trusted), None);
    }
}

#[test]
fn no_file_can_be_shorter_longer_or_missing() {
    for layout in LAYOUTS {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), layout);
        let trusted = [trusted];
        for (name, bytes) in tree(&path) {
            let file = path.join(&name);
            for length in 0..bytes.len() {
                fs::write(&file, &bytes[..length]).unwrap();
                assert!(fault(&path, &trusted).is_some(), "{}: the first {length}", name.display());
            }
            for more in [&[0][..], &[0; 512], b"\n", &[0; 10_240]] {
                fs::write(&file, [&bytes, more].concat()).unwrap();
                assert!(fault(&path, &trusted).is_some(), "{}: {} more", name.display(), more.len());
            }
            fs::remove_file(&file).unwrap();
            assert!(fault(&path, &trusted).is_some(), "{}: missing", name.display());
            fs::write(&file, bytes).unwrap();
        }
        assert_eq!(fault(&path, &trusted), None);
    }
}

/// Forty blobs in parts of about four.
fn parts(home: &Path) -> (State, [bundle::TrustedKey; 1]) {
    let (state, key) = (State::of_documents(40, 1000), key(home));
    state.export(&home.join("b"), Some(8192), head(&key), &key).unwrap();
    (state, [key.public().clone()])
}

fn damage(home: &Path, at: usize) {
    let part = home.join("b/part-0002.tar");
    let mut bytes = fs::read(&part).unwrap();
    bytes[at] ^= 0x80;
    fs::write(part, bytes).unwrap();
}

#[test]
fn damage_in_a_part_costs_the_blob_that_it_hit() {
    // In a header, in a content, in what pads it.
    for (at, lost) in [(0, 1), (257, 1), (512 + 500, 1), (512 + 1010, 0)] {
        let home = home();
        let (state, trusted) = parts(home.path());
        damage(home.path(), at);
        let inspection = inspect(&home.path().join("b"), &trusted);
        let part = ProblemSubject::Part("part-0002.tar".to_owned());
        assert!(inspection.problems.iter().any(|problem| problem.subject == part), "{at}");
        let told = |subject: &ProblemSubject| matches!(subject, ProblemSubject::Blob(_));
        let problems = inspection.problems.iter().filter(|problem| told(&problem.subject)).count();
        let held = state.blobs.keys().filter(|digest| inspection.blobs.holds(digest)).count();
        assert_eq!((problems, held), (lost, 40 - lost), "{at}: {:?}", inspection.problems);
    }
}

#[test]
fn a_missing_part_costs_its_blobs() {
    let home = home();
    let (state, trusted) = parts(home.path());
    fs::remove_file(home.path().join("b/part-0003.tar")).unwrap();
    let inspection = inspect(&home.path().join("b"), &trusted);
    let missing = |problem: &&bundle::BundleProblem| problem.fault == BlobFault::Missing;
    let held = state.blobs.keys().filter(|digest| inspection.blobs.holds(digest)).count();
    assert_eq!((inspection.problems.iter().filter(missing).count(), held), (5, 36));
    let lost = state.blobs.keys().find(|digest| !inspection.blobs.holds(digest)).unwrap();
    assert_eq!(inspection.blobs.open(lost).err(), Some(bundle::BlobRefusal::NotHeld));
}

#[test]
fn a_blob_that_changes_after_it_was_inspected_is_not_given_out_whole() {
    for layout in LAYOUTS {
        let home = home();
        let (path, trusted) = small_bundle(home.path(), layout);
        let digest = Sha256::of(&[7; 700]);
        let inspection = inspect(&path, &[trusted]);
        for (name, bytes) in tree(&path) {
            // The same length, so that only the digest can tell.
            let changed = bytes.iter().map(|byte| if *byte == 7 { 8 } else { *byte });
            fs::write(path.join(name), changed.collect::<Vec<u8>>()).unwrap();
        }
        let mut reader = inspection.blobs.open(&digest).unwrap();
        let (mut read, mut buffer) = (0, [0; 100]);
        let error = loop {
            match reader.read(&mut buffer) {
                Ok(some) => read += some,
                Err(error) => break error,
            }
        };
        assert_eq!(read, 600, "the last bytes were given out");
        let inner = error.get_ref().unwrap().downcast_ref::<BlobMismatch>();
        assert_eq!(inner, Some(&BlobMismatch(digest)));
        assert!(reader.read(&mut buffer).is_err(), "an error is no end");
    }
}
