//! Answers that a registry does not let be kept: they go to those who wait for them, and what was held before goes.
//!
//! The earlier answer goes from memory and from the store: the registry has said something since, and what it said then
//! must come back neither as fresh, nor after a restart, nor while it cannot be asked. All that stays is when it was
//! asked for, so that what is asked behind answers is not asked behind each of them, and which releases an index
//! withdrew: the document may be forgotten, a block may not. Owns that. Must not know what makes an answer one of these
//! (`keeping`), nor what an index takes from releases that are held (`settle::overruled`).

use std::collections::HashMap;
use std::sync::Arc;

use moka::ops::compute::{CompResult, Op};
use tracing::error;

use super::document::Document;
use super::documents::Documents;
use super::fill::Filled;
use super::place::place;
use crate::clock::Timestamp;
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Registry, Version, VolumeName};

/// About how many bytes there may be of all that stays of answers.
pub(super) const ROOM: u64 = 8 << 20;

/// What stays of an answer that was not kept.
#[derive(Debug, Clone)]
pub(super) struct Remains {
    asked_at: Timestamp,
    /// The releases whose rows give no bytes.
    withdrawn: Arc<HashMap<Version, Status>>,
}

impl Remains {
    fn of(document: &Document) -> Self {
        let mut withdrawn = HashMap::new();
        for (version, rows) in document.content.rows().into_iter().flat_map(|rows| rows.by_version()) {
            if let Some(row) = rows.iter().find(|row| !row.status.state.serves_bytes()) {
                withdrawn.insert(version.clone(), row.status.clone());
            }
        }
        Self { asked_at: document.meta.fetched_at, withdrawn: Arc::new(withdrawn) }
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> u32 {
        let reasons = self.withdrawn.values().map(|status| status.reason.as_ref().map_or(0, String::len));
        let bytes = 256 + reasons.map(|reason| 128 + reason).sum::<usize>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

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
        self.unkept.insert(question, Remains::of(&document));
        if let DocumentKey::Index(name) = key {
            self.overrule(name, &document).await;
        }
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
        let remains = self.unkept.get(&(registry, key.clone()));
        let age = remains.and_then(|remains| self.now().since(remains.asked_at));
        age.is_some_and(|age| age < self.live().policy.index_ttl)
    }

    /// An answer to `key` was kept, and counts in place of those that were not.
    pub(super) fn is_kept_again(&self, key: &DocumentKey, document: &Document) {
        self.unkept.invalidate(&(Arc::new(document.meta.registry()), key.clone()));
    }

    /// What the last index of `registry` said of a release that it withdrew, where that index was not kept.
    pub(super) fn withdrawn(
        &self,
        registry: &Registry,
        name: &VolumeName,
        version: &Version,
    ) -> Option<Status> {
        let question = (Arc::new(registry.clone()), DocumentKey::Index(name.clone()));
        self.unkept.get(&question)?.withdrawn.get(version).cloned()
    }

    /// Forgets the answer of `registry` to `key`, unless memory holds one that was asked for after the question `since`.
    pub(super) async fn forget(&self, registry: &Registry, key: &DocumentKey, since: u64) {
        let kept = self.memory.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if held.value().asked > since => Op::Nop,
            _ => Op::Remove,
        });
        if let CompResult::Unchanged(_) = kept {
            return;
        }
        if let Err(error) = self.store.remove(&place(registry, key)).await {
            error!(%error, key = %key, "cannot forget what an index withdrew");
        }
    }
}
