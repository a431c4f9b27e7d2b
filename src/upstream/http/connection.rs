//! A connection as the client's pool holds it: bytes both ways, what was agreed on, when it was made, and whether an answer
//! ever came on it.
//!
//! Owns that note. A connection in the pool may be dead without anybody having been told, and proves nothing: also one that
//! was made for a request that found another first. Must not know how it was made, nor what follows from its death.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes both ways, over whatever lies below.
pub(super) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bytestream for S {}

/// When a connection was made, and whether an answer came on it. Clones are the same note.
#[derive(Debug, Clone)]
pub(super) struct Past {
    made: Instant,
    answered: Arc<AtomicBool>,
}

impl Past {
    fn of_a_new_one() -> Self {
        Self { made: Instant::now(), answered: Arc::default() }
    }

    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it was there before `began`, or proved itself since.
    pub(super) fn precedes(&self, began: Instant) -> bool {
        self.made < began || self.answered.load(Ordering::Relaxed)
    }
}

/// What the client sends requests over.
pub(super) struct Connection {
    io: TokioIo<Box<dyn Bytestream>>,
    speaks_h2: bool,
    to_proxy: bool,
    past: Past,
}

impl Connection {
    /// One of HTTP/2 where that was agreed on; `to_proxy` where it ends at a proxy, which wants whole URLs.
    pub(super) fn new(stream: Box<dyn Bytestream>, speaks_h2: bool, to_proxy: bool) -> Self {
        Self { io: TokioIo::new(stream), speaks_h2, to_proxy, past: Past::of_a_new_one() }
    }
}

impl Pooled for Connection {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.to_proxy).extra(self.past.clone());
        if self.speaks_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

/// Who answers plain HTTP in TLS.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("what came is TLS, where plain HTTP was sent")]
pub(super) struct SpeaksTls;

/// A stream that tells when what comes first is TLS: no answer in HTTP begins so.
pub(super) struct Plain<S> {
    stream: S,
    heard: bool,
}

/// How records of TLS begin that a server sends first: an alert, a handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

impl<S> Plain<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, heard: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.heard {
            return read;
        }
        match buffer.filled().get(before) {
            Some(first) if TLS_RECORDS.contains(first) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)))
            }
            first => {
                self.heard = first.is_some();
                read
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}
