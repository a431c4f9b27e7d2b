//! Damage of what is stored, met by a sync: it is healed or told, and a sync that says complete is complete.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{house, lamps};
use crate::support::catalogue::Artifact;
use crate::support::mirror::{Desk, asked, depending, missing, reason};
use crate::support::{Release, Reply, Seed, Setup, Upstream};

/// The releases of the mirror of the house.
fn mirrored() -> [Release; 4] {
    [("@acme/lamp", "1.1.0"), ("bulb", "2.0.0"), ("wire", "1.5.0"), ("wire", "2.0.0")]
        .map(|(name, version)| depending(name, version, &[]))
}

/// The house, and what is attested of its lamp.
fn attested_house() -> Upstream {
    let upstream = house();
    let proof = Artifact::new("proof", "application/json", "a statement");
    upstream.reply(&proof.source(), proof.reply());
    for release in mirrored() {
        let is_lamp = release.name == "@acme/lamp";
        let attached = is_lamp.then(|| proof.attachment(&upstream.url()));
        upstream.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        upstream.reply(&release.trust("detail"), Reply::json(&release.attested(attached.as_slice())));
    }
    upstream
}

/// Every stored file, in order.
fn stored(data: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![data.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    found
}

fn is_of(kind: &str, path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == kind)
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Truncate,
    Delete,
}

impl Damage {
    const ALL: [Self; 3] = [Self::Flip, Self::Truncate, Self::Delete];

    fn happen(self, path: &Path, chance: &mut fastrand::Rng) {
        let mut bytes = fs::read(path).unwrap();
        if bytes.is_empty() {
            return;
        }
        let at = chance.usize(..bytes.len());
        match self {
            Self::Flip => bytes[at] ^= 1 << chance.u8(..8),
            Self::Truncate => bytes.truncate(at),
            Self::Delete => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn whatever_stored_value_is_damaged_the_next_sync_heals_it() {
    let upstream = attested_house();
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", "roots = [\"@acme/lamp\"]"));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let seed = Seed::from("MIRROR_SEED");
    let files = stored(&desk.data());
    for kind in ["documents", "archives", "trust", "pins", "mirrors"] {
        assert!(files.iter().any(|path| is_of(kind, path)), "nothing of {kind} in {files:?}");
    }
    for (number, path) in files.iter().enumerate().filter(|(_, path)| path.exists()) {
        let mut chance = seed.choices(number as u64);
        let damage = Damage::ALL[chance.usize(..3)];
        damage.happen(path, &mut chance);
        let what = format!("{damage:?} of {}", path.display());
        let (code, sync) = desk.mirror(&["sync"]);
        assert_eq!((code, &sync["complete"], missing(&sync).len()), (0, &json!(true), 0), "{what}: {sync}");
        let (code, proof) = desk.mirror(&["verify"]);
        assert_eq!(code, 0, "{what}, after a complete sync: {proof}");
    }
}

fn archive(desk: &Desk, release: &Release) -> PathBuf {
    let hex = release.integrity()["sha256:".len()..].to_owned();
    desk.data().join("archives").join(&hex[..2]).join(hex)
}

#[test]
fn a_damaged_archive_that_its_registry_does_not_send_again_is_told() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let [_, bulb, ..] = mirrored();
    let mut bytes = fs::read(archive(&desk, &bulb)).unwrap();
    bytes[20] ^= 1;
    fs::write(archive(&desk, &bulb), bytes).unwrap();
    upstream.reply(&bulb.source(), Reply::failure(500));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"], missing(&sync)), (1, &json!(false), vec![bulb_id()]), "{sync}");
    assert_eq!(desk.mirror(&["status"]).0, 1);
    upstream.publish(&depending("bulb", "2.0.0", &[("wire", "^1.0.0")]));
    asked(&upstream);
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"]), (0, &json!(true)), "{sync}");
    assert_eq!(asked(&upstream).2, 1, "the damaged archive alone is asked for");
    assert_eq!(desk.mirror(&["verify"]).0, 0);
}

fn bulb_id() -> String {
    "bulb@2.0.0".to_owned()
}

#[test]
fn a_damaged_record_of_a_mirror_is_told_until_the_next_sync_writes_it() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let damage = || {
        let record = stored(&desk.data()).into_iter().find(|path| is_of("mirrors", path)).unwrap();
        let mut bytes = fs::read(&record).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&record, bytes).unwrap();
    };
    damage();
    let output = desk.command(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the record of the mirror is damaged") && said.contains("mirror sync"), "{said}");
    let (code, proof) = desk.mirror(&["verify"]);
    assert!(code == 1 && reason(&proof, "@acme/lamp").contains("damaged"), "{proof}");
    // A sync that misses something does not take the damaged record for proof of anything.
    let [_, bulb, ..] = mirrored();
    fs::remove_file(archive(&desk, &bulb)).unwrap();
    upstream.reply(&bulb.source(), Reply::failure(500));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, missing(&sync)), (1, vec![bulb_id()]), "{sync}");
    let (_, status) = desk.mirror(&["status"]);
    assert_eq!(status["last_success"], json!(null), "{status}");
    damage();
    upstream.publish(&depending("bulb", "2.0.0", &[("wire", "^1.0.0")]));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    assert_eq!((desk.mirror(&["status"]).0, desk.mirror(&["verify"]).0), (0, 0));
}
