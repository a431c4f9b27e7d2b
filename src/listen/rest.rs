//! Connections that rest between their requests.
//!
//! Owns when an HTTP/1.1 connection needs none of what hyper keeps for it, 18 KiB, and what is left of it then. Must not
//! know what is answered, nor how many connections are too many for each to keep it.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read of a request before hyper sees it: all of most.
const PIECE: usize = 1024;

/// Most that is put together to be written: a small answer and its head. Copying it costs less than a list does.
const TOGETHER: usize = 4096;

/// Clones of a turn while no answer is open: the stream's, and that of who asks.
const CLONES: usize = 2;

/// What one turn of hyper on a connection has come to; an answer holds a clone until it is handed over.
#[derive(Debug, Default)]
pub(super) struct Turn {
    asked: AtomicBool,
    stirred: AtomicBool,
    full: AtomicBool,
}

impl Turn {
    /// A request has come. Its answer is open until the value is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Arc<Self> {
        self.asked.store(true, Ordering::Relaxed);
        self.stirred.store(true, Ordering::Relaxed);
        self.clone()
    }

    /// Whether there was a request, or an answer that was not all sent, at any time since this was last asked.
    pub(super) fn stirred(self: &Arc<Self>) -> bool {
        let busy = !self.is_quiet();
        self.stirred.swap(busy, Ordering::Relaxed) || busy
    }

    fn is_quiet(self: &Arc<Self>) -> bool {
        !self.full.load(Ordering::Relaxed) && Arc::strong_count(self) == CLONES
    }

    /// Whether a request was answered, all of every answer is sent and no other request is there.
    pub(super) fn is_over(self: &Arc<Self>) -> bool {
        self.asked.load(Ordering::Relaxed) && self.is_quiet()
    }
}

/// The body of an answer that is open until all of it is taken.
#[derive(Debug)]
pub(super) struct Opened<B> {
    pub(super) body: B,
    pub(super) _turn: Arc<Turn>,
}

impl<B: Body + Unpin> Body for Opened<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that has been read from already, and says whether all that was written to it is on its way.
#[derive(Debug)]
pub(super) struct Rested<S> {
    stream: S,
    read: Bytes,
    turn: Arc<Turn>,
}

impl<S> Rested<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: Bytes::new(), turn: Arc::default() }
    }

    /// The turn that begins, with what the last one read too much.
    pub(super) fn begin(&mut self, read: Bytes) -> Arc<Turn> {
        self.read = read;
        self.turn = Arc::default();
        self.turn.clone()
    }
}

impl<S: AsyncRead + Unpin> Rested<S> {
    /// Waits for the next request; nothing is what a client sends that hangs up.
    pub(super) async fn wait(&mut self) -> io::Result<Bytes> {
        poll_fn(|context| {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut piece);
            read.map_ok(|()| Bytes::copy_from_slice(piece.filled()))
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rested<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..count]);
        self.read.advance(count);
        if self.read.is_empty() {
            drop(mem::take(&mut self.read));
        }
        Poll::Ready(Ok(()))
    }
}

/// `slices` as one piece in `room`, which is as long as they are together.
fn joined<'a>(slices: &[io::IoSlice<'_>], room: &'a mut [u8]) -> &'a [u8] {
    let mut rest = &mut *room;
    for slice in slices {
        rest.put_slice(slice);
    }
    room
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rested<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.turn.full.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The system takes one piece with less ado than a list of them.
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        let length = slices.iter().map(|slice| slice.len()).sum();
        if let Some(room) = [0; TOGETHER].get_mut(..length) {
            return self.poll_write(context, joined(slices, room));
        }
        self.turn.full.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.turn.full.store(flushed.is_pending(), Ordering::Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
