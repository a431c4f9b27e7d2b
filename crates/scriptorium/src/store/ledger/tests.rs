//! The ledger's account is exact, its choice is the promised one.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::domain::{Integrity, Resource, Sha256};

fn digest(number: u64) -> Sha256 {
    Sha256::of(&number.to_le_bytes())
}

fn archive(number: u64) -> StorageKey {
    StorageKey::Archive(Integrity::new(digest(number)))
}

fn document(number: u64) -> StorageKey {
    StorageKey::Document { resource: Resource::Index, name: digest(number) }
}

fn ledger() -> Ledger {
    Ledger::new(Rng::with_seed(1))
}

fn evict(ledger: &mut Ledger) -> Option<StorageKey> {
    let (victim, size) = ledger.victim()?;
    assert_eq!(ledger.remove(&victim), Some(size));
    Some(victim)
}

fn sorted(ledger: &Ledger) -> Vec<(String, u64, f32)> {
    let mut all: Vec<_> = ledger.snapshot().map(|(key, size, uses)| (key.path(), size, uses)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn the_order_is_that_of_the_victims() {
    let mut ledger = ledger();
    for number in 0..40 {
        let key = if number % 4 == 0 { document(number) } else { archive(number) };
        ledger.restore(key, (number * 7919 % 37 + 1) << 14, (number * 31 % 11) as f32 + 0.5);
    }
    ledger.hold(&archive(5));
    let order: Vec<_> = ledger.order().map(|(key, size)| (key.clone(), size)).collect();
    assert_eq!(ledger.next_victims(7), order[..7], "of a small store all is looked at");
    assert_eq!(ledger.next_victims(1000), order);
    let victims = std::iter::from_fn(|| {
        let (victim, size) = ledger.victim()?;
        ledger.remove(&victim);
        Some((victim, size))
    });
    assert_eq!((order.len(), order), (39, victims.collect::<Vec<_>>()));
}

#[test]
fn archives_go_first_then_documents_and_records_never() {
    let mut ledger = ledger();
    let (resource, name) = (Resource::Release, digest(1));
    let records = [
        StorageKey::Pin { volume: name, release: name },
        StorageKey::History(name),
        StorageKey::Divergence(name),
        StorageKey::Invalidations,
    ];
    let documents = [
        document(1),
        StorageKey::OfRelease { resource, volume: name, name },
        StorageKey::Slot { resource, slot: 1 },
    ];
    let archives = [archive(1), StorageKey::TrustArtifact(name)];
    for key in records.iter().chain(&documents).chain(&archives) {
        ledger.insert(key.clone(), 1 << 30);
    }
    archives.iter().for_each(|key| (0..100).for_each(|_| ledger.touch(key)));
    let gone: Vec<_> = std::iter::from_fn(|| evict(&mut ledger)).collect();
    assert_eq!(gone.len(), 5);
    assert!(archives.iter().all(|key| gone[..2].contains(key)), "{gone:?}");
    assert!(documents.iter().all(|key| gone[2..].contains(key)), "{gone:?}");
    assert_eq!(ledger.tally(EvictionClass::Records), Tally { values: 4, bytes: 4 << 30 });
    assert_eq!(ledger.total(), 4 << 30);
}

#[test]
fn what_is_held_stays_however_little_else_there_is() {
    let mut ledger = ledger();
    for number in 0..5_000 {
        ledger.insert(archive(number), 1);
        if number != 4_321 {
            ledger.hold(&archive(number));
        }
    }
    ledger.insert(document(1), 1);
    (0..100).for_each(|_| ledger.touch(&archive(4_321)));
    assert_eq!(evict(&mut ledger), Some(archive(4_321)));
    assert_eq!(evict(&mut ledger), Some(document(1)));
    assert_eq!(evict(&mut ledger), None);
    ledger.release(&archive(7));
    assert_eq!(evict(&mut ledger), Some(archive(7)));
}

#[test]
fn what_is_kept_stays_until_its_owner_keeps_something_else() {
    let mut ledger = ledger();
    (0..200).for_each(|number| ledger.insert(archive(number), 10));
    ledger.insert(document(7), 3);
    ledger.keep("one", StorageKeys::from([archive(7), archive(1000), document(7)]));
    ledger.keep("other", StorageKeys::from([archive(7), archive(8)]));
    assert_eq!(ledger.evictable(), 198 * 10);
    assert_eq!(ledger.fixed(&StorageKeys::default()), 10 + 10 + 3, "a value that two keep counts once");
    assert_eq!(ledger.fixed(&StorageKeys::from([archive(7), archive(9)])), 10 + 3);
    let order: Vec<_> = ledger.order().map(|(key, _)| key.clone()).collect();
    let kept = [archive(7), archive(8), document(7)];
    assert!(order.len() == 198 && kept.iter().all(|key| !order.contains(key)));
    let gone = std::iter::from_fn(|| evict(&mut ledger)).count();
    assert_eq!((gone, ledger.total()), (198, 23));
    // Kept before it comes, and kept by one owner although the other gave it up.
    ledger.insert(archive(1000), 10);
    ledger.keep("other", StorageKeys::default());
    assert_eq!(evict(&mut ledger), Some(archive(8)));
    assert_eq!(evict(&mut ledger), None);
    ledger.keep("one", StorageKeys::from([document(7)]));
    assert_eq!(std::iter::from_fn(|| evict(&mut ledger)).count(), 2);
    assert_eq!(ledger.size_of(&document(7)), Some(3));
}

#[test]
fn each_reader_counts_also_over_a_replacement() {
    let mut ledger = ledger();
    let key = archive(1);
    ledger.hold(&key);
    ledger.insert(key.clone(), 10);
    ledger.hold(&key);
    ledger.release(&key);
    assert_eq!(ledger.victim(), None);
    assert_eq!(ledger.remove(&key), Some(10));
    ledger.insert(key.clone(), 20);
    assert_eq!(ledger.victim(), None);
    ledger.release(&key);
    assert_eq!(ledger.victim(), Some((key.clone(), 20)));
    ledger.release(&key);
    ledger.hold(&key);
    assert_eq!(ledger.victim(), None);
}

#[test]
fn the_large_go_before_the_small_and_the_unused_before_the_used() {
    let mut ledger = ledger();
    for (number, size, uses) in [(1, 4 << 20, 0), (2, 64 << 20, 0), (3, 64 << 20, 9), (4, 1 << 10, 0)] {
        ledger.insert(archive(number), size);
        (0..uses).for_each(|_| ledger.touch(&archive(number)));
    }
    let gone: Vec<_> = std::iter::from_fn(|| evict(&mut ledger)).collect();
    assert_eq!(gone, [2, 1, 3, 4].map(archive));
}

#[test]
fn old_uses_fade() {
    let mut ledger = ledger();
    ledger.insert(archive(1), 100);
    ledger.insert(archive(2), 100);
    (0..50).for_each(|_| ledger.touch(&archive(1)));
    assert_eq!(ledger.victim(), Some((archive(2), 100)));
    (0..50).for_each(|_| ledger.touch(&archive(2)));
    assert_eq!(ledger.victim(), Some((archive(1), 100)));
    // Also when so faded that nothing is left of them.
    ledger.insert(archive(3), 100);
    (0..10_000).for_each(|_| ledger.touch(&archive(3)));
    assert_eq!(evict(&mut ledger), Some(archive(1)));
    assert_eq!(evict(&mut ledger), Some(archive(2)));
}

#[test]
fn restoring_overwrites_nothing_and_believes_no_number_that_cannot_be() {
    let mut ledger = ledger();
    ledger.insert(archive(1), 10);
    ledger.restore(archive(1), 999, 50.0);
    assert_eq!(sorted(&ledger), [(archive(1).path(), 10, 1.0)]);
    for (number, uses) in [(2, f32::NAN), (3, f32::INFINITY), (4, -1.0), (5, 0.0)] {
        ledger.restore(archive(number), 10, uses);
    }
    assert_eq!(ledger.total(), 50);
    ledger.remove(&archive(1));
    assert!(ledger.snapshot().all(|(_, _, uses)| uses == 0.0));
    assert_eq!(std::iter::from_fn(|| evict(&mut ledger)).count(), 4);
}

#[test]
fn a_snapshot_restores_the_account_and_the_choice() {
    let mut before = ledger();
    for number in 0..40 {
        before.insert(archive(number), 1000 * (number + 1));
        before.insert(document(number), number);
        (0..number * 7 % 40).for_each(|_| before.touch(&archive(number)));
    }
    let mut after = ledger();
    for (key, size, uses) in before.snapshot() {
        after.restore(key.clone(), size, uses);
    }
    assert_eq!(sorted(&before), sorted(&after));
    assert_eq!(before.total(), after.total());
    assert_eq!(before.victim(), after.victim());
}

/// The hits among the popular, in a store with room for 100 of 1,000 values that is scanned again and again.
fn hits(mut asked: impl FnMut(u64) -> bool) -> usize {
    let mut rng = Rng::with_seed(5);
    let mut hits = 0;
    for round in 0..40 {
        for _ in 0..500 {
            // Of density 1/x: every tenfold of ranks is asked for equally often.
            let popular = 1000_f64.powf(rng.f64()) as u64;
            hits += usize::from(asked(popular));
        }
        for one in 0..300 {
            asked(10_000 + round * 300 + one);
        }
    }
    hits
}

#[test]
fn a_scan_does_not_flush_what_is_popular() {
    const ROOM: usize = 100;
    let mut ledger = ledger();
    let ours = hits(|number| {
        let hit = ledger.size_of(&archive(number)).is_some();
        if hit {
            ledger.touch(&archive(number));
        } else {
            ledger.insert(archive(number), 1);
        }
        while ledger.total() > ROOM as u64 {
            evict(&mut ledger);
        }
        hit
    });
    let mut recent = VecDeque::new();
    let least_recent = hits(|number| {
        let place = recent.iter().position(|other| *other == number);
        place.and_then(|place| recent.remove(place));
        recent.push_back(number);
        recent.drain(..recent.len().saturating_sub(ROOM));
        place.is_some()
    });
    assert!(ours * 10 > least_recent * 11, "ours {ours}, LRU {least_recent}");
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u64),
    Restore(u8, u64, f32),
    Remove(u8),
    Touch(u8),
    Hold(u8),
    Release(u8),
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, size) = (0..24_u8, 0..1_u64 << 40);
    prop_oneof![
        4 => (key.clone(), size.clone()).prop_map(|(key, size)| Step::Insert(key, size)),
        1 => (key.clone(), size, any::<f32>()).prop_map(|(key, size, uses)| Step::Restore(key, size, uses)),
        1 => key.clone().prop_map(Step::Remove),
        2 => key.clone().prop_map(Step::Touch),
        2 => key.clone().prop_map(Step::Hold),
        2 => key.prop_map(Step::Release),
        2 => Just(Step::Evict),
    ]
}

fn key(number: u8) -> StorageKey {
    match number % 3 {
        0 => archive(number.into()),
        1 => document(number.into()),
        _ => StorageKey::History(digest(number.into())),
    }
}

proptest! {
    #[test]
    fn the_account_is_exact(steps in prop::collection::vec(step(), 0..200), seed: u64) {
        let mut ledger = Ledger::new(Rng::with_seed(seed));
        let mut stored: HashMap<StorageKey, u64> = HashMap::new();
        let mut readers: HashMap<StorageKey, u32> = HashMap::new();
        for step in steps {
            match step {
                Step::Insert(number, size) => {
                    ledger.insert(key(number), size);
                    stored.insert(key(number), size);
                }
                Step::Restore(number, size, uses) => {
                    ledger.restore(key(number), size, uses);
                    stored.entry(key(number)).or_insert(size);
                }
                Step::Remove(number) => prop_assert_eq!(ledger.remove(&key(number)), stored.remove(&key(number))),
                Step::Touch(number) => ledger.touch(&key(number)),
                Step::Hold(number) => {
                    ledger.hold(&key(number));
                    *readers.entry(key(number)).or_default() += 1;
                }
                Step::Release(number) => {
                    ledger.release(&key(number));
                    readers.entry(key(number)).and_modify(|readers| *readers = readers.saturating_sub(1));
                }
                Step::Evict => {
                    let may_go = |class| {
                        let free = |key: &&StorageKey| readers.get(*key).is_none_or(|readers| *readers == 0);
                        stored.keys().filter(free).any(|key| EvictionClass::of(key) == class)
                    };
                    let first = [EvictionClass::Archives, EvictionClass::Documents].into_iter().find(|class| may_go(*class));
                    let victim = ledger.victim();
                    prop_assert_eq!(victim.as_ref().map(|(key, _)| EvictionClass::of(key)), first);
                    if let Some((victim, size)) = victim {
                        prop_assert!(readers.get(&victim).is_none_or(|readers| *readers == 0));
                        prop_assert_eq!(ledger.remove(&victim), Some(size));
                        prop_assert_eq!(stored.remove(&victim), Some(size));
                    }
                }
            }
            for class in EvictionClass::EVICTABLE.into_iter().chain([EvictionClass::Records]) {
                let sizes = stored.iter().filter(|(key, _)| EvictionClass::of(key) == class).map(|(_, size)| size);
                let tally = Tally { values: sizes.clone().count(), bytes: sizes.sum() };
                prop_assert_eq!(ledger.tally(class), tally);
            }
            prop_assert_eq!(ledger.total(), stored.values().sum::<u64>());
        }
        for number in 0..24 {
            prop_assert_eq!(ledger.size_of(&key(number)), stored.get(&key(number)).copied());
        }
        prop_assert_eq!(ledger.snapshot().count(), stored.len());
    }
}
