//! What would have to go so that no more than the ceiling stays, before anything does.
//!
//! For a store that no process is evicting from, or once below another ceiling. Owns that. Must not remove anything.

use futures_util::TryStreamExt;

use super::{Ceiling, pages};
use crate::store::ledger::Class;
use crate::store::{Batch, Shelf, StorageKey, Store, StoreError};

/// What would go. Bytes are those of whole pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is stored or staged.
    pub before: u64,
    /// What would be left of it.
    pub after: u64,
    /// What is left when all has gone that may, for no plan goes below it.
    pub least: u64,
    /// What was staged by processes that are gone.
    pub abandoned: Vec<Batch>,
    /// Everything else that would go, the first to go first.
    pub values: Vec<(StorageKey, u64)>,
}

impl Ceiling {
    /// What would go of all that is stored so that no more than the ceiling stays: what processes that are gone had
    /// staged, the quarantine where that is asked for, then what is worth least.
    ///
    /// # Errors
    /// When not all that is stored can be listed.
    pub async fn plan(&self, and_quarantine: bool) -> Result<Plan, StoreError> {
        self.count_all().await?;
        let (abandoned, staged): (Vec<_>, Vec<_>) =
            self.staged().await?.into_iter().partition(|batch| batch.abandoned);
        let values: Vec<_> = match and_quarantine {
            true => {
                self.list(Shelf::Quarantine).map_ok(|(key, size)| (key, pages(size))).try_collect().await?
            }
            false => Vec::new(),
        };
        let bytes = |batches: &[Batch]| batches.iter().map(|batch| batch.tally.bytes).sum::<u64>();
        let set_aside: u64 = values.iter().map(|(_, size)| size).sum();
        let account = self.books.account();
        let usage = account.usage();
        let stays = usage.used + bytes(&staged);
        let before = stays + bytes(&abandoned);
        let after = stays.saturating_sub(set_aside);
        let evictable: u64 = [Class::Archives, Class::Documents, Class::Sightings]
            .map(|class| account.ledger.tally(class).bytes)
            .iter()
            .sum();
        let mut plan = Plan { before, after, least: after.saturating_sub(evictable), abandoned, values };
        for (key, size) in account.ledger.order() {
            if plan.after <= usage.max {
                break;
            }
            plan.after = plan.after.saturating_sub(size);
            plan.values.push((key.clone(), size));
        }
        Ok(plan)
    }
}
