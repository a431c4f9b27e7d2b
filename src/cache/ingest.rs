//! Bringing a file in: download, stage, verify and seal in one pass, then commit.
//!
//! The bytes run from the network through a short queue to one blocking thread, which stages and hashes
//! each piece and, of an archive, inflates it for verification; memory is the queue's whatever the file's size. Nothing
//! is visible to readers before the commit, and whatever ends early leaves nothing behind.
//!
//! Owns that flow. Must not know what makes an archive good (`archive`), what a trust artifact
//! must be (`wanted`) or how bytes are kept (`store`).

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use super::wanted::{Mismatch, Wanted};
use crate::archive::{self, ArchiveError, Expected, Limits, Scratch};
use crate::domain::Purl;
use crate::store::sealed::{self, Seal, SealWriter};
use crate::store::{Committed, Staged, Store, StoreError, Uncommitted};
use crate::upstream::{CouldNotAsk, Download};

/// Pieces between the network and the verifier.
const QUEUE: usize = 16;

/// Slowest average at which a download goes on, in bytes a second, once it had time to get going. A registry
/// that trickles bytes must not keep others' files waiting for a turn.
const SLOWEST: u64 = 4 * 1024;
const GETTING_GOING: Duration = Duration::from_secs(60);

/// Why a file did not come in.
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
    /// They arrived and are others than was said.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// They arrived and are no archive that may be served.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no room to verify them in, or they cannot be read again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The verifying thread died.
    #[error("the verification died")]
    Lost,
}

impl IngestError {
    /// Whether another try may go better: the transport, not the file, was at fault.
    pub(super) fn is_transport(&self) -> bool {
        match self {
            Self::Download(reason) => !reason.is_timeout(),
            Self::Archive(error) => matches!(error, ArchiveError::Gzip(_) | ArchiveError::Source(_)),
            Self::TooLarge { .. } | Self::Mismatch(_) | Self::Store(_) | Self::Lost => false,
        }
    }
}

/// Sizes that bound what is brought in.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that are downloaded, of an archive or a trust artifact.
    pub max_archive: u64,
    /// What the verifier of archives bounds.
    pub limits: Limits,
}

/// A file that passed, and where its bytes are now.
#[derive(Debug, Clone)]
pub(super) struct Brought {
    /// What was sealed.
    pub(super) seal: Arc<Seal>,
    /// The bytes, where the store could not keep them.
    pub(super) loose: Option<Arc<Staged>>,
}

/// Brings `download` in as `wanted`.
pub(super) async fn ingest(
    store: &Arc<dyn Store>,
    download: Download,
    wanted: &Wanted,
    bounds: &Bounds,
) -> Result<Brought, IngestError> {
    let limit = bounds.max_archive;
    if download.length.is_some_and(|length| length > limit) {
        return Err(IngestError::TooLarge { limit });
    }
    let (pieces, arriving) = mpsc::channel(QUEUE);
    let verification = tokio::task::spawn_blocking({
        let (store, wanted, bounds) = (Arc::clone(store), wanted.clone(), *bounds);
        move || verify(&*store, arriving, &wanted, &bounds.limits)
    });
    let delivered = deliver(download, limit, pieces).await;
    let verdict = verification.await.map_err(|_| IngestError::Lost)?;
    // A download that failed starves the verifier, so its reason is the one that counts.
    delivered?;
    let (staged, seal) = verdict?;
    keep(&**store, wanted, staged, seal).await
}

/// Commits what passed. What cannot be kept can still be sent to those who wait for it.
pub(super) async fn keep(
    store: &dyn Store,
    wanted: &Wanted,
    staged: Staged,
    seal: Seal,
) -> Result<Brought, IngestError> {
    let place = wanted.place();
    match store.commit(&place, staged).await {
        Ok(Committed::Ours) => Ok(Brought { seal: Arc::new(seal), loose: None }),
        Ok(Committed::Theirs) => {
            let theirs = sealed::open(store, &place).await?.filter(|theirs| wanted.is_under(theirs));
            let theirs = theirs.ok_or_else(|| StoreError::Missing { path: place.path() })?;
            Ok(Brought { seal: Arc::new(theirs), loose: None })
        }
        Err(Uncommitted { error, staged }) => {
            warn!(%error, file = %wanted, "a verified file cannot be kept; it is sent to those who wait for it");
            Ok(Brought { seal: Arc::new(seal), loose: Some(Arc::new(staged)) })
        }
    }
}

/// Passes the body on piece by piece. Ends early, without an error of its own, when the verifier has given up.
async fn deliver(mut download: Download, limit: u64, pieces: mpsc::Sender<Piece>) -> Result<(), IngestError> {
    let (mut received, started) = (0, Instant::now());
    while let Some(piece) = download.body.next().await {
        let piece = piece?;
        received += piece.len() as u64;
        if received > limit {
            return Err(IngestError::TooLarge { limit });
        }
        if trickles(received, started.elapsed()) {
            return Err(CouldNotAsk::TimedOut.into());
        }
        if pieces.send(Piece::Bytes(piece)).await.is_err() {
            return Ok(());
        }
    }
    // The verifier may have given up just now; its verdict says why.
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

/// Whether a download is too slow to go on.
fn trickles(received: u64, elapsed: Duration) -> bool {
    elapsed > GETTING_GOING && received / SLOWEST < elapsed.as_secs()
}

fn verify(
    store: &dyn Store,
    arriving: mpsc::Receiver<Piece>,
    wanted: &Wanted,
    limits: &Limits,
) -> Result<(Staged, Seal), IngestError> {
    let seal = RefCell::new(SealWriter::new(store.stage()?));
    let mut unstaged = None;
    let arriving = Arriving {
        pieces: arriving,
        piece: Bytes::new(),
        ended: false,
        seal: &seal,
        unstaged: &mut unstaged,
    };
    let again = || seal.borrow().get_ref().reopen();
    let scratch = || match store.stage() {
        Ok(staged) => Ok(Box::new(staged) as Box<dyn Scratch>),
        Err(error) => Err(error.into()),
    };
    let known_by = match wanted {
        Wanted::Archive { release: Purl { name, version }, integrity } => {
            let expected = Expected { name, version, integrity };
            archive::verify(arriving, again, scratch, &expected, limits)
                .map(|verified| *verified.integrity.digest())
                .map_err(IngestError::from)
        }
        Wanted::TrustArtifact { digest, size } => arriving.drain(*size).map(|()| *digest),
    };
    if let Some(error) = unstaged {
        return Err(StoreError::from(error).into());
    }
    let seal = seal.into_inner();
    let (staged, seal) = seal.finish(known_by?, &wanted.identity()).map_err(StoreError::from)?;
    wanted.compare(&seal)?;
    Ok((staged, seal))
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The bytes as the verifier reads them; each is staged and sealed before it is looked at.
struct Arriving<'a> {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
    /// Shared with who opens the file again, after the last byte.
    seal: &'a RefCell<SealWriter<Staged>>,
    /// Why a piece could not be staged: the verifier only learns that no more bytes come.
    unstaged: &'a mut Option<io::Error>,
}

impl Arriving<'_> {
    /// Reads to the end, or as far as to know that there are more than `size` bytes.
    fn drain(self, size: Option<u64>) -> Result<(), IngestError> {
        let enough = size.map_or(u64::MAX, |size| size.saturating_add(1));
        io::copy(&mut self.take(enough), &mut io::sink()).map_err(|_| CouldNotAsk::BrokenBody)?;
        Ok(())
    }
}

impl Read for Arriving<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(piece)) => {
                    if let Err(error) = self.seal.borrow_mut().write_all(&piece) {
                        *self.unstaged = Some(error);
                        return Err(ended_early());
                    }
                    self.piece = piece;
                }
                Some(Piece::End) => self.ended = true,
                None => return Err(ended_early()),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

impl Scratch for Staged {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        Self::read_exact_at(self, into, offset)
    }
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the download ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_cut_off_and_a_slow_start_is_not() {
        let seconds = Duration::from_secs;
        for (received, elapsed, cut) in [
            (0, seconds(60), false),
            (0, seconds(61), true),
            (100 * SLOWEST - 1, seconds(100), true),
            (100 * SLOWEST, seconds(100), false),
            (u64::MAX, seconds(1 << 40), false),
        ] {
            assert_eq!(trickles(received, elapsed), cut, "{received} bytes in {elapsed:?}");
        }
    }
}
