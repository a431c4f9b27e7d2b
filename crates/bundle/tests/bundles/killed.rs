//! Exports that end early, and are run again.
//!
//! Owns that half a bundle is never taken for a whole one, and that the second run makes what an undisturbed one makes. Must
//! not know what a reader finds beyond that.

use std::fs;
use std::path::Path;
use std::process::Command;

use archive::Sha256;
use bundle::{BlobOutcome, BundleExport, ExportError, ManifestHead, SigningKey};

use super::fixture::{LAYOUTS, State, fault, head, home, key, tree};

/// Runs an export that stops after so many steps, without ending anything; whether it came to its end before.
fn run(state: &State, target: &Path, layout: Option<u64>, key: &SigningKey, steps: usize) -> bool {
    let mut left = steps;
    let mut go_on = || {
        left = left.saturating_sub(1);
        left > 0
    };
    let mut export = BundleExport::create(target, layout).unwrap();
    for (digest, body) in &state.blobs {
        if !go_on() {
            // In the middle of a blob, too.
            let half = super::fixture::Failing(&body[..body.len() / 2]);
            assert!(export.blob(digest, body.len() as u64, || Ok(half)).is_err() || body.is_empty());
            return false;
        }
        export.blob(digest, body.len() as u64, || Ok(&body[..])).unwrap();
    }
    if !go_on() {
        return false;
    }
    let mut listing = export.list(head(key), key).unwrap();
    for item in &state.documents {
        if !go_on() {
            return false;
        }
        listing.item(item).unwrap();
    }
    state.files.iter().for_each(|item| listing.item(item).unwrap());
    state.pins.iter().for_each(|item| listing.item(item).unwrap());
    state.gaps.iter().for_each(|item| listing.item(item).unwrap());
    if !go_on() {
        return false;
    }
    listing.finish().unwrap();
    true
}

#[test]
fn an_export_that_was_stopped_anywhere_is_run_again_as_if_it_had_not_been() {
    for layout in LAYOUTS {
        let (home, state) = (home(), State::small());
        let key = key(home.path());
        let trusted = [key.public().clone()];
        let whole = home.path().join("whole");
        state.export(&whole, layout, head(&key), &key).unwrap();
        for steps in 1.. {
            let target = home.path().join(steps.to_string());
            // What an earlier export of another state, in the other layout, left there.
            let (earlier, other) = (State::of_documents(5, 300), layout.is_none().then_some(2000));
            earlier.export(&target, other, ManifestHead { sequence: 1, ..head(&key) }, &key).unwrap();
            if run(&state, &target, layout, &key, steps) {
                assert!(steps > 6);
                break;
            }
            let found = fault(&target, &trusted).unwrap();
            assert!(found.contains("does not exist") || found.contains("Missing"), "{steps}: {found}");
            assert!(run(&state, &target, layout, &key, usize::MAX));
            assert_eq!(tree(&target), tree(&whole), "{steps}");
        }
    }
}

#[test]
fn a_manifest_without_its_signature_is_no_finished_bundle() {
    for layout in LAYOUTS {
        let (home, state) = (home(), State::small());
        let key = key(home.path());
        let target = home.path().join("b");
        state.export(&target, layout, head(&key), &key).unwrap();
        let whole = tree(&target);
        fs::remove_file(target.join("manifest.json.minisig")).unwrap();
        assert_eq!(fault(&target, &[key.public().clone()]).unwrap(), "Missing");
        state.export(&target, layout, head(&key), &key).unwrap();
        assert_eq!(tree(&target), whole);
    }
}

#[test]
fn blobs_that_were_written_are_kept_and_read_again() {
    let (home, state) = (home(), State::small());
    let key = key(home.path());
    let target = home.path().join("b");
    state.export(&target, None, head(&key), &key).unwrap();
    let damaged = Sha256::of(&[7; 700]);
    fs::write(target.join("blobs/sha256").join(damaged.hex()), [8; 700]).unwrap();
    let mut export = BundleExport::create(&target, None).unwrap();
    for (digest, body) in &state.blobs {
        let mut opened = false;
        let outcome = export.blob(digest, body.len() as u64, || {
            opened = true;
            Ok(&body[..])
        });
        let expected = if *digest == damaged { BlobOutcome::Written } else { BlobOutcome::Kept };
        assert_eq!((outcome.unwrap(), opened), (expected, *digest == damaged));
    }
}

#[test]
fn two_exports_never_write_to_one_folder() {
    let home = home();
    let target = home.path().join("b");
    let first = BundleExport::create(&target, None).unwrap();
    assert!(matches!(BundleExport::create(&target, None), Err(ExportError::Busy { .. })));
    drop(first);
    BundleExport::create(&target, None).unwrap();
}

#[test]
fn what_is_not_ours_in_the_folder_of_a_bundle_stays() {
    for layout in LAYOUTS {
        let home = home();
        let key = key(home.path());
        let target = home.path().join("b");
        State::small().export(&target, layout, head(&key), &key).unwrap();
        fs::create_dir_all(target.join("blobs/sha256")).unwrap();
        for name in ["notes.txt", "part-1.tar", "blobs/notes.txt", "blobs/sha256/notes.txt"] {
            fs::write(target.join(name), "mine").unwrap();
        }
        State::small().export(&target, layout, head(&key), &key).unwrap();
        assert_eq!(tree(&target).values().filter(|body| **body == b"mine").count(), 4);
    }
}

#[test]
fn a_folder_is_taken_over_only_if_it_is_empty_or_an_export_wrote_into_it() {
    let digest = Sha256::of(b"").hex();
    for name in ["manifest.json", "part-0001.tar", "notes.txt", ".hidden", &format!("blobs/sha256/{digest}")]
    {
        for layout in LAYOUTS {
            let home = home();
            let key = key(home.path());
            let target = home.path().join("b");
            fs::create_dir_all(target.join("blobs/sha256")).unwrap();
            fs::write(target.join(name), "{\"name\":\"somebody's\"}").unwrap();
            let before = tree(&target);
            let refused = State::small().export(&target, layout, head(&key), &key);
            assert!(matches!(refused, Err(ExportError::Occupied { .. })), "{name}: {refused:?}");
            assert_eq!(tree(&target), before);
        }
    }
}

/// A small file system of its own, which only root can make.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mounted(path: &'a Path, kilobytes: u32) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let size = format!("size={kilobytes}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(path))
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=16m"]).arg(self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_anywhere_is_an_error_and_no_bundle() {
    for layout in [None, Some(20_000), Some(1 << 30)] {
        let (home, state) = (home(), State::of_documents(8, 5000));
        let key = key(home.path());
        let whole = home.path().join("whole");
        state.export(&whole, layout, head(&key), &key).unwrap();
        let mut filled = 0;
        for kilobytes in (4..).step_by(4) {
            let target = home.path().join(kilobytes.to_string());
            let Some(disk) = Disk::mounted(&target, kilobytes) else {
                eprintln!("skipped: no file system can be mounted here");
                return;
            };
            let Err(error) = state.export(&target, layout, head(&key), &key) else { break };
            let full = matches!(&error, ExportError::Destination { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull);
            assert!(full, "{kilobytes}: {error}");
            let found = fault(&target, &[key.public().clone()]).unwrap();
            assert!(found.contains("does not exist") || found.contains("Missing"), "{kilobytes}: {found}");
            disk.grow();
            state.export(&target, layout, head(&key), &key).unwrap();
            assert_eq!(tree(&target), tree(&whole), "{kilobytes}");
            filled += 1;
        }
        assert!(filled > 8, "{filled}");
    }
}
