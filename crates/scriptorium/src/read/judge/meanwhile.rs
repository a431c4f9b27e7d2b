//! Whether an answer still counts after something else was awaited on its strength.
//!
//! An archive may take minutes to come. Meanwhile the registry may have refused its release, changed it, or contradicted
//! itself, and others may have been told so. What is held by then says it, so no registry is asked while nothing changed. Age
//! is no change: the request began while the answer was fresh. Owns that comparison. Must not know what was awaited.

use super::Judge;
use crate::domain::DocumentKey;
use crate::read::document::Document;

impl Judge {
    /// Whether nothing that came since `given` was the answer to `key` speaks against it.
    pub(in crate::read) async fn still_counts(&self, key: &DocumentKey, given: &Document) -> bool {
        let is_open = self.contested(key).is_some() || self.refusal_of(key, given).is_some();
        if is_open || !self.env.counts(key, given) {
            return false;
        }
        match self.shelf.held(key).await {
            Some(held) => {
                let is_doubted = held.standing.is_doubted_after(given.reading.asked);
                let is_same = held.meta.status == given.meta.status;
                is_same && !is_doubted && held.content.body() == given.content.body()
            }
            None => !self.was_overtaken(key, given) && self.withdrawal(key).await.is_none(),
        }
    }

    /// Whether a later answer came than `given`, and was not kept.
    fn was_overtaken(&self, key: &DocumentKey, given: &Document) -> bool {
        let registry = self.env.registry_of(key);
        let asked_at = registry.and_then(|registry| self.shelf.unkept.asked_at(&registry, key));
        asked_at.is_some_and(|at| at > given.meta.fetched_at)
    }
}
