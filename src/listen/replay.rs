//! A stream of which a beginning was read already.
//!
//! Owns reading that beginning, in pieces that cost nothing while none comes, and giving it to whoever reads next. Must
//! not know what it says.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once: all of most requests.
const PIECE: usize = 1024;

/// A stream, and what was read of it too early.
#[derive(Debug)]
pub(super) struct Replay<S> {
    stream: S,
    read: Vec<u8>,
    /// How much of that was given out.
    given: usize,
}

impl<S> Replay<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new(), given: 0 }
    }

    /// Gives out `read` before all that is still to come.
    pub(super) fn replay(&mut self, read: Vec<u8>) {
        (self.read, self.given) = (read, 0);
    }

    /// What was read and not given out.
    pub(super) fn unread(&mut self) -> Vec<u8> {
        let mut read = mem::take(&mut self.read);
        read.drain(..mem::take(&mut self.given));
        read
    }

    /// The stream below.
    pub(super) fn below(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> Replay<S> {
    /// Reads on until what was read is `enough`, which is also told how much of it was not; false when the client hung
    /// up before.
    pub(super) async fn gather(
        &mut self,
        read: &mut Vec<u8>,
        enough: impl Fn(&[u8], usize) -> bool,
    ) -> io::Result<bool> {
        let mut judged = 0;
        poll_fn(|context| {
            loop {
                if enough(read, judged) {
                    return Poll::Ready(Ok(true));
                }
                judged = read.len();
                let mut piece = [0; PIECE];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece)?);
                if piece.filled().is_empty() {
                    return Poll::Ready(Ok(false));
                }
                let came = piece.filled();
                if read.capacity() - read.len() < came.len() {
                    // Little more than is there: many such beginnings wait for their end at once.
                    read.reserve_exact(if read.is_empty() { came.len() } else { PIECE });
                }
                read.extend_from_slice(came);
            }
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let rest = &self.read[self.given..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        self.given += count;
        if self.given == self.read.len() {
            drop(mem::take(&mut self.read));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
