//! Files that did not come from their registry: each is verified and stored as if the registry had sent it.
//!
//! Owns that, and the words for why one is not taken. Must not know who carried it, nor what permits it to be read.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::expected::ExpectedFile;
use super::ingest::{ArrivingFile, Bounds, IngestError, receive};
use super::stored::StoredFiles;
use crate::consistency::refusals::ArchiveVerdict;
use crate::store::{Committed, Store, StoreError, Uncommitted};
use crate::telemetry::Metrics;
use crate::upstream::CouldNotAsk;

/// Why a carried file is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It is not what it should be, or larger than any.
    #[error("{why}")]
    Refused {
        why: String,
        /// What it is refused for whoever brings it.
        verdict: Option<ArchiveVerdict>,
    },
    /// Its bytes could not be read, or changed.
    #[error("its bytes cannot be read to their end, or changed meanwhile")]
    Unread,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes carried files in.
#[derive(Debug)]
pub(crate) struct CarriedFiles {
    stored: StoredFiles,
    bounds: Bounds,
}

impl CarriedFiles {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, bounds: Bounds) -> Self {
        Self { stored: StoredFiles::new(store, metrics), bounds }
    }

    /// Whether `expected` is stored already.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub(crate) async fn hold(&self, expected: &ExpectedFile) -> Result<bool, StoreError> {
        let seal = self.stored.seal(expected).await?;
        Ok(seal.is_some_and(|seal| expected.compare(&seal).is_ok()))
    }

    /// Verifies `body` as `expected`, and stores it.
    ///
    /// # Errors
    /// [`NotTaken`]; then nothing of it is left.
    pub(crate) async fn take(
        &self,
        expected: &ExpectedFile,
        length: u64,
        body: BoxStream<'static, std::io::Result<Bytes>>,
    ) -> Result<(), NotTaken> {
        let bytes = body.map(|piece| piece.map_err(|_| CouldNotAsk::BrokenBody)).boxed();
        let file = ArrivingFile { length: Some(length), bytes, recipe: 0 };
        let received = receive(&self.stored, file, expected, &self.bounds).await?;
        let (staged, _) = received.into_staged().map_err(|_| NotTaken::Unread)?;
        match self.stored.store.commit(&expected.storage_key(), staged).await {
            Ok(Committed::Ours | Committed::Theirs) => Ok(()),
            Err(Uncommitted { error, .. }) => Err(error.into()),
        }
    }
}

impl From<IngestError> for NotTaken {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Download(_)
            | IngestError::Lost
            | IngestError::Repository(_)
            | IngestError::KeptRepository => Self::Unread,
            IngestError::Store(error) => Self::Store(error),
            IngestError::Archive(archive::ArchiveError::Scratch(error)) => Self::Store(error.into()),
            IngestError::TooLarge { .. }
            | IngestError::Mismatch(_)
            | IngestError::Archive(_)
            | IngestError::OtherTree { .. }
            | IngestError::Tree(_) => {
                Self::Refused { why: error.to_string(), verdict: error.facets().verdict }
            }
        }
    }
}
