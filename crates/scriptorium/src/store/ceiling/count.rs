//! Counting the values that an earlier process stored.
//!
//! Owns that. Must not know what waits for the count.

use std::pin::pin;

use futures_util::{StreamExt, TryStreamExt};
use tracing::{info, warn};

use super::account::Usage;
use super::bounded::BoundedObjects;
use super::uses;
use crate::store::{StoreError, inventory};

/// Counts the values that an earlier process stored, and then lets staged files take space.
pub(super) async fn count(bounded: &BoundedObjects) {
    if let Err(error) = count_all(bounded).await {
        warn!(%error, "not everything that is stored could be counted; storage.max_size may be exceeded");
    }
    bounded.account().counted = true;
    bounded.counted.send_replace(true);
    let Usage { used, max, archives, documents, .. } = bounded.account().usage();
    info!(used, max, archives = archives.values, documents = documents.values, "the store is counted");
    bounded.look();
}

/// Counts as much as can be counted, and returns the first failure.
pub(super) async fn count_all(bounded: &BoundedObjects) -> Result<(), StoreError> {
    let uses = uses::saved(bounded).await;
    let mut counted = Ok(());
    let mut everything = pin!(inventory::everything(&*bounded.objects));
    while let Some(listed) = everything.next().await {
        let restored = listed.map(|(key, bytes)| {
            let uses = uses.get(&key).copied().unwrap_or(1.0);
            bounded.account().ledger.restore(key, bytes, uses);
        });
        counted = counted.and(restored);
    }
    counted.and(count_quarantine(bounded).await)
}

pub(super) async fn count_quarantine(bounded: &BoundedObjects) -> Result<(), StoreError> {
    let listed = inventory::quarantined(&*bounded.objects);
    let sum = listed.try_fold(0, async |sum, (_, bytes)| Ok(sum + bytes)).await?;
    bounded.account().quarantined = sum;
    Ok(())
}
