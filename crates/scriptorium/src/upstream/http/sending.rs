//! Sends a body in pieces, and waits for the receiver as long as it takes pieces.
//!
//! Owns the pieces, and the timeout that restarts with each. Must not know any HTTP library.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use super::super::transport::{OutgoingBody, TransportError};
use crate::progress::silence_left;

/// Bytes of a piece. Small, so that it shows that the receiver takes them.
const PIECE: usize = 64 << 10;
/// Bytes that the kernels of both sides may buffer.
const BUFFERED: u64 = 4 << 20;
/// For each such number of buffered bytes the wait is as long again.
const PACE: u64 = 1 << 20;

/// Watches over a body that is sent. Dropping it stops the sending.
pub(super) struct Sending(Arc<SendWatch>);

/// The body in small pieces. An error ends them where the length is not the announced one.
pub(super) struct OutgoingPieces {
    source: BoxStream<'static, io::Result<Bytes>>,
    piece: Bytes,
    left: Option<u64>,
    watch: Arc<SendWatch>,
}

/// Why the pieces end early.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendStopped {
    /// The source failed, or its length is not the announced one.
    #[error("the request's body broke off")]
    Unsent,
    /// The exchange ended.
    #[error("the exchange ended")]
    Over,
}

#[derive(Default)]
struct SendWatch(Mutex<SendState>);

#[derive(Default)]
struct SendState {
    /// When the last piece was asked for or taken. `None` before there is a connection.
    moved: Option<Instant>,
    /// The source has nothing ready, which is not the receiver's fault.
    starved: bool,
    taken: u64,
    /// Every piece was taken.
    done: bool,
    unsent: bool,
    stopped: bool,
    waker: Option<Waker>,
}

/// The pieces of `body`; `None` where there is no body.
pub(super) fn send(body: OutgoingBody) -> Option<(Sending, OutgoingPieces)> {
    let (length, source) = match body {
        OutgoingBody::Empty => return None,
        OutgoingBody::Whole(bytes) => {
            let length = bytes.len() as u64;
            (Some(length), stream::iter([Ok(bytes)]).boxed())
        }
        OutgoingBody::Stream { length, pieces } => (length, pieces),
    };
    let watch = Arc::<SendWatch>::default();
    let pieces = OutgoingPieces { source, piece: Bytes::new(), left: length, watch: Arc::clone(&watch) };
    Some((Sending(watch), pieces))
}

/// Waits for `future` as long as the body moves, and for `wait` once it does not.
pub(super) async fn within<F: Future>(
    wait: Duration,
    sending: Option<&Sending>,
    future: F,
) -> Result<F::Output, TransportError> {
    let (mut future, mut left) = (pin!(future), wait);
    loop {
        if let Ok(output) = timeout(left, future.as_mut()).await {
            return Ok(output);
        }
        left = sending.and_then(|sending| sending.left(wait, Instant::now())).ok_or_else(|| {
            sending.map_or(TransportError::Timeout, |sending| sending.blame(TransportError::Timeout))
        })?;
    }
}

/// The body of an answer. It fails where nothing comes for `wait`, unless the request's body still moves.
pub(super) fn receive<S>(
    body: S,
    wait: Duration,
    sending: Option<Sending>,
) -> BoxStream<'static, Result<Bytes, TransportError>>
where
    S: Stream<Item = Result<Bytes, TransportError>> + Send + Unpin + 'static,
{
    let next = move |open: Option<(S, Option<Sending>)>| async move {
        let (mut body, sending) = open?;
        let moving = sending.as_ref().filter(|sending| !sending.is_done());
        match within(wait, moving, body.next()).await.transpose()? {
            Ok(Ok(chunk)) => Some((Ok(chunk), Some((body, sending)))),
            Ok(Err(error)) => Some((Err(sending.map_or(error, |sending| sending.blame(error))), None)),
            Err(late) => Some((Err(late), None)),
        }
    };
    stream::unfold(Some((body, sending)), next).boxed()
}

impl Sending {
    /// `error`, or that the body to be sent broke off, where the error follows from that.
    pub(super) fn blame(&self, error: TransportError) -> TransportError {
        if self.0.state().unsent { TransportError::Unsent } else { error }
    }

    fn is_done(&self) -> bool {
        self.0.state().done
    }

    /// How much longer to wait. Buffers hide how far the receiver is, so a receiver that took many bytes gets the
    /// time to use them.
    fn left(&self, wait: Duration, now: Instant) -> Option<Duration> {
        let state = self.0.state();
        if state.starved {
            return Some(wait);
        }
        let hidden = wait
            .saturating_mul(u32::try_from(state.taken.min(BUFFERED) / (PIECE as u64)).unwrap_or(0))
            / u32::try_from(PACE / PIECE as u64).unwrap_or(u32::MAX);
        silence_left(wait + hidden, state.moved?, now)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.state();
            state.stopped = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl SendWatch {
    /// A panic cannot leave it half changed.
    fn state(&self) -> MutexGuard<'_, SendState> {
        self.0.lock()
    }
}

impl OutgoingPieces {
    fn broken(&self) -> Poll<Option<Result<Bytes, SendStopped>>> {
        self.watch.state().unsent = true;
        Poll::Ready(Some(Err(SendStopped::Unsent)))
    }
}

impl Stream for OutgoingPieces {
    type Item = Result<Bytes, SendStopped>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        {
            let mut state = this.watch.state();
            if state.done {
                return Poll::Ready(None);
            }
            if state.stopped {
                return Poll::Ready(Some(Err(SendStopped::Over)));
            }
            (state.moved, state.starved) = (Some(Instant::now()), false);
            state.waker = Some(cx.waker().clone());
        }
        while this.piece.is_empty() {
            match this.source.poll_next_unpin(cx) {
                Poll::Pending => {
                    this.watch.state().starved = true;
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(piece))) => {
                    if let Some(left) = &mut this.left {
                        let Some(rest) = left.checked_sub(piece.len() as u64) else { return this.broken() };
                        *left = rest;
                    }
                    this.piece = piece;
                }
                Poll::Ready(None) if this.left.is_none_or(|left| left == 0) => {
                    this.watch.state().done = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(None | Some(Err(_))) => return this.broken(),
            }
        }
        let piece = this.piece.split_to(this.piece.len().min(PIECE));
        let mut state = this.watch.state();
        state.taken += piece.len() as u64;
        state.done = this.left == Some(0) && this.piece.is_empty();
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests;
