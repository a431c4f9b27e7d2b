//! The bytes of a stored document or file, read by a thread that may block.
//!
//! Owns that: a document without its envelope, a file block by verified block, read ahead of whoever hashes and writes it. Must not
//! know where they go.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::read::envelope::Envelope;
use crate::store::sealed::{self, Seal, steps};
use crate::store::{StorageKey, Store, StoreError};

/// Pieces of a file, of up to 1 MiB, that are read ahead.
const AHEAD: usize = 2;

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
    pub(super) fn open(&self, key: &StorageKey) -> io::Result<StoredBytes> {
        let gone = || StoreError::Missing { path: key.path() };
        if key.sealed_as().is_some() {
            let seal = self.runtime.block_on(sealed::open(&*self.store, key))?.ok_or_else(gone)?;
            let (sender, rest) = mpsc::channel(AHEAD);
            self.runtime.spawn(read_ahead(Arc::clone(&self.store), seal, key.clone(), sender));
            return Ok(StoredBytes { held: Bytes::new(), rest: Some(rest) });
        }
        let stored = self.runtime.block_on(self.store.read(key))?.ok_or_else(gone)?;
        let Envelope { body, .. } = Envelope::decode(&stored).map_err(io::Error::other)?;
        Ok(StoredBytes { held: body, rest: None })
    }
}

/// Reads a file from its start until it ends, fails, or nobody takes the pieces.
async fn read_ahead(
    store: Arc<dyn Store>,
    seal: Seal,
    key: StorageKey,
    pieces: mpsc::Sender<Result<Bytes, StoreError>>,
) {
    for step in steps(0..seal.length) {
        let piece = seal.read(&*store, &key, step).await;
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

/// Reads what is stored.
pub(super) struct StoredBytes {
    held: Bytes,
    /// The pieces of a file that come behind. After a failure there are none, and the digest shows that some are missing.
    rest: Option<mpsc::Receiver<Result<Bytes, StoreError>>>,
}

impl Read for StoredBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty()
            && let Some(piece) = self.rest.as_mut().and_then(mpsc::Receiver::blocking_recv)
        {
            self.held = piece?;
        }
        let length = self.held.len().min(into.len());
        self.held.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
