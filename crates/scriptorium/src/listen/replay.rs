//! A stream whose beginning was read already.
//!
//! Owns reading that beginning without memory while nothing comes, and giving it to the next reader. Must not know what
//! it says.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once: most requests are shorter.
const PIECE: usize = 1024;

/// A stream, and what was read of it.
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

    /// Gives out `read` before what the stream still has.
    pub(super) fn replay(&mut self, read: Vec<u8>) {
        (self.read, self.given) = (read, 0);
    }

    /// Takes what was read and not given out.
    pub(super) fn unread(&mut self) -> Vec<u8> {
        let mut read = mem::take(&mut self.read);
        read.drain(..mem::take(&mut self.given));
        read
    }
}

impl<S: AsyncRead + Unpin> Replay<S> {
    /// Waits until the client has sent something.
    pub(super) async fn first_byte(&mut self) -> io::Result<()> {
        let mut read = self.unread();
        let said = self.gather(&mut read, |read, _| !read.is_empty()).await?;
        self.replay(read);
        if said { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads until `enough` says so, which is also told how many of the bytes it has seen before; false when the client
    /// closes the connection first.
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
                    // Little spare capacity: many connections wait like this at once.
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
