//! How much of each kind is stored, and which archives are the largest.
//!
//! Owns the kinds and their sums, in whole disk pages as the ceiling counts them. Must not read what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures_util::{StreamExt, TryStreamExt};

use super::space::Tally;
use super::{ObjectStorage, StorageKey, StoreError, inventory};
use crate::domain::Integrity;

/// The kind of what a running process staged.
pub(crate) const STAGED: &str = "staged";
/// The kind of the staged files of processes that are gone.
pub(crate) const ABANDONED: &str = "abandoned";

/// Sums by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tallies(pub(crate) BTreeMap<&'static str, Tally>);

impl Tallies {
    pub(crate) fn add(&mut self, kind: &'static str, more: Tally) {
        self.0.entry(kind).or_default().add(more);
    }

    pub(crate) fn add_value(&mut self, key: &StorageKey, bytes: u64) {
        self.add(key.kind(), Tally { values: 1, bytes });
    }

    /// The sum of all kinds.
    pub(crate) fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.0.values().for_each(|tally| total.add(*tally));
        total
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoreStats {
    pub(crate) tallies: Tallies,
    /// The largest archives and their bytes, the largest first.
    pub(crate) largest: Vec<(StorageKey, u64)>,
}

/// Adds up everything in `objects`, and finds its `most` largest archives.
pub(crate) async fn collect(objects: &ObjectStorage, most: usize) -> Result<StoreStats, StoreError> {
    let (mut tallies, mut largest) = (Tallies::default(), BTreeSet::<(u64, Integrity)>::new());
    let mut listed = pin!(inventory::everything(objects).chain(inventory::quarantined(objects)));
    while let Some((key, bytes)) = listed.try_next().await? {
        tallies.add_value(&key, bytes);
        if let StorageKey::Archive(tree) = key {
            largest.insert((bytes, tree));
            if largest.len() > most {
                largest.pop_first();
            }
        }
    }
    for batch in objects.staged().await? {
        tallies.add(if batch.abandoned { ABANDONED } else { STAGED }, batch.tally);
    }
    let largest = largest.into_iter().rev().map(|(bytes, tree)| (StorageKey::Archive(tree), bytes));
    Ok(StoreStats { tallies, largest: largest.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Resource, Sha256};
    use crate::store::{Damage, FileStore, ValueStore};

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
        let StoreStats { tallies, largest } = collect(&store, 2).await.unwrap();
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
        assert_eq!(collect(&store, 0).await.unwrap().largest, []);
    }
}
