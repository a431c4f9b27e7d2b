//! What the last bundle of each trusted key selected is kept from eviction, like what a mirror selected.
//!
//! Owns the names of these records, and which of them count: those of the keys that are trusted now. Must not know how a
//! record comes about (`import`).

use std::sync::Arc;

use bundle::KeyId;
use tracing::warn;

use crate::mirror::record::{MirrorRecordError, load};
use crate::store::{ProxyStore, StorageKeys, Store};

/// For whom the ledger keeps it.
const OWNER: &str = "imported bundles";

/// The name of the record of a key; no mirror can have it.
pub(super) fn record_name(key: KeyId) -> String {
    format!("bundles of {key}")
}

/// The stored values that the last bundles of `keys` selected. A record that cannot be used keeps nothing; it is told to
/// `damaged`.
pub(crate) async fn imported_keys(
    store: &dyn Store,
    keys: &[KeyId],
    mut damaged: impl FnMut(MirrorRecordError),
) -> StorageKeys {
    let mut kept = StorageKeys::default();
    for key in keys {
        match load(store, &record_name(*key)).await {
            Ok(record) => record.iter().for_each(|record| kept.add(&record.keys())),
            Err(error) => damaged(error),
        }
    }
    kept
}

/// What a running proxy keeps of bundles.
#[derive(Debug)]
pub(crate) struct KeptImports {
    store: Arc<ProxyStore>,
    trusted: Vec<KeyId>,
}

impl KeptImports {
    /// Nothing is kept before it is [read](Self::read).
    pub(crate) fn new(store: Arc<ProxyStore>, trusted: Vec<KeyId>) -> Self {
        Self { store, trusted }
    }

    /// Keeps what the last bundles selected from being evicted: when the process starts, and after an import.
    pub(crate) async fn read(&self) {
        let damaged = |error| warn!(%error, "what a bundle selected is not known, and may be evicted");
        let keys = imported_keys(&*self.store, &self.trusted, damaged).await;
        self.store.keep_from_eviction(OWNER, keys);
    }
}
