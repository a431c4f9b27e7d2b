//! What was made of several registries' answers, as long as they are the same answers.
//!
//! A composition counts for the very contents it was made of and the routing by which their items were picked. Beside
//! what is held in memory, so it is bounded by a share of that. Owns how many are kept. Must not know how one is made.

use std::sync::{Arc, Weak};

use ahash::RandomState;

use crate::cache::document::Content;
use crate::cache::documents::Live;
use crate::domain::DocumentKey;

/// Of the memory for documents, one part in so many comes on top for what is made of them.
const SHARE: u64 = 16;

/// The compositions that are kept.
pub(super) struct Compositions(moka::sync::Cache<DocumentKey, Arc<Composition>, RandomState>);

struct Composition {
    live: Weak<Live>,
    of: Vec<Weak<Content>>,
    content: Arc<Content>,
}

impl Compositions {
    /// Compositions beside documents in `memory` bytes.
    pub(super) fn beside(memory: u64) -> Self {
        let weight = |_: &DocumentKey, made: &Arc<Composition>| {
            u32::try_from(made.content.weight().saturating_add(1024)).unwrap_or(u32::MAX)
        };
        let kept = moka::sync::Cache::builder().max_capacity(memory / SHARE).weigher(weight);
        Self(kept.build_with_hasher(RandomState::new()))
    }

    /// What was made of just these, in this order, under `live`.
    pub(super) fn of<'a>(
        &self,
        key: &DocumentKey,
        live: &Arc<Live>,
        parts: impl Iterator<Item = &'a Arc<Content>>,
    ) -> Option<Arc<Content>> {
        let made = self.0.get(key)?;
        // What a weak pointer points to is not made anew at the same place while that pointer is there.
        let parts = parts.map(Arc::as_ptr);
        let same =
            std::ptr::eq(made.live.as_ptr(), Arc::as_ptr(live)) && parts.eq(made.of.iter().map(Weak::as_ptr));
        same.then(|| Arc::clone(&made.content))
    }

    /// What was made last, of whatever.
    pub(super) fn last(&self, key: &DocumentKey) -> Option<Arc<Content>> {
        self.0.get(key).map(|made| Arc::clone(&made.content))
    }

    /// Keeps what was made of these.
    pub(super) fn keep<'a>(
        &self,
        key: &DocumentKey,
        live: &Arc<Live>,
        parts: impl Iterator<Item = &'a Arc<Content>>,
        content: &Arc<Content>,
    ) {
        let of = parts.map(Arc::downgrade).collect();
        let made = Composition { live: Arc::downgrade(live), of, content: Arc::clone(content) };
        self.0.insert(key.clone(), Arc::new(made));
    }
}
