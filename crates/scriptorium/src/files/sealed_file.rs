//! A sealed file and where its bytes are.
//!
//! Owns that a byte leaves only in a block that is as it was sealed. Must not know what permits the file, nor how
//! damage is mended.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::expected::FileOrigin;
use crate::intake::Received;
use crate::read::ReadFailure;
use crate::store::sealed::Seal;
use crate::store::{Hold, StorageKey, Store, StoreError};

/// A file that was verified, and where its bytes are now.
#[derive(Debug, Clone)]
pub(super) struct BroughtFile {
    pub(super) seal: Arc<Seal>,
    /// The bytes, where the store could not keep them.
    pub(super) unstored: Option<Received>,
}

/// The outcome of a flight, shared by all requests that wait for it.
pub(super) type Fill = Result<BroughtFile, ReadFailure>;

impl BroughtFile {
    pub(super) fn stored(seal: Arc<Seal>) -> Self {
        Self { seal, unstored: None }
    }
}

/// A file whose bytes prove themselves as they are read. It is not evicted before this is dropped.
#[derive(Debug)]
pub(crate) struct SealedFile {
    pub(crate) seal: Arc<Seal>,
    pub(super) origin: Arc<FileOrigin>,
    /// The bytes, where the store could not keep them.
    unstored: Mutex<Option<Received>>,
    _hold: Hold,
}

impl SealedFile {
    pub(super) fn new(brought: BroughtFile, origin: Arc<FileOrigin>, hold: Hold) -> Self {
        Self { seal: brought.seal, origin, unstored: Mutex::new(brought.unstored), _hold: hold }
    }

    /// Reads on from what was `brought`, if that is the same content byte for byte.
    pub(super) fn continue_from(&self, brought: &BroughtFile) -> bool {
        let same = brought.seal.raw == self.seal.raw;
        if same {
            *self.unstored.lock() = brought.unstored.clone();
        }
        same
    }

    pub(super) fn storage_key(&self) -> StorageKey {
        self.origin.fetch.expected.storage_key()
    }

    /// Exactly `range` of the content, from wherever it lies.
    pub(super) async fn read(&self, store: &dyn Store, range: Range<u64>) -> Result<Bytes, StoreError> {
        let unstored = self.unstored.lock().clone();
        match unstored {
            None => self.seal.read(store, &self.storage_key(), range).await,
            Some(received) => received.read(range).await,
        }
    }
}
