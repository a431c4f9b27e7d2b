//! Finding out what can be installed of a volume while no registry is asked.
//!
//! A release is in stock when its exact metadata is held and offers it, and its archive is held as that release's; one that only
//! clients fetch, when its metadata is. Taken from the store, a bounded number of
//! looks at once, so that what is evicted or brought in meanwhile shows. Owns that. Must not know what a row shows of it.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::Judge;
use crate::domain::{DocumentKey, Purl, Version, VolumeName};
use crate::read::content::DocumentContent;
use crate::read::document::Document;
use crate::store::{StorageKey, sealed};

/// Releases of one volume that are looked for at once.
const AT_ONCE: usize = 16;

impl Judge {
    /// The index that was `given` of a volume, as it is to be shown while no registry is asked.
    pub(in crate::read) async fn stocked(
        self: &Arc<Self>,
        name: &VolumeName,
        given: Arc<Document>,
    ) -> Arc<Document> {
        if !self.shelf.stocks.is_known(name, self.env.now()) {
            let versions = self.take_stock(name, &given.content).await;
            self.shelf.stocks.note(name, versions, self.env.now());
        }
        let (shelf, name, length) = (Arc::clone(&self.shelf), name.clone(), given.content.body().len());
        let shown = self.env.long_work.patiently(length, move || shelf.show(&name)).await.flatten();
        shown.unwrap_or(given)
    }

    async fn take_stock(&self, name: &VolumeName, index: &DocumentContent) -> HashSet<Version> {
        let Some(rows) = index.rows() else { return HashSet::new() };
        let offered =
            rows.by_version().filter(|(_, rows)| rows.iter().any(|row| row.status.state.serves_bytes()));
        let offered: Vec<_> = offered.map(|(version, _)| version.clone()).collect();
        let look =
            |version: Version| async move { self.is_in_stock(name, &version).await.then_some(version) };
        stream::iter(offered)
            .map(look)
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn is_in_stock(&self, name: &VolumeName, version: &Version) -> bool {
        let key = DocumentKey::Release(name.clone(), version.clone());
        let Some(document) = self.shelf.held(&key).await else { return false };
        let Some(release) = document.content.release().filter(|release| release.serves_bytes()) else {
            return false;
        };
        let (Some(integrity), Some(dist)) = (release.integrity, &release.dist) else { return false };
        if !self.env.brings(&key, dist) {
            return true;
        }
        let seal = sealed::open(&*self.shelf.store, &StorageKey::Archive(integrity)).await;
        let identity = Purl::new(name, version).to_string();
        seal.is_ok_and(|seal| seal.is_some_and(|seal| seal.identity == identity))
    }
}
