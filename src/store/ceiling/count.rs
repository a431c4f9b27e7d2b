//! Counting what an earlier process left.
//!
//! Owns where that lies. Must not know what waits for it.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use tracing::{info, warn};

use super::Ceiling;
use super::account::Usage;
use crate::store::staged::pages;
use crate::store::{Shelf, StorageKey, StoreError};

/// Everything that counts besides the quarantine and what has a fixed place.
pub(in crate::store) const SHELVES: [Shelf; 8] = [
    Shelf::Documents,
    Shelf::Archives,
    Shelf::TrustArtifacts,
    Shelf::Pins,
    Shelf::Histories,
    Shelf::Divergences,
    Shelf::Uploads,
    Shelf::Sessions,
];

/// What lies in a place of its own.
pub(in crate::store) const FIXED: [StorageKey; 3] =
    [StorageKey::Invalidations, StorageKey::Refusals, StorageKey::Uses];

impl Ceiling {
    /// Counts what an earlier process left.
    pub async fn count(&self) {
        if let Err(error) = self.count_all().await {
            warn!(%error, "not all that is stored could be counted; storage.max_size may be exceeded");
        }
        self.books.account().counted = true;
        self.books.counted.send_replace(true);
        let Usage { used, max, archives, documents, .. } = self.books.account().usage();
        info!(used, max, archives = archives.values, documents = documents.values, "the store is counted");
        self.books.look();
    }

    /// Counts as much as can be counted; why that is not all.
    pub(super) async fn count_all(&self) -> Result<(), StoreError> {
        let uses = self.saved_uses().await;
        let mut counted = Ok(());
        for shelf in SHELVES {
            counted = counted.and(self.count_shelf(shelf, &uses).await);
        }
        for key in FIXED {
            counted = counted.and(self.count_fixed(key).await);
        }
        counted.and(self.count_quarantine().await)
    }

    async fn count_fixed(&self, key: StorageKey) -> Result<(), StoreError> {
        if let Some((_, size)) = self.books.store.read_tail(&key, 1).await? {
            self.books.account().ledger.restore(key, pages(size), 1.0);
        }
        Ok(())
    }

    async fn count_shelf(&self, shelf: Shelf, uses: &HashMap<StorageKey, f32>) -> Result<(), StoreError> {
        let listed = self.books.store.list(shelf);
        let restore = async |(key, size): (StorageKey, u64)| {
            let uses = uses.get(&key).copied().unwrap_or(1.0);
            self.books.account().ledger.restore(key, pages(size), uses);
            Ok(())
        };
        listed.try_for_each(restore).await
    }

    pub(super) async fn count_quarantine(&self) -> Result<(), StoreError> {
        let listed = self.books.store.list(Shelf::Quarantine);
        let sum = listed.try_fold(0, async |sum, (_, size)| Ok(sum + pages(size))).await?;
        self.books.account().quarantine(sum);
        Ok(())
    }
}
