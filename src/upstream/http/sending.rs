//! A body on its way out, and how long to wait for whoever it is sent to.
//!
//! Owns the pieces that a body is sent in, and the clock that stands still while they are taken. Must not know any
//! HTTP library.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::super::transport::{OutgoingBody, TransportError};

/// What is handed on at once, so that being taken shows.
const PIECE: usize = 64 << 10;
/// What the kernels on both sides may still hold of what was handed on.
const BUFFERED: u64 = 4 << 20;
/// As much of that is granted the time that a wait takes.
const PACE: u64 = 1 << 20;

/// Watches over a body that is sent. Once this is dropped, no more of it is.
pub(super) struct Sending(Arc<Progress>);

/// The body, in small pieces and no other length than was announced.
pub(super) struct Pieces {
    source: BoxStream<'static, io::Result<Bytes>>,
    piece: Bytes,
    left: Option<u64>,
    progress: Arc<Progress>,
}

/// Why the pieces end early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// Their source failed or did not keep to its length.
    #[error("what was to be sent broke off")]
    Unsent,
    /// Nobody waits for the answer any more, or it is there.
    #[error("the exchange is over")]
    Over,
}

#[derive(Default)]
struct Progress(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the last piece was asked for or taken; nothing was, before the connection is there.
    moved: Option<Instant>,
    /// The source has nothing ready, for which nobody there is to blame.
    starved: bool,
    taken: u64,
    /// Every piece was taken.
    done: bool,
    unsent: bool,
    stopped: bool,
    waker: Option<Waker>,
}

/// What `body` is sent as; `None` for none.
pub(super) fn send(body: OutgoingBody) -> Option<(Sending, Pieces)> {
    let (length, source) = match body {
        OutgoingBody::Empty => return None,
        OutgoingBody::Whole(bytes) => {
            let length = bytes.len() as u64;
            (Some(length), stream::iter([Ok(bytes)]).boxed())
        }
        OutgoingBody::Stream { length, pieces } => (length, pieces),
    };
    let progress = Arc::<Progress>::default();
    let pieces = Pieces { source, piece: Bytes::new(), left: length, progress: Arc::clone(&progress) };
    Some((Sending(progress), pieces))
}

/// Waits for `future` as long as what is sent moves, and for `wait` where it does not.
pub(super) async fn within<F: Future>(
    wait: Duration,
    sending: Option<&Sending>,
    future: F,
) -> Result<F::Output, TransportError> {
    let mut future = pin!(future);
    let mut due = Instant::now() + wait;
    loop {
        if let Ok(output) = timeout_at(due, future.as_mut()).await {
            return Ok(output);
        }
        let now = Instant::now();
        due =
            sending.and_then(|sending| sending.due(wait, now)).filter(|due| *due > now).ok_or_else(|| {
                sending.map_or(TransportError::Timeout, |sending| sending.blame(TransportError::Timeout))
            })?;
    }
}

/// The body of an answer, broken where nothing comes for `wait`. It keeps watching over what is still sent.
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
    /// Who is to blame for an `error`: it may follow from what was to be sent.
    pub(super) fn blame(&self, error: TransportError) -> TransportError {
        if self.0.state().unsent { TransportError::Unsent } else { error }
    }

    fn is_done(&self) -> bool {
        self.0.state().done
    }

    /// Until when to wait at least. Buffers hide for a while what becomes of the bytes, so that whoever took many
    /// is given the time to use them.
    fn due(&self, wait: Duration, now: Instant) -> Option<Instant> {
        let state = self.0.state();
        if state.starved {
            return Some(now + wait);
        }
        let hidden = wait
            .saturating_mul(u32::try_from(state.taken.min(BUFFERED) / (PIECE as u64)).unwrap_or(0))
            / u32::try_from(PACE / PIECE as u64).unwrap_or(u32::MAX);
        Some(state.moved? + wait + hidden)
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

impl Progress {
    /// A panic cannot leave it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pieces {
    fn broken(&self) -> Poll<Option<Result<Bytes, Cut>>> {
        self.progress.state().unsent = true;
        Poll::Ready(Some(Err(Cut::Unsent)))
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        {
            let mut state = this.progress.state();
            if state.done {
                return Poll::Ready(None);
            }
            if state.stopped {
                return Poll::Ready(Some(Err(Cut::Over)));
            }
            (state.moved, state.starved) = (Some(Instant::now()), false);
            state.waker = Some(cx.waker().clone());
        }
        while this.piece.is_empty() {
            match this.source.poll_next_unpin(cx) {
                Poll::Pending => {
                    this.progress.state().starved = true;
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
                    this.progress.state().done = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(None | Some(Err(_))) => return this.broken(),
            }
        }
        let piece = this.piece.split_to(this.piece.len().min(PIECE));
        let mut state = this.progress.state();
        state.taken += piece.len() as u64;
        state.done = this.left == Some(0) && this.piece.is_empty();
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests;
