//! What lies in a store, added up: how much of each kind, and the largest archives.
//!
//! Owns the kinds and their sums, in whole pages as a disk and the ceiling count them. Must not read what is stored.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;

use super::ceiling::{FIXED, SHELVES};
use super::ledger::Tally;
use super::staged::pages;
use super::{Shelf, StorageKey, Store, StoreError};
use crate::domain::Integrity;

/// The kind of what a running process staged.
pub const STAGED: &str = "staged";
/// The kind of what was staged by processes that are gone.
pub const ABANDONED: &str = "abandoned";

/// Sums by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallies(pub BTreeMap<&'static str, Tally>);

impl Tallies {
    /// Adds so much of `kind`.
    pub fn add(&mut self, kind: &'static str, more: Tally) {
        let tally = self.0.entry(kind).or_default();
        tally.values += more.values;
        tally.bytes += more.bytes;
    }

    /// Adds one value of `bytes` bytes under `key`.
    pub fn add_value(&mut self, key: &StorageKey, bytes: u64) {
        self.add(key.kind(), Tally { values: 1, bytes });
    }

    /// How much of all kinds.
    #[must_use]
    pub fn total(&self) -> Tally {
        let add = |sum: Tally, more: &Tally| Tally {
            values: sum.values + more.values,
            bytes: sum.bytes + more.bytes,
        };
        self.0.values().fold(Tally::default(), add)
    }
}

/// What lies in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// How much of each kind.
    pub tallies: Tallies,
    /// The largest archives and their bytes, the largest first.
    pub largest: Vec<(StorageKey, u64)>,
}

/// Adds up what lies in `store`, and finds the largest archives, so many of them.
///
/// # Errors
/// When not all of it can be listed.
pub async fn take(store: &dyn Store, most: usize) -> Result<Stock, StoreError> {
    let (mut tallies, mut largest) = (Tallies::default(), BTreeSet::<(u64, Integrity)>::new());
    for shelf in SHELVES.into_iter().chain([Shelf::Quarantine]) {
        let mut listed = store.list(shelf);
        while let Some((key, size)) = listed.try_next().await? {
            let bytes = pages(size);
            tallies.add_value(&key, bytes);
            if let StorageKey::Archive(tree) = key {
                largest.insert((bytes, tree));
                if largest.len() > most {
                    largest.pop_first();
                }
            }
        }
    }
    for key in FIXED {
        if let Some((_, size)) = store.read_tail(&key, 1).await? {
            tallies.add_value(&key, pages(size));
        }
    }
    for batch in store.staged().await? {
        tallies.add(if batch.abandoned { ABANDONED } else { STAGED }, batch.tally);
    }
    let largest = largest.into_iter().rev().map(|(bytes, tree)| (StorageKey::Archive(tree), bytes));
    Ok(Stock { tallies, largest: largest.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Resource, Sha256};
    use crate::store::{Damage, ObjectStorage};

    fn archive(name: &str) -> StorageKey {
        StorageKey::Archive(Integrity::new(Sha256::of(name.as_bytes())))
    }

    #[tokio::test]
    async fn every_kind_is_added_up_in_whole_pages() {
        let store = ObjectStorage::memory().unwrap();
        let name = Sha256::of(b"a");
        let values = [
            (StorageKey::Document { resource: Resource::Index, name }, 1),
            (StorageKey::Slot { resource: Resource::Search, slot: 1 }, 4096),
            (StorageKey::Slot { resource: Resource::Search, slot: 2 }, 4097),
            (archive("small"), 10),
            (archive("large"), 20_000),
            (archive("larger"), 30_000),
            (archive("broken"), 5),
            (StorageKey::Pin { volume: name, release: name }, 9),
            (StorageKey::Uses, 0),
            (StorageKey::Invalidations, 3),
        ];
        for (key, bytes) in values {
            store.write(&key, vec![7; bytes].into()).await.unwrap();
        }
        store.set_aside(&archive("broken"), &Damage::of(&archive("broken"), "a", "b")).await.unwrap();
        let Stock { tallies, largest } = take(&store, 2).await.unwrap();
        let counted: Vec<_> =
            tallies.0.iter().map(|(kind, tally)| (*kind, tally.values, tally.bytes / 4096)).collect();
        let expected = [
            ("archives", 3, 14),
            ("index", 1, 1),
            ("invalidations", 1, 1),
            ("pins", 1, 1),
            ("quarantine", 2, 2),
            ("search", 2, 3),
            ("uses", 1, 0),
        ];
        assert_eq!(counted, expected);
        assert_eq!(tallies.total(), Tally { values: 11, bytes: 22 * 4096 });
        assert_eq!(largest, [(archive("larger"), 8 * 4096), (archive("large"), 5 * 4096)]);
        assert_eq!(take(&store, 0).await.unwrap().largest, []);
    }
}
