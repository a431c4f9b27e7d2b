//! Whether anything moves on an HTTP/2 connection.
//!
//! Owns which answers are open and which of them wait for their client, whose window, not the socket, may be what is
//! full. Must not know what is answered, nor how a connection is ended.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

use super::connections::Full;
use super::standing::{FEW_STREAMS, Kept, Open, STREAM, Standing};

/// What is handed on at once. A client that takes this much is seen to move, whatever the length of its answer.
const PIECE: usize = 16 * 1024;

/// What moves on one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    standing: Arc<Standing>,
    began: Instant,
    /// Milliseconds from `began` until something moved last.
    moved: AtomicU64,
}

impl Traffic {
    pub(super) fn new(standing: Arc<Standing>) -> Arc<Self> {
        Arc::new(Self { standing, began: Instant::now(), moved: AtomicU64::new(0) })
    }

    /// A request has come; its answer is open until the value is dropped. Refused where there is no room for it.
    pub(super) fn open(self: &Arc<Self>) -> Result<Asked, Full> {
        let counts = self.standing.answers() >= FEW_STREAMS;
        let kept = counts.then(|| self.standing.keep(STREAM)).transpose()?;
        self.touch();
        Ok(Asked { traffic: self.clone(), open: self.standing.open(), _kept: kept })
    }

    /// The client took something.
    fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Waits until answers have waited for their client for `patience`, and none of them moved.
    pub(super) async fn stalled(&self, patience: Duration) {
        self.quiet(patience, || self.standing.waiting() > 0).await;
    }

    /// Waits until there has been no request for `patience`.
    pub(super) async fn idle(&self, patience: Duration) {
        self.quiet(patience, || self.standing.answers() == 0).await;
    }

    /// Waits until it has been quiet for `patience` and the `state` holds.
    async fn quiet(&self, patience: Duration, state: impl Fn() -> bool) {
        let mut socket = self.standing.moved();
        loop {
            if mem::replace(&mut socket, self.standing.moved()) != socket {
                self.touch();
            }
            let moved = self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let left = (moved + patience).saturating_duration_since(Instant::now());
            match (left.is_zero(), state()) {
                (true, true) => return,
                (true, false) => sleep(patience).await,
                (false, _) => sleep(left).await,
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Asked {
    traffic: Arc<Traffic>,
    open: Open,
    _kept: Option<Kept>,
}

impl Asked {
    /// The body of the answer, watched from now on: until it is asked for, its client has no room for it.
    pub(super) fn watch<B>(self, body: B) -> Watched<B> {
        self.open.waits(true);
        self.traffic.touch();
        Watched { body: Box::pin(body), rest: Bytes::new(), waits: true, asked: self }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.traffic.touch();
    }
}

/// A body in pieces, asked for the next one only when its client has taken the last.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    waits: bool,
    asked: Asked,
}

impl<B> Watched<B> {
    fn waits(&mut self, waits: bool) {
        if self.waits != waits {
            self.asked.open.waits(waits);
            self.waits = waits;
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.waits(false);
        self.asked.traffic.touch();
        self.asked.traffic.standing.stirs();
        let data = if self.rest.is_empty() {
            let Some(frame) = ready!(self.body.as_mut().poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        } else {
            mem::take(&mut self.rest)
        };
        let mut piece = data;
        self.rest = piece.split_off(piece.len().min(PIECE));
        self.waits(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        self.waits(false);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::time::{advance, timeout};

    use super::super::connections::tests::place;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn ends(wait: impl Future<Output = ()>) -> bool {
        timeout(Duration::ZERO, wait).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_stalls_and_one_piece_resets_that() {
        let place = place();
        let traffic = Traffic::new(place.standing().clone());
        let mut body = traffic.open().unwrap().watch(Full::new(Bytes::from(vec![7; 3 * PIECE + 1])));
        assert_eq!(body.size_hint().exact(), Some(3 * PIECE as u64 + 1));
        for left in [2 * PIECE + 1, PIECE + 1, 1] {
            advance(PATIENCE - Duration::from_secs(1)).await;
            assert!(!ends(traffic.stalled(PATIENCE)).await);
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((piece.len(), body.size_hint().exact()), (PIECE, Some(left as u64)));
            assert!(!body.is_end_stream());
        }
        advance(PATIENCE).await;
        assert!(ends(traffic.stalled(PATIENCE)).await);
        assert!(!ends(traffic.idle(PATIENCE)).await);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1);
        assert!(body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_the_making_neither_stalls_nor_idles() {
        let place = place();
        let traffic = Traffic::new(place.standing().clone());
        let open = traffic.open().unwrap();
        advance(PATIENCE * 3).await;
        assert!(!ends(traffic.stalled(PATIENCE)).await && !ends(traffic.idle(PATIENCE)).await);
        drop(open);
        assert!(!ends(traffic.idle(PATIENCE)).await, "it ended just now");
        advance(PATIENCE).await;
        assert!(ends(traffic.idle(PATIENCE)).await && !ends(traffic.stalled(PATIENCE)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_answer_waits_no_longer() {
        let place = place();
        let traffic = Traffic::new(place.standing().clone());
        drop(traffic.open().unwrap().watch(Full::new(Bytes::from_static(b"x"))));
        advance(PATIENCE).await;
        assert!(!ends(traffic.stalled(PATIENCE)).await && ends(traffic.idle(PATIENCE)).await);
    }
}
