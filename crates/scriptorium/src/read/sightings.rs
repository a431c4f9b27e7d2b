//! Which registry's list showed which advisory.
//!
//! Owns how many of these are remembered. Must not know in which order registries are asked (`several::advisory`).

use std::sync::Arc;

use ahash::RandomState;

use super::document::Document;
use super::environment::LiveSettings;
use crate::domain::{AdvisoryId, DocumentKey, Registry, Resource};

/// Most advisories of which it is known whose list showed them.
const MOST: u64 = 16 * 1024;

pub(super) struct Sightings(moka::sync::Cache<(Arc<Registry>, AdvisoryId), (), RandomState>);

impl Default for Sightings {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(MOST).build_with_hasher(RandomState::new()))
    }
}

impl Sightings {
    /// Remembers which advisories `document` shows, where it is a list and there are several registries to choose from.
    pub(super) fn note(&self, live: &LiveSettings, key: &DocumentKey, document: &Document) {
        let Some(own) = live.upstreams.of(key).filter(|_| live.upstreams.are_several()) else { return };
        if key.resource() != Resource::Advisories {
            return;
        }
        let Some(list) = document.content.listed() else { return };
        for item in list.items.iter().take(MOST as usize) {
            let counts = item.subject.as_ref().is_some_and(|subject| {
                let routed = subject.as_ref().map(|name| live.upstreams.for_volume(name));
                routed.is_none_or(|to| to.is_some_and(|to| Arc::ptr_eq(to, own)))
            });
            if let Some(id) = item.id.as_ref().filter(|_| counts) {
                self.0.insert((Arc::clone(own.registry()), id.clone()), ());
            }
        }
    }

    /// Whether a list of `registry` showed the advisory.
    pub(super) fn has(&self, registry: &Arc<Registry>, id: &AdvisoryId) -> bool {
        self.0.contains_key(&(Arc::clone(registry), id.clone()))
    }
}
