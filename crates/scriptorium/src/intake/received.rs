//! A body that arrived whole and is sealed. It can be read any number of times; each block is compared with its seal.
//!
//! Owns that, and that the staged file is handed out for a commit only when nobody reads it any more. Must not know
//! where the file is kept.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::domain::Sha256;
use crate::store::sealed::{Seal, SealWriter, steps};
use crate::store::{Staged, StoreError};

/// A body that was taken in. Clones share one staged file, which is deleted with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) seal: Arc<Seal>,
    staged: Arc<Staged>,
}

impl Received {
    /// Seals a body that was [taken in](super::take_in()) as the content known by the digest `known_by`.
    pub(crate) async fn new(
        sealing: SealWriter<Staged>,
        known_by: Sha256,
        identity: &str,
    ) -> Result<Self, StoreError> {
        let identity = identity.to_owned();
        let finished = tokio::task::spawn_blocking(move || sealing.finish(known_by, &identity));
        let (staged, seal) = finished.await.map_err(io::Error::from)??;
        Ok(Self::sealed(staged, seal))
    }

    /// A staged file that ends in `seal`.
    pub(crate) fn sealed(staged: Staged, seal: impl Into<Arc<Seal>>) -> Self {
        Self { seal: seal.into(), staged: Arc::new(staged) }
    }

    /// Bytes of content.
    pub(crate) fn length(&self) -> u64 {
        self.seal.length
    }

    /// The digest of the bytes.
    pub(crate) fn sha256(&self) -> Sha256 {
        self.seal.raw
    }

    /// Exactly `range` of the content, in memory.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let received = self.clone();
        let read = tokio::task::spawn_blocking(move || received.seal.read_staged(&received.staged, range));
        read.await.map_err(io::Error::from)?
    }

    /// The content from its start, in pieces of up to 1 MiB. Each call starts a new stream. A stream that gave its last
    /// piece, or failed, no longer keeps the file.
    pub(crate) fn pieces(&self) -> BoxStream<'static, io::Result<Bytes>> {
        let steps = steps(0..self.length()).peekable();
        let rest = (self.length() > 0).then(|| (self.clone(), steps));
        stream::unfold(rest, |rest| async {
            let (received, mut steps) = rest?;
            let step = steps.next()?;
            let piece = received.read(step).await;
            let rest = (piece.is_ok() && steps.peek().is_some()).then_some((received, steps));
            Some((piece.map_err(io::Error::from), rest))
        })
        .boxed()
    }

    /// The staged file, for a commit; `self` if it is still being read.
    pub(crate) fn into_staged(self) -> Result<(Staged, Arc<Seal>), Self> {
        let Self { seal, staged } = self;
        match Arc::try_unwrap(staged) {
            Ok(staged) => Ok((staged, seal)),
            Err(staged) => Err(Self { seal, staged }),
        }
    }
}
