//! Whether anything moves on an HTTP/2 connection.
//!
//! Owns which answers are open and which of them wait for their client: its window may be full where the socket is not.
//! Must not know what is answered, nor how a connection is ended.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

use super::connections::{Connection, MemoryReservation, OpenAnswer, PortFull};
use super::memory::{FEW_STREAMS, STREAM};
use crate::progress::silence_left;

/// What hyper is given at once. A client that takes this much is seen to move, however long its answer is.
const PIECE: usize = 16 * 1024;

/// When something moved on one connection.
#[derive(Debug)]
pub(super) struct Http2Activity {
    connection: Arc<Connection>,
    began: Instant,
    /// Milliseconds from `began` until something moved last.
    moved: AtomicU64,
}

impl Http2Activity {
    pub(super) fn new(connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self { connection, began: Instant::now(), moved: AtomicU64::new(0) })
    }

    /// A request has come; its answer is open until the value is dropped. Refused where there is no memory for it.
    pub(super) fn open(self: &Arc<Self>) -> Result<Http2Request, PortFull> {
        let counts = self.connection.activity.answers() >= FEW_STREAMS;
        let reserved = counts.then(|| self.connection.reserve(STREAM)).transpose()?;
        self.touch();
        Ok(Http2Request { on: self.clone(), answer: self.connection.open_answer(), _reserved: reserved })
    }

    /// The client took something.
    fn touch(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Waits until answers have waited for the client for `patience`, and none of them moved.
    pub(super) async fn stalled(&self, patience: Duration) {
        self.still(patience, || self.connection.activity.waiting_answers() > 0).await;
    }

    /// Waits until there has been no request for `patience`.
    pub(super) async fn idle(&self, patience: Duration) {
        self.still(patience, || self.connection.activity.answers() == 0).await;
    }

    /// Waits until nothing has moved for `patience` and the `state` holds.
    async fn still(&self, patience: Duration, state: impl Fn() -> bool) {
        let mut socket = self.connection.activity.moved();
        loop {
            if mem::replace(&mut socket, self.connection.activity.moved()) != socket {
                self.touch();
            }
            let moved = self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            match (silence_left(patience, moved, Instant::now()), state()) {
                (None, true) => return,
                (None, false) => sleep(patience).await,
                (Some(left), _) => sleep(left).await,
            }
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Http2Request {
    on: Arc<Http2Activity>,
    answer: OpenAnswer,
    _reserved: Option<MemoryReservation>,
}

impl Http2Request {
    /// The body of the answer, watched from now on: hyper asks for a piece only when the client's window has room for it.
    pub(super) fn watch<B>(self, body: B) -> Http2Body<B> {
        self.answer.activity().answer_waits(true);
        self.on.touch();
        Http2Body { body: Box::pin(body), rest: Bytes::new(), waits: true, request: self }
    }
}

impl Drop for Http2Request {
    fn drop(&mut self) {
        self.on.touch();
    }
}

/// A body in pieces, asked for the next one only when its client has taken the last.
#[derive(Debug)]
pub(super) struct Http2Body<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    waits: bool,
    request: Http2Request,
}

impl<B> Http2Body<B> {
    fn waits(&mut self, waits: bool) {
        if self.waits != waits {
            self.request.answer.activity().answer_waits(waits);
            self.waits = waits;
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Http2Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.waits(false);
        self.request.on.touch();
        self.request.answer.activity().touch();
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

impl<B> Drop for Http2Body<B> {
    fn drop(&mut self) {
        self.waits(false);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::time::{advance, timeout};

    use super::super::connections::tests::slot;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn ends(wait: impl Future<Output = ()>) -> bool {
        timeout(Duration::ZERO, wait).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_stalls_and_one_piece_resets_that() {
        let slot = slot();
        let traffic = Http2Activity::new(slot.connection().clone());
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
        let slot = slot();
        let traffic = Http2Activity::new(slot.connection().clone());
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
        let slot = slot();
        let traffic = Http2Activity::new(slot.connection().clone());
        drop(traffic.open().unwrap().watch(Full::new(Bytes::from_static(b"x"))));
        advance(PATIENCE).await;
        assert!(!ends(traffic.stalled(PATIENCE)).await && ends(traffic.idle(PATIENCE)).await);
    }
}
