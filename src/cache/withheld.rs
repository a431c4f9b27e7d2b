//! Answers that a registry does not let be kept: they go to those who wait for them, and what was held before goes.
//!
//! The earlier answer goes from memory and from the store: the registry has said something since, and what it said then
//! must come back neither as fresh, nor after a restart, nor while it cannot be asked. All that stays is when it was
//! asked for, so that what is asked behind answers is not asked behind each of them. Owns that. Must not know what
//! makes an answer one of these (`keeping`).

use std::sync::Arc;

use moka::ops::compute::{CompResult, Op};
use tracing::error;

use super::document::Document;
use super::documents::Documents;
use super::fill::Filled;
use super::place::place;
use crate::domain::DocumentKey;

/// Answers of which it is known when they were asked for.
pub(super) const MOST: u64 = 10_000;

impl Documents {
    /// Hands `document` on, and forgets what was `held`.
    pub(super) async fn pass_on(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        document: Document,
        status: u16,
    ) -> Filled {
        if held.is_some()
            && let Err(error) = self.store.remove(&place(&document.meta.registry(), key)).await
        {
            error!(%error, key = %key, "cannot forget what may not be kept any longer");
        }
        let question = (Arc::new(document.meta.registry()), key.clone());
        self.unkept.insert(question, document.meta.fetched_at);
        Filled { document: self.remember(key, document), status, stored: false }
    }

    /// What is to be given of `document`, which memory does not hold: itself, unless memory holds what was asked for
    /// later.
    pub(super) fn withhold(&self, key: &DocumentKey, document: Arc<Document>) -> Arc<Document> {
        let kept = self.memory.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if held.value().asked > document.asked => Op::Nop,
            _ => Op::Remove,
        });
        if let CompResult::Unchanged(newer) = kept {
            return newer.into_value();
        }
        if let (true, Some(name)) = (self.note_block(key, &document), key.volume()) {
            self.show(name);
        }
        self.as_shown(key, &document)
    }

    /// `document` as clients see it.
    fn as_shown(&self, key: &DocumentKey, document: &Arc<Document>) -> Arc<Document> {
        let DocumentKey::Index(name) = key else { return self.advertised(key, document) };
        match document.content.showing(&self.lowered(name, &document.content)) {
            Some(content) => Arc::new(Document { content: Arc::new(content), ..Document::clone(document) }),
            None => Arc::clone(document),
        }
    }

    /// Whether an answer to `key` that was not kept was asked for as lately as one that is kept would be fresh.
    pub(super) fn was_just_asked(&self, key: &DocumentKey) -> bool {
        let Some(registry) = self.registry_of(key) else { return false };
        let age = self.unkept.get(&(registry, key.clone())).and_then(|asked_at| self.now().since(asked_at));
        age.is_some_and(|age| age < self.live().policy.index_ttl)
    }
}
