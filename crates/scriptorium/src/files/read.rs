//! The way of a healthy file, from the document that permits it to its last byte.
//!
//! 1. [`SealedFiles::open`]: the gate permits the file (`gate`), and its seal is found in memory or in the store; a file
//!    that is not stored is brought in (`bring`).
//!    Where a rule of the operator's policy waits for the manifest in it, the release is judged once more (`manifest`). A file
//!    that was awaited, here or while it is mended, is sent only if what is known by then permits it.
//! 2. [`SealedFiles::send`]: its bytes are read piece by piece, a few ahead of the client. Each block is compared with
//!    the seal as it is read, and readers of the same piece share one read (`shared_reads`).
//!
//! A block that is broken is mended first (`mend`). Owns that way, and how much is read at a time. Must not know HTTP.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tracing::warn;

use super::bring::FileFetcher;
use super::expected::FileOrigin;
use super::gate::{Media, Permit, address, permit};
use super::ingest::Bounds;
use super::mend::mend;
use super::sealed_file::{BroughtFile, SealedFile};
use super::shared_reads::SharedReads;
use super::stored::StoredFiles;
use crate::domain::FileKey;
use crate::read::decision::archive::bring;
use crate::read::decision::{Reach, RefusalReason};
use crate::read::{CachedAnswer, Documents, Outcome, ReadFailure};
use crate::repositories::{GitBounds, Repositories};
use crate::store::sealed;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::FetchContext;

/// Pieces of a file that are read ahead of the client.
const READ_AHEAD: usize = 2;
/// Bytes of files that are being sent, counted once however many clients share them, above which pieces are short.
const CROWDED: u64 = 32 << 20;
/// The length of a short piece.
const SHORT_PIECE: u64 = 32 << 10;

/// A file that may be sent.
#[derive(Debug, Clone)]
pub(crate) struct PermittedFile {
    pub(crate) file: Arc<SealedFile>,
    pub(crate) media: Media,
    /// The document that permits it, which says how old the permission is.
    pub(crate) gate: CachedAnswer,
    pub(crate) outcome: Outcome,
}

/// The bytes of a file as they are sent. The first piece was read and verified.
pub(crate) enum FileBytes {
    Whole(Bytes),
    Pieces(BoxStream<'static, io::Result<Bytes>>),
}

/// The archives and trust artifacts of every upstream.
#[derive(Debug)]
pub(crate) struct SealedFiles {
    pub(super) documents: Arc<Documents>,
    pub(super) stored: Arc<StoredFiles>,
    pub(super) fetcher: Arc<FileFetcher>,
    reads: SharedReads<Arc<StoreError>>,
}

impl SealedFiles {
    /// Files kept in `store`, permitted by `documents`.
    pub(crate) fn new(
        documents: Arc<Documents>,
        store: Arc<dyn Store>,
        (bounds, repositories): (Bounds, Repositories),
        metrics: Arc<Metrics>,
    ) -> Self {
        let (stored, source) = (Arc::new(StoredFiles::new(store, metrics)), Arc::clone(&documents));
        let fetcher = Arc::new(FileFetcher::new(source, Arc::clone(&stored), repositories, bounds));
        Self { documents, stored, fetcher, reads: SharedReads::default() }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        **self.fetcher.bounds.load()
    }

    /// Bounds what begins from now on.
    pub(crate) fn reload(&self, bounds: Bounds, of_git: GitBounds) {
        self.fetcher.set_bounds(bounds);
        self.fetcher.repositories.reload(of_git);
    }

    /// The file `key`, fetched where it is not stored.
    pub(crate) async fn open(
        self: &Arc<Self>,
        key: &FileKey,
        context: FetchContext<'_>,
    ) -> Result<PermittedFile, ReadFailure> {
        let from = key.gate();
        let gate = self.documents.get(&from, context).await?;
        let Permit { origin, media } = permit(key, from, &gate)?;
        let origin = Arc::new(origin);
        let expected = &origin.fetch.expected;
        // Held before it is looked up, so that it is not evicted in between.
        let hold = self.stored.hold(expected);
        let brings = bring(Reach::of(self.fetcher.is_offline(), context.held_only));
        let (brought, outcome) = match self.stored.seal(expected).await {
            Ok(Some(seal)) => (BroughtFile::stored(seal), hit(&gate)),
            Ok(None) | Err(_) if brings.is_ok() => self.fetcher.fetch(&origin, context).await?,
            Err(error) => return Err(error.into()),
            Ok(None) if brings == Err(RefusalReason::Offline) => return Err(ReadFailure::Offline),
            Ok(None) => return Err(ReadFailure::HeldOnly),
        };
        if let Err(mismatch) = expected.compare(&brought.seal) {
            warn!(request_id = context.id, %mismatch, "a stored file is not what its document claims");
            return Err(mismatch.into());
        }
        let file = Arc::new(SealedFile::new(brought, origin, hold));
        let gate = Box::pin(self.judged_by_manifest(&file.origin.from, &file, gate, context)).await?;
        let permitted = PermittedFile { file, media, gate, outcome };
        match outcome {
            Outcome::Forwarded { .. } => Box::pin(self.permitted_still(permitted, context)).await,
            _ => Ok(permitted),
        }
    }

    /// A file that was awaited, if what is known by now permits it. Its gate may have been replaced meanwhile.
    async fn permitted_still(
        self: &Arc<Self>,
        permitted: PermittedFile,
        context: FetchContext<'_>,
    ) -> Result<PermittedFile, ReadFailure> {
        let PermittedFile { file, gate, .. } = &permitted;
        let FileOrigin { fetch, from, .. } = &*file.origin;
        let gate = self.documents.by_now(from, gate.clone(), context).await?;
        address(&fetch.expected, &gate)?;
        let gate = self.judged_by_manifest(from, file, gate, context).await?;
        Ok(PermittedFile { gate, ..permitted })
    }

    /// The bytes of `range`, which is not empty, for one client. The first piece is read at once, so that a file that
    /// cannot be read fails before anything is sent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        permitted: &PermittedFile,
        range: Range<u64>,
        context: FetchContext<'_>,
    ) -> Result<FileBytes, ReadFailure> {
        let file = &permitted.file;
        let mut pieces = self.pieces(range).peekable();
        let Some(first) = pieces.next() else { return Ok(FileBytes::Whole(Bytes::new())) };
        let first = match self.read_shared(file, first.clone()).await {
            Ok(bytes) => bytes,
            Err(error) => {
                let bytes = self.read_mended(file, first, error, context).await?;
                Box::pin(self.permitted_still(permitted.clone(), context)).await?;
                bytes
            }
        };
        if pieces.peek().is_none() {
            return Ok(FileBytes::Whole(first));
        }
        let reader = Arc::new((Arc::clone(self), Arc::clone(file), context.owned()));
        let rest = stream::iter(pieces).map(move |piece| {
            let reader = Arc::clone(&reader);
            async move {
                let (files, file, context) = &*reader;
                files.read(file, piece, context.borrowed()).await.map_err(io::Error::other)
            }
        });
        Ok(FileBytes::Pieces(stream::iter([Ok(first)]).chain(rest.buffered(READ_AHEAD)).boxed()))
    }

    /// Reads all of a file for nobody, so that what is damaged is mended.
    pub(crate) async fn read_through(
        &self,
        file: &Arc<SealedFile>,
        context: FetchContext<'_>,
    ) -> Result<(), ReadFailure> {
        for piece in sealed::steps(0..file.seal.length) {
            self.read(file, piece, context).await?;
        }
        Ok(())
    }

    /// Cuts `range` into the pieces that are read at a time. They get short while many bytes are being sent, though a
    /// whole block is read and verified for each: slow clients must not hold much memory.
    fn pieces(self: &Arc<Self>, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send + use<> {
        let (files, mut at) = (Arc::clone(self), range.start);
        std::iter::from_fn(move || {
            let mut piece = sealed::steps(at..range.end).next()?;
            if files.reads.bytes() >= CROWDED {
                piece.end = piece.end.min(piece.start + SHORT_PIECE);
            }
            at = piece.end;
            Some(piece)
        })
    }

    /// Bytes of a file, verified as they are read. If a block is broken, the file is mended and read again.
    pub(super) async fn read(
        &self,
        file: &Arc<SealedFile>,
        range: Range<u64>,
        context: FetchContext<'_>,
    ) -> Result<Bytes, ReadFailure> {
        match self.read_shared(file, range.clone()).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => self.read_mended(file, range, error, context).await,
        }
    }

    /// The same after `error`.
    async fn read_mended(
        &self,
        file: &Arc<SealedFile>,
        range: Range<u64>,
        error: Arc<StoreError>,
        context: FetchContext<'_>,
    ) -> Result<Bytes, ReadFailure> {
        mend(&self.fetcher, file, error, context).await?;
        self.read_shared(file, range).await.map_err(ReadFailure::Storage)
    }

    /// Reads `range` once for all requests that want it now.
    async fn read_shared(&self, file: &Arc<SealedFile>, range: Range<u64>) -> Result<Bytes, Arc<StoreError>> {
        let read = || {
            let (store, file, range) = (Arc::clone(&self.stored.store), Arc::clone(file), range.clone());
            async move {
                let is_short = range.end - range.start <= SHORT_PIECE;
                let bytes = file.read(&*store, range).await.map_err(Arc::new)?;
                // A slice would keep its whole block in memory.
                Ok(if is_short { Bytes::copy_from_slice(&bytes) } else { bytes })
            }
        };
        self.reads.get(file.seal.raw, range.clone(), read).await
    }
}

#[cfg(test)]
impl SealedFiles {
    pub(super) fn is_bringing(&self) -> bool {
        Arc::strong_count(&self.fetcher) > 1
    }
}

/// A stored file is as fresh as its permission, which may itself just have been fetched.
fn hit(gate: &CachedAnswer) -> Outcome {
    match gate.outcome {
        Outcome::Hit { .. } => gate.outcome,
        _ => Outcome::Hit { ttl: gate.ttl, stale: None },
    }
}
