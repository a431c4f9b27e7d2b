//! What a release of a mirror costs in memory, counted by the allocator: in all a mirror of 50,000 releases stays within 100 MB.

use allocation_counter::{AllocationInfo, measure};
use fastrand::Rng;
use selection::{CatalogueRow, NextStep, RootVersions, SelectionRules, Selector};

use super::record::{MirrorRecord, MirroredRelease};
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Integrity, LifecycleState, Registry, Sha256, VolumeName};
use crate::read::place::place;
use crate::store::StorageKey;
use crate::store::ledger::Ledger;
use crate::store::record::{decode, encode};

const VOLUMES: usize = 2_000;
const RELEASES: usize = 10;
const ALL: u64 = (VOLUMES * RELEASES) as u64;

fn name(volume: usize) -> VolumeName {
    format!("@acme/volume-{volume}").parse().unwrap()
}

fn integrity(volume: usize, release: usize) -> Integrity {
    Integrity::new(Sha256::of(format!("{volume} {release}").as_bytes()))
}

fn record() -> MirrorRecord {
    let mut record = MirrorRecord::empty("ci", Timestamp(7));
    let registry = record.index_of(&Registry::new("public", "https://registry.example.com"));
    record.selected.reserve_exact(VOLUMES * RELEASES);
    for (volume, release) in places() {
        record.selected.push(MirroredRelease {
            volume: name(volume),
            version: format!("1.{release}.0").parse().unwrap(),
            integrity: Some(integrity(volume, release)),
            state: LifecycleState::Available,
            wants_files: true,
            is_passed_over: false,
            registry,
            archive: Some(4096),
            trust: false,
            untrusted: None,
            artifacts: Vec::new(),
        });
    }
    record
}

fn places() -> impl Iterator<Item = (usize, usize)> {
    (0..VOLUMES).flat_map(|volume| (0..RELEASES).map(move |release| (volume, release)))
}

fn rows(volume: usize) -> Vec<CatalogueRow> {
    let row = |release| CatalogueRow {
        version: format!("1.{release}.0").parse().unwrap(),
        state: LifecycleState::Available,
        integrity: Some(integrity(volume, release)),
        dependencies: vec![(name(volume / 2).to_string(), "^1.0.0".to_owned())],
    };
    (0..RELEASES).map(row).collect()
}

/// Bytes a release at the peak of `work`, of which at most `most` are allowed.
fn costs(what: &str, most: u64, work: impl FnOnce()) {
    let AllocationInfo { bytes_max, .. } = measure(work);
    let each = bytes_max / ALL;
    eprintln!("{what}: {each} bytes a release");
    assert!(each <= most, "{what}: {each} bytes a release, and no more than {most} are allowed");
}

#[test]
fn a_release_costs_a_few_hundred_bytes_wherever_it_is_held() {
    costs("its record", 200, || drop(record()));
    let record = record();
    costs("the keys that are kept", 60, || drop(record.keys()));
    costs("the sum of its bytes", 120, || assert_eq!(record.bytes(), ALL * 4096));
    costs("the written record", 250, || drop(encode(&record)));
    let written = encode(&record);
    costs("the record that is read", 600, || drop(decode::<MirrorRecord>(&written).unwrap()));
    let registry = &record.registries[0];
    costs("the account of what is stored", 700, || {
        let mut ledger = Ledger::new(Rng::with_seed(1));
        for release in &record.selected {
            let exact = DocumentKey::Release(release.volume.clone(), release.version.clone());
            ledger.insert(StorageKey::Archive(release.integrity.unwrap()), 4096);
            ledger.insert(place(registry, &exact), 4096);
            let (volume, digest) =
                (Sha256::of(release.volume.as_str().as_bytes()), *release.integrity.unwrap().digest());
            ledger.insert(StorageKey::Pin { volume, release: digest }, 4096);
        }
    });
    costs("the selection", 700, select);
}

/// Selects everything, as a sync does.
fn select() {
    let rules = SelectionRules { versions: RootVersions::All, ..SelectionRules::default() };
    let mut selector = Selector::new(vec!["@acme/*".parse().unwrap()], rules);
    loop {
        match selector.advance().unwrap() {
            NextStep::Ask(questions) => {
                for pattern in &questions.patterns {
                    selector.answer_pattern(pattern, Ok((0..VOLUMES).map(name).collect())).unwrap();
                }
                for (volume, asked) in (0..VOLUMES).map(|volume| (volume, name(volume))) {
                    if questions.volumes.binary_search(&asked).is_ok() {
                        selector.answer_volume(&asked, Ok(rows(volume))).unwrap();
                    }
                }
            }
            NextStep::Done(selection) => {
                assert_eq!(selection.releases.len() as u64, ALL);
                return;
            }
        }
    }
}
