//! The bytes of a stored document or file, read by a thread that may block.
//!
//! Owns that: a document without its envelope, a file block by verified block. Must not know where they go.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use crate::read::envelope::Envelope;
use crate::store::sealed::{self, BLOCK, Seal};
use crate::store::{StorageKey, Store, StoreError};

/// A store, and the runtime that its work runs on.
pub(super) struct BlobSource {
    store: Arc<dyn Store>,
    runtime: Handle,
}

impl BlobSource {
    /// Reads from `store`. Call it on the runtime, and everything else off it.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, runtime: Handle::current() }
    }

    /// Opens what is stored at `key`.
    pub(super) fn open(&self, key: &StorageKey) -> io::Result<StoredBytes<'_>> {
        let gone = || StoreError::Missing { path: key.path() };
        if key.sealed_as().is_some() {
            let seal = self.runtime.block_on(sealed::open(&*self.store, key))?.ok_or_else(gone)?;
            return Ok(StoredBytes { source: self, held: Bytes::new(), rest: Some((seal, key.clone(), 0)) });
        }
        let stored = self.runtime.block_on(self.store.read(key))?.ok_or_else(gone)?;
        let Envelope { body, .. } = Envelope::decode(&stored).map_err(io::Error::other)?;
        Ok(StoredBytes { source: self, held: body, rest: None })
    }
}

/// Reads what is stored.
pub(super) struct StoredBytes<'a> {
    source: &'a BlobSource,
    held: Bytes,
    /// A file, and how much of it was read.
    rest: Option<(Seal, StorageKey, u64)>,
}

impl Read for StoredBytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some((seal, key, at)) = &mut self.rest
            && self.held.is_empty()
            && *at < seal.length
        {
            let end = at.saturating_add(BLOCK).min(seal.length);
            let BlobSource { store, runtime } = self.source;
            self.held = runtime.block_on(seal.read(&**store, key, *at..end))?;
            *at = end;
        }
        let length = self.held.len().min(into.len());
        self.held.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
