//! Taking bytes in from somebody who may be anybody: staged and sealed as they come, and looked at on the way.
//!
//! The pieces run through a short queue to one thread that may block. There each is staged and sealed before an
//! inspector reads it, so what was looked at is what lies there. Memory is the queue's whatever the body's size, and
//! whatever ends early leaves nothing behind.
//!
//! Owns that flow, and reading again what came whole. Must not know who sends, what is
//! looked for, nor whether it is kept.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

pub use crate::clock::pace::{Pace, Trickles};
use crate::store::sealed::SealWriter;
use crate::store::{Staged, Store, StoreError};

mod arriving;
mod received;

#[cfg(test)]
mod tests;

use arriving::Piece;
pub use arriving::{Arriving, OnDisk};
pub use received::Received;

/// Pieces between the sender and the inspector.
const QUEUE: usize = 8;

/// Why a body was not taken in: `S` is how its source fails, `E` what the inspector may find.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError<S, E> {
    /// The source failed before the end.
    #[error("{0}")]
    Source(S),
    /// More bytes came than may be taken in.
    #[error("larger than {limit} bytes")]
    TooLarge {
        /// The most there may be.
        limit: u64,
    },
    /// The inspector did not accept it.
    #[error("{0}")]
    Inspected(E),
    /// There is no room to stage it in.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source is too slow to be waited for.
    #[error(transparent)]
    Trickles(#[from] Trickles),
    /// The inspecting thread died.
    #[error("the inspection died")]
    Lost,
}

/// Stages `body`, at most `limit` bytes of it, while `inspect` reads it on a thread that may block.
///
/// All of it is staged when `inspect` is content, also what it did not read. When it is not, nothing more is asked
/// of `body`. A length that was announced is the caller's to hold against `limit`, and so is a source from which
/// nothing comes at all.
///
/// # Errors
/// [`IntakeError`]; nothing of the body is left then, nor when the call is dropped.
pub async fn take_in<S, T, E>(
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
        let store = Arc::clone(store);
        move || stage(&*store, arriving, inspect)
    });
    let delivered = deliver(body, limit, pieces).await;
    let verdict = inspection.await.map_err(|_| IntakeError::Lost)?;
    // A body that failed starves the inspector, so its reason is the one that counts.
    delivered?;
    verdict
}

/// Passes the body on piece by piece. Ends early, without an error of its own, when the inspector has given up.
async fn deliver<S, E>(
    mut body: BoxStream<'static, Result<Bytes, S>>,
    limit: u64,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), IntakeError<S, E>> {
    let (mut pace, mut received) = (Pace::default(), 0_u64);
    loop {
        let piece = tokio::select! {
            biased;
            () = pieces.closed() => return Ok(()),
            piece = pace.waiting(body.next()) => piece,
        };
        let Some(piece) = piece else { break };
        let piece = piece.map_err(IntakeError::Source)?;
        received = received.saturating_add(piece.len() as u64);
        if received > limit {
            return Err(IntakeError::TooLarge { limit });
        }
        pace.came(piece.len())?;
        if pieces.send(Piece::Bytes(piece)).await.is_err() {
            return Ok(());
        }
    }
    // The inspector may have given up just now; its verdict says why.
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

fn stage<S, T, E>(
    store: &dyn Store,
    pieces: mpsc::Receiver<Piece>,
    inspect: impl FnOnce(&mut Arriving<'_>) -> Result<T, E>,
) -> Result<(SealWriter<Staged>, T), IntakeError<S, E>> {
    let sealing = RefCell::new(SealWriter::new(store.stage()?));
    let mut arriving = Arriving::new(pieces, OnDisk::new(store, &sealing));
    let found = inspect(&mut arriving);
    let whole = found.is_ok() && arriving.drain().is_ok();
    // The inspector only learnt that no more bytes come.
    if let Some(error) = arriving.unstaged() {
        return Err(StoreError::from(error).into());
    }
    let found = found.map_err(IntakeError::Inspected)?;
    // What is not whole was broken off by its source, whose reason counts, or by whoever asked and is gone.
    if !whole {
        return Err(IntakeError::Lost);
    }
    Ok((sealing.into_inner(), found))
}
