//! The plan of an eviction: which values have to be removed so that no more than the ceiling stays.
//!
//! For a store from which no process evicts, or before the ceiling is lowered. Owns that. Must not remove anything.

use futures_util::TryStreamExt;

use super::bounded::BoundedObjects;
use crate::store::{StagedBatch, StorageKey, StoreError, inventory};

/// The values that would be removed. Bytes are those of whole disk pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EvictionPlan {
    /// Everything that is stored or staged.
    pub(crate) before: u64,
    /// What would stay.
    pub(crate) after: u64,
    /// What stays when everything is removed that may be: no plan goes below it.
    pub(crate) least: u64,
    /// The staged files of processes that are gone.
    pub(crate) abandoned: Vec<StagedBatch>,
    /// Everything else that would be removed, in order.
    pub(crate) values: Vec<(StorageKey, u64)>,
}

/// Makes the plan for `bounded`, all of which is counted.
pub(super) async fn plan(bounded: &BoundedObjects, and_quarantine: bool) -> Result<EvictionPlan, StoreError> {
    let staged = bounded.objects.staged().await?;
    let (abandoned, staged): (Vec<_>, Vec<_>) = staged.into_iter().partition(|batch| batch.abandoned);
    let values: Vec<_> = match and_quarantine {
        true => inventory::quarantined(&*bounded.objects).try_collect().await?,
        false => Vec::new(),
    };
    let bytes = |batches: &[StagedBatch]| batches.iter().map(|batch| batch.tally.bytes).sum::<u64>();
    let set_aside: u64 = values.iter().map(|(_, bytes)| bytes).sum();
    let account = bounded.account();
    let usage = account.usage();
    let stays = usage.used + bytes(&staged);
    let after = stays.saturating_sub(set_aside);
    let least = after.saturating_sub(account.ledger.evictable());
    let mut plan = EvictionPlan { before: stays + bytes(&abandoned), after, least, abandoned, values };
    for (key, size) in account.ledger.order() {
        if plan.after <= usage.max {
            break;
        }
        plan.after = plan.after.saturating_sub(size);
        plan.values.push((key.clone(), size));
    }
    Ok(plan)
}
