//! The facts that are remembered of answers that a registry does not allow to be stored.
//!
//! Such an answer goes to the clients that wait for it, and what was held before goes too (`Shelf::pass_on`). All that
//! stays is when it was asked for, so that nothing is asked behind each of them, and which releases an index withdrew:
//! the document may be forgotten, a block may not. Owns that. Must not know which answers these are (`keeping`), nor what
//! an index takes from releases that are held (`judge::overruled`).

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::document::Document;
use super::environment::RoutedKey;
use crate::clock::Timestamp;
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Registry, Version, VolumeName};

/// About how many bytes there may be of all that stays of answers.
const MOST: u64 = 8 << 20;

/// The facts of an answer that was not stored.
#[derive(Debug, Clone)]
struct Remains {
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
    fn weight(&self) -> u32 {
        let reasons = self.withdrawn.values().map(|status| status.reason.as_ref().map_or(0, String::len));
        let bytes = 256 + reasons.map(|reason| 128 + reason).sum::<usize>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// The facts of all such answers.
pub(super) struct Unkept(moka::sync::Cache<RoutedKey, Remains, RandomState>);

impl Default for Unkept {
    fn default() -> Self {
        let remains = moka::sync::Cache::builder().max_capacity(MOST);
        let remains = remains.weigher(|_, remains: &Remains| remains.weight());
        Self(remains.build_with_hasher(RandomState::new()))
    }
}

impl Unkept {
    pub(super) fn note(&self, key: &DocumentKey, document: &Document) {
        self.0.insert((Arc::new(document.meta.registry()), key.clone()), Remains::of(document));
    }

    /// An answer was kept, and counts in place of those that were not.
    pub(super) fn forget(&self, key: &DocumentKey, document: &Document) {
        self.0.invalidate(&(Arc::new(document.meta.registry()), key.clone()));
    }

    /// When an answer of `registry` to `key` was last asked for and not kept.
    pub(super) fn asked_at(&self, registry: &Arc<Registry>, key: &DocumentKey) -> Option<Timestamp> {
        self.0.get(&(Arc::clone(registry), key.clone())).map(|remains| remains.asked_at)
    }

    /// What the last index of `registry` said of a release that it withdrew, where that index was not kept.
    pub(super) fn withdrawn(
        &self,
        registry: &Registry,
        name: &VolumeName,
        version: &Version,
    ) -> Option<Status> {
        let question = (Arc::new(registry.clone()), DocumentKey::Index(name.clone()));
        self.0.get(&question)?.withdrawn.get(version).cloned()
    }
}
