//! A file that may be sent, and where its bytes are while it is.
//!
//! Owns reading it, so that a byte leaves only in a block that is as it was sealed. Must not know what permits it,
//! nor what is done about damage (`heal`).

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::ingest::Brought;
use super::wanted::Wanted;
use crate::domain::{DocumentKey, Registry};
use crate::intake::Received;
use crate::store::sealed::Seal;
use crate::store::{Hold, StorageKey, Store, StoreError};

/// Where a file's content comes from: what to ask for, of whom.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) fetch: Fetch,
    /// Absolute, or relative to `from`.
    pub(super) locator: String,
    /// The document that names it.
    pub(super) from: DocumentKey,
}

/// One fetch: a registry's failure to deliver a content is not another registry's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fetch {
    pub(super) registry: Registry,
    pub(super) wanted: Wanted,
}

/// A file whose bytes prove themselves as they are read. It is not evicted before this is dropped.
#[derive(Debug)]
pub struct SealedFile {
    /// What was sealed.
    pub seal: Arc<Seal>,
    pub(super) origin: Arc<Origin>,
    /// The bytes, where the store could not keep them.
    loose: Mutex<Option<Received>>,
    _hold: Hold,
}

impl SealedFile {
    pub(super) fn new(brought: Brought, origin: Arc<Origin>, hold: Hold) -> Self {
        Self { seal: brought.seal, origin, loose: Mutex::new(brought.loose), _hold: hold }
    }

    /// Reads on from what was `brought`, if that is the same content byte for byte.
    pub(super) fn go_on_with(&self, brought: &Brought) -> bool {
        let same = brought.seal.raw == self.seal.raw;
        if same {
            *self.loose.lock().unwrap_or_else(PoisonError::into_inner) = brought.loose.clone();
        }
        same
    }

    pub(super) fn place(&self) -> StorageKey {
        self.origin.fetch.wanted.place()
    }

    /// Exactly `range` of the content, from wherever it lies.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or is not what was sealed.
    pub(super) async fn read(&self, store: &dyn Store, range: Range<u64>) -> Result<Bytes, StoreError> {
        let loose = self.loose.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match loose {
            None => self.seal.read(store, &self.place(), range).await,
            Some(received) => received.read(range).await,
        }
    }
}
