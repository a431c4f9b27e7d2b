//! Intake: a body from an untrusted sender is staged and sealed as it arrives, while an inspector reads it.
//!
//! The pieces pass through a short queue to one blocking thread. There each piece is staged and sealed before the
//! inspector reads it, so that the inspected bytes are the staged ones. Memory is bounded by the queue, whatever the
//! body's size, and a body that ends early leaves nothing behind.
//!
//! Owns that flow, and reading a complete body again. Must not know the sender, what the inspector looks for,
//! nor whether the body is kept.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tracing::Span;

use crate::progress::{Progress, SlowestAverage, Stalled};
use crate::store::sealed::SealWriter;
use crate::store::{Staged, Store, StoreError};

mod arriving;
mod received;

#[cfg(test)]
mod tests;

use arriving::ArrivingPiece;
pub(crate) use arriving::{Arriving, OnDisk};
pub(crate) use received::Received;

/// Pieces between the sender and the inspector.
const QUEUE: usize = 8;

/// Why a body was not taken in. `S` is the error of its source, `E` that of the inspector.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError<S, E> {
    #[error("{0}")]
    Source(S),
    #[error("larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The inspector did not accept it.
    #[error("{0}")]
    Inspected(E),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source is too slow to be waited for.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The inspecting thread died.
    #[error("the inspection was lost")]
    Lost,
}

/// Stages `body`, at most `limit` bytes of it, while `inspect` reads it on a thread that may block.
///
/// If `inspect` succeeds, all of the body is staged, including what the inspector did not read. If it fails, no more of
/// `body` is read. The caller must check an announced length against `limit`, and bound the wait for a source that
/// sends nothing at all.
///
/// [`IntakeError`]. Then nothing of the body is left, nor when the call is dropped.
pub(crate) async fn take_in<S, T, E>(
    store: &Arc<dyn Store>,
    body: BoxStream<'static, Result<Bytes, S>>,
    limit: u64,
    inspect: impl FnOnce(&mut Arriving<'_>) -> Result<T, E> + Send + 'static,
) -> Result<(SealWriter<Staged>, T), IntakeError<S, E>>
where
    S: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let (pieces, arriving) = mpsc::channel(QUEUE);
    let inspection = tokio::task::spawn_blocking({
        let (store, span) = (Arc::clone(store), Span::current());
        move || span.in_scope(|| stage(&*store, arriving, inspect))
    });
    let delivered = deliver(body, limit, pieces).await;
    let verdict = inspection.await.map_err(|_| IntakeError::Lost)?;
    // A source that fails makes the inspector fail too; the source's error is the cause.
    delivered?;
    verdict
}

/// Sends the body to the inspector piece by piece. Ends early and without an error when the inspector has given up.
async fn deliver<S, E>(
    mut body: BoxStream<'static, Result<Bytes, S>>,
    limit: u64,
    pieces: mpsc::Sender<ArrivingPiece>,
) -> Result<(), IntakeError<S, E>> {
    let (mut progress, mut received) = (Progress::at_least(SlowestAverage::USUAL), 0_u64);
    loop {
        let piece = tokio::select! {
            biased;
            () = pieces.closed() => return Ok(()),
            piece = progress.wait(body.next()) => piece?,
        };
        let Some(piece) = piece else { break };
        let piece = piece.map_err(IntakeError::Source)?;
        received = received.saturating_add(piece.len() as u64);
        if received > limit {
            return Err(IntakeError::TooLarge { limit });
        }
        progress.came(piece.len())?;
        if pieces.send(ArrivingPiece::Bytes(piece)).await.is_err() {
            return Ok(());
        }
    }
    // If the inspector has just given up, its verdict says why.
    let _ = pieces.send(ArrivingPiece::End).await;
    Ok(())
}

fn stage<S, T, E>(
    store: &dyn Store,
    pieces: mpsc::Receiver<ArrivingPiece>,
    inspect: impl FnOnce(&mut Arriving<'_>) -> Result<T, E>,
) -> Result<(SealWriter<Staged>, T), IntakeError<S, E>> {
    let sealing = RefCell::new(SealWriter::new(store.stage()?));
    let mut arriving = Arriving::new(pieces, OnDisk::new(store, &sealing));
    let found = inspect(&mut arriving);
    let whole = found.is_ok() && arriving.drain().is_ok();
    // The inspector was only told that the body ended early.
    if let Some(error) = arriving.unstaged() {
        return Err(StoreError::from(error).into());
    }
    let found = found.map_err(IntakeError::Inspected)?;
    // The source ended early and its error is reported, or the caller is gone.
    if !whole {
        return Err(IntakeError::Lost);
    }
    Ok((sealing.into_inner(), found))
}
