//! What can be installed of a volume while nobody is asked.
//!
//! A release is in stock when its exact metadata is held and offers it, and its archive is held as that release's; one that
//! is delivered by Git when its metadata is, for its bytes were never ours to hold. Taken from the store, a bounded number of
//! looks at once, and believed for a short while, so that what is evicted or brought in meanwhile shows. Owns that. Must
//! not know what a row shows of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::cache::document::{Content, Document};
use crate::cache::documents::Documents;
use crate::clock::Timestamp;
use crate::config::OfflineRows;
use crate::domain::{Dist, DocumentKey, Purl, Version, VolumeName};
use crate::store::{StorageKey, sealed};

/// Releases of all volumes whose stock is remembered, at most.
const MOST: u64 = 1_000_000;

/// How long it is believed.
const BELIEVED: Duration = Duration::from_secs(5);

/// Releases of one volume that are looked for at once.
const AT_ONCE: usize = 16;

/// What is in stock, by volume.
#[derive(Debug)]
pub(in crate::cache) struct Stocks(moka::sync::Cache<VolumeName, Arc<Stock>>);

/// What is in stock of one volume.
#[derive(Debug)]
struct Stock {
    versions: HashSet<Version>,
    taken_at: Timestamp,
}

impl Default for Stocks {
    fn default() -> Self {
        let weigh =
            |_: &VolumeName, stock: &Arc<Stock>| u32::try_from(stock.versions.len() + 1).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }
}

impl Documents {
    /// The index that was `given` of a volume, as it is to be shown while nobody is asked.
    pub(in crate::cache) async fn stocked(
        self: &Arc<Self>,
        name: &VolumeName,
        given: Arc<Document>,
    ) -> Arc<Document> {
        let known = self.stocks.0.get(name);
        let is_young =
            |stock: &Arc<Stock>| self.now().since(stock.taken_at).is_some_and(|age| age < BELIEVED);
        if !known.as_ref().is_some_and(is_young) {
            let stock = Stock { versions: self.take_stock(name, &given.content).await, taken_at: self.now() };
            self.stocks.0.insert(name.clone(), Arc::new(stock));
        }
        let (documents, name, length) = (Arc::clone(self), name.clone(), given.content.body().len());
        let shown = self.parsing.patiently(length, move || documents.show(&name)).await.flatten();
        shown.unwrap_or(given)
    }

    /// Whether rows are marked that are not in stock.
    pub(in crate::cache) fn marks_rows(&self) -> bool {
        let policy = &self.live().policy;
        policy.offline && policy.offline_rows == OfflineRows::Held
    }

    /// The versions that an index lists and that are not in stock, where they are to be marked.
    pub(super) fn not_in_stock(&self, name: &VolumeName, index: &Content) -> Vec<Version> {
        let Some((rows, stock)) = index.rows().zip(self.stocks.0.get(name)).filter(|_| self.marks_rows())
        else {
            return Vec::new();
        };
        let listed = rows.by_version().map(|(version, _)| version);
        listed.filter(|version| !stock.versions.contains(version)).cloned().collect()
    }

    /// Forgets what was in stock.
    pub(super) fn forget_stocks(&self) {
        self.stocks.0.invalidate_all();
    }

    async fn take_stock(&self, name: &VolumeName, index: &Content) -> HashSet<Version> {
        let Some(rows) = index.rows() else { return HashSet::new() };
        let offered =
            rows.by_version().filter(|(_, rows)| rows.iter().any(|row| row.status.state.serves_bytes()));
        let offered: Vec<_> = offered.map(|(version, _)| version.clone()).collect();
        let look =
            |version: Version| async move { self.is_in_stock(name, &version).await.then_some(version) };
        stream::iter(offered)
            .map(look)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |version| version)
            .collect()
            .await
    }

    async fn is_in_stock(&self, name: &VolumeName, version: &Version) -> bool {
        let key = DocumentKey::Release(name.clone(), version.clone());
        let Some(document) = self.held(&key).await else { return false };
        let Some(release) = document.content.release().filter(|release| release.serves_bytes()) else {
            return false;
        };
        match (&release.dist, release.integrity) {
            (Some(Dist::Git), _) => true,
            (Some(Dist::Cdn { .. }), Some(integrity)) => {
                let seal = sealed::open(&*self.store, &StorageKey::Archive(integrity)).await;
                let identity = Purl::new(name, version).to_string();
                seal.is_ok_and(|seal| seal.is_some_and(|seal| seal.identity == identity))
            }
            _ => false,
        }
    }
}
