//! A connection in the client's pool, with its age, and whether an answer ever came on it.
//!
//! A pooled connection may be dead unnoticed, so a request needs to know whether its connection was used before. On a
//! connection without TLS this also detects a server that speaks TLS: no HTTP answer begins like a TLS record. Owns
//! these facts. Must not know how a connection is made, nor what follows when it is dead.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use connect_failure::{SpeaksTls, is_tls_record};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes both ways, over whatever lies below.
pub(super) trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bytestream for S {}

/// When a connection was made, and whether an answer came on it. Clones are the same note.
#[derive(Debug, Clone)]
pub(super) struct ConnectionHistory {
    made: Instant,
    answered: Arc<AtomicBool>,
}

impl ConnectionHistory {
    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the connection was there before `began`, or has proved itself since.
    pub(super) fn precedes(&self, began: Instant) -> bool {
        self.made < began || self.answered.load(Ordering::Relaxed)
    }
}

/// A connection that the client sends requests over.
pub(super) struct PooledConnection {
    stream: Box<dyn Bytestream>,
    speaks_h2: bool,
    to_proxy: bool,
    history: ConnectionHistory,
    /// Whether the next byte may be the first of a TLS record, where none is expected.
    may_be_tls: bool,
}

impl PooledConnection {
    /// A connection without TLS; `to_proxy` where it ends at a proxy, which wants whole URLs.
    pub(super) fn plain(stream: impl Bytestream, to_proxy: bool) -> Self {
        Self { may_be_tls: true, to_proxy, ..Self::encrypted(stream, false) }
    }

    /// A connection with TLS, of HTTP/2 where that was agreed on.
    pub(super) fn encrypted(stream: impl Bytestream, speaks_h2: bool) -> Self {
        let history = ConnectionHistory { made: Instant::now(), answered: Arc::default() };
        Self { stream: Box::new(stream), speaks_h2, to_proxy: false, history, may_be_tls: false }
    }
}

impl Connection for PooledConnection {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.to_proxy).extra(self.history.clone());
        if self.speaks_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for PooledConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(&first) = buffer.filled().get(before).filter(|_| self.may_be_tls) {
            if is_tls_record(first) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)));
            }
            self.may_be_tls = false;
        }
        read
    }
}

impl AsyncWrite for PooledConnection {
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
