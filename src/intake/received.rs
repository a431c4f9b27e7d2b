//! What came whole and is sealed: read again as often as needed, each block held against its seal first.
//!
//! Owns that, and that the file goes to whoever keeps it only when nobody reads it any more. Must not know where it
//! is kept.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::domain::Sha256;
use crate::store::sealed::{Seal, SealWriter, steps};
use crate::store::{Staged, StoreError};

/// A body that was taken in. Clones read the same file, which is gone with the last of them.
#[derive(Debug, Clone)]
pub struct Received {
    /// What was sealed.
    pub seal: Arc<Seal>,
    staged: Arc<Staged>,
}

impl Received {
    /// Finishes what was [taken in](super::take_in()) as the content `known_by` a digest, which says it is `identity`.
    ///
    /// # Errors
    /// [`StoreError`] when the seal cannot be written.
    pub async fn new(
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
    #[must_use]
    pub fn sealed(staged: Staged, seal: impl Into<Arc<Seal>>) -> Self {
        Self { seal: seal.into(), staged: Arc::new(staged) }
    }

    /// Bytes of content.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.seal.length
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        self.seal.raw
    }

    /// Exactly `range` of the content; all of it is held in memory.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or is not what was sealed.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let received = self.clone();
        let read = tokio::task::spawn_blocking(move || received.seal.read_staged(&received.staged, range));
        read.await.map_err(io::Error::from)?
    }

    /// The content from its start, in pieces of up to 1 MiB. May be called again, to send it once more. A stream
    /// that gave its last piece, or failed, holds the file no longer.
    #[must_use]
    pub fn pieces(&self) -> BoxStream<'static, io::Result<Bytes>> {
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

    /// The file, for a commit.
    ///
    /// # Errors
    /// The same again, when somebody still reads it.
    pub fn into_staged(self) -> Result<(Staged, Arc<Seal>), Self> {
        let Self { seal, staged } = self;
        match Arc::try_unwrap(staged) {
            Ok(staged) => Ok((staged, seal)),
            Err(staged) => Err(Self { seal, staged }),
        }
    }
}
