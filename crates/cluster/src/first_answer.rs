//! A connection whose first answer shows that nobody at the other side will do as an engine.
//!
//! A library for Redis only says of such an answer that it cannot be read, or takes it for the answer to the password. Owns
//! how they begin. Must not know what follows, nor pass on anything of what was sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use connect_failure::{SpeaksTls, is_tls_record};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::fault::EngineFault;

/// Why nobody there will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unwelcome(pub(crate) EngineFault);

impl Unwelcome {
    /// What these first bytes say, if that is bad.
    fn said(answer: &[u8]) -> Option<Self> {
        let fault = match answer {
            // Who does not understand a request may answer without a status line.
            [b'H' | b'<', ..] => EngineFault::WebServer,
            said if said.starts_with(b"-DENIED") => EngineFault::Protected,
            said if said.starts_with(b"-ERR max number of clients") => EngineFault::Crowded,
            _ => return None,
        };
        Some(Self(fault))
    }
}

/// A stream whose first answer is looked at.
pub(crate) struct FirstAnswer<S> {
    stream: S,
    is_awaited: bool,
}

impl<S> FirstAnswer<S> {
    pub(crate) fn of(stream: S) -> Self {
        Self { stream, is_awaited: true }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstAnswer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let answer = buffer.filled().get(before..).unwrap_or_default();
        if std::mem::take(&mut self.is_awaited) {
            if answer.first().is_some_and(|&first| is_tls_record(first)) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)));
            }
            if let Some(unwelcome) = Unwelcome::said(answer) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, unwelcome)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstAnswer<S> {
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
}
