//! Bringing an archive in: download, stage, verify and seal in one pass, then commit.
//!
//! The bytes run from the network through a short queue to one blocking thread, which stages and hashes
//! each piece and inflates it for verification; memory is the queue's whatever the archive's size. Nothing
//! is visible to readers before the commit, and whatever ends early leaves nothing behind.
//!
//! Owns that flow. Must not know what makes an archive good (`archive`) or how bytes are kept (`store`).

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::archive::{self, ArchiveError, Expected, Limits};
use crate::domain::{Integrity, Purl};
use crate::store::sealed::{Seal, SealWriter};
use crate::store::{Staged, StorageKey, Store, StoreError};
use crate::upstream::{CouldNotAsk, Download};

/// Pieces between the network and the verifier.
const QUEUE: usize = 16;

/// Why an archive did not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum IngestError {
    /// The bytes did not arrive whole.
    #[error(transparent)]
    Download(#[from] CouldNotAsk),
    /// More bytes than `limits.max_archive`.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// They arrived and did not pass.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// They passed and could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The verifying thread died.
    #[error("the verification died")]
    Lost,
}

impl IngestError {
    /// Whether another try may go better: the transport, not the archive, was at fault.
    pub(super) fn is_transport(&self) -> bool {
        matches!(self, Self::Download(_) | Self::Archive(ArchiveError::Gzip(_) | ArchiveError::Source(_)))
    }
}

/// What the archive must be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) release: Purl,
    pub(super) integrity: Integrity,
    pub(super) max_archive: u64,
    pub(super) limits: Limits,
}

/// Brings `download` in as `wanted`.
pub(super) async fn ingest(
    store: &Arc<dyn Store>,
    download: Download,
    wanted: &Wanted,
) -> Result<Seal, IngestError> {
    let limit = wanted.max_archive;
    if download.length.is_some_and(|length| length > limit) {
        return Err(IngestError::TooLarge { limit });
    }
    let (pieces, arriving) = mpsc::channel(QUEUE);
    let verification = tokio::task::spawn_blocking({
        let (store, wanted) = (Arc::clone(store), wanted.clone());
        move || verify(&*store, arriving, &wanted)
    });
    let delivered = deliver(download, limit, pieces).await;
    let verdict = verification.await.map_err(|_| IngestError::Lost)?;
    // A download that failed starves the verifier, so its reason is the one that counts.
    delivered?;
    let (staged, seal) = verdict?;
    store.commit(&StorageKey::Archive(wanted.integrity), staged).await?;
    Ok(seal)
}

/// Passes the body on piece by piece. Ends early, without an error of its own, when the verifier has given up.
async fn deliver(mut download: Download, limit: u64, pieces: mpsc::Sender<Piece>) -> Result<(), IngestError> {
    let mut received = 0;
    while let Some(piece) = download.body.next().await {
        let piece = piece?;
        received += piece.len() as u64;
        if received > limit {
            return Err(IngestError::TooLarge { limit });
        }
        if pieces.send(Piece::Bytes(piece)).await.is_err() {
            return Ok(());
        }
    }
    // The verifier may have given up just now; its verdict says why.
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

fn verify(
    store: &dyn Store,
    arriving: mpsc::Receiver<Piece>,
    wanted: &Wanted,
) -> Result<(Staged, Seal), IngestError> {
    let mut seal = SealWriter::new(store.stage()?);
    let again = seal.get_ref().reopen();
    let Purl { name, version } = &wanted.release;
    let expected = Expected { name, version, integrity: &wanted.integrity };
    let arriving = Arriving { pieces: arriving, piece: Bytes::new(), ended: false, seal: &mut seal };
    let verified = archive::verify(arriving, || again, || store.scratch(), &expected, &wanted.limits)?;
    Ok(seal.finish(verified.integrity, &wanted.release.to_string()).map_err(StoreError::from)?)
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The compressed bytes as the verifier reads them; each is staged and sealed before it is inflated.
struct Arriving<'a> {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
    seal: &'a mut SealWriter<Staged>,
}

impl Read for Arriving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(piece)) => {
                    self.seal.write_all(&piece)?;
                    self.piece = piece;
                }
                Some(Piece::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the download ended early"));
                }
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
