//! A list of everything that a store contains.
//!
//! Owns the list of prefixes and keys that together are everything. Must not know who counts it.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::space::pages;
use super::{KeyPrefix, ListedValue, StorageKey, Store};

/// Everything but the quarantine and [`SINGLE`].
pub(super) const PREFIXES: [KeyPrefix; 10] = [
    KeyPrefix::Documents,
    KeyPrefix::Archives,
    KeyPrefix::TrustArtifacts,
    KeyPrefix::Pins,
    KeyPrefix::Histories,
    KeyPrefix::Divergences,
    KeyPrefix::Uploads,
    KeyPrefix::Sessions,
    KeyPrefix::Mirrors,
    KeyPrefix::Evidence,
];

/// The values that there is one of.
const SINGLE: [StorageKey; 6] = [
    StorageKey::Invalidations,
    StorageKey::Refusals,
    StorageKey::News,
    StorageKey::Starts,
    StorageKey::Bundles,
    StorageKey::Uses,
];

/// All that is stored except what is in quarantine, with the disk space that each value takes.
pub(super) fn everything(store: &dyn Store) -> impl Stream<Item = ListedValue> + Send {
    let listed = stream::iter(PREFIXES).flat_map(move |prefix| store.list(prefix));
    let single = stream::iter(SINGLE).filter_map(move |key| async move {
        let tail = store.read_tail(&key, 1).await;
        tail.map(|found| found.map(|(_, size)| (key, size))).transpose()
    });
    in_pages(listed.chain(single))
}

/// All that is in quarantine.
pub(super) fn quarantined(store: &dyn Store) -> impl Stream<Item = ListedValue> + Send + use<> {
    in_pages(store.list(KeyPrefix::Quarantine))
}

fn in_pages<S: Stream<Item = ListedValue>>(listed: S) -> impl Stream<Item = ListedValue> + use<S> {
    listed.map_ok(|(key, size)| (key, pages(size)))
}
