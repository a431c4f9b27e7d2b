//! A cache of answers that were composed of several registries' answers.
//!
//! A composition is valid only for exactly the contents it was made of and the configuration in force then. The cache is
//! bounded by a share of the memory for documents. Owns that bound. Must not know how a composition is made.

use std::sync::{Arc, Weak};

use ahash::RandomState;

use super::content::DocumentContent;
use super::environment::LiveSettings;
use crate::domain::DocumentKey;

/// The cache may take this fraction (1/16) of the memory for documents, on top of it.
const SHARE: u64 = 16;

pub(super) struct Compositions(moka::sync::Cache<DocumentKey, Arc<Composition>, RandomState>);

struct Composition {
    live: Weak<LiveSettings>,
    of: Vec<Weak<DocumentContent>>,
    content: Arc<DocumentContent>,
}

impl Compositions {
    pub(super) fn beside(memory: u64) -> Self {
        let weight = |_: &DocumentKey, made: &Arc<Composition>| {
            u32::try_from(made.content.weight().saturating_add(1024)).unwrap_or(u32::MAX)
        };
        let kept = moka::sync::Cache::builder().max_capacity(memory / SHARE).weigher(weight);
        Self(kept.build_with_hasher(RandomState::new()))
    }

    /// The composition of exactly these contents, in this order, under `live`.
    pub(super) fn of<'a>(
        &self,
        key: &DocumentKey,
        live: &Arc<LiveSettings>,
        parts: impl Iterator<Item = &'a Arc<DocumentContent>>,
    ) -> Option<Arc<DocumentContent>> {
        let made = self.0.get(key)?;
        // No new value gets the address of an old one while a weak pointer to the old one exists.
        let parts = parts.map(Arc::as_ptr);
        let same =
            std::ptr::eq(made.live.as_ptr(), Arc::as_ptr(live)) && parts.eq(made.of.iter().map(Weak::as_ptr));
        same.then(|| Arc::clone(&made.content))
    }

    /// The last composition, whatever it was made of.
    pub(super) fn last(&self, key: &DocumentKey) -> Option<Arc<DocumentContent>> {
        self.0.get(key).map(|made| Arc::clone(&made.content))
    }

    pub(super) fn keep<'a>(
        &self,
        key: &DocumentKey,
        live: &Arc<LiveSettings>,
        parts: impl Iterator<Item = &'a Arc<DocumentContent>>,
        content: &Arc<DocumentContent>,
    ) {
        let of = parts.map(Arc::downgrade).collect();
        let made = Composition { live: Arc::downgrade(live), of, content: Arc::clone(content) };
        self.0.insert(key.clone(), Arc::new(made));
    }
}
