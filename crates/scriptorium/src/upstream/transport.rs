//! The interface to an HTTP client: one request, one response.
//!
//! Owns the seam that tests replace. Must not know redirects, retries, credentials or any HTTP library.

use std::io;

use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::ConnectFailure;
use super::guard::GuardRule;
use super::notes::Notes;

/// A way to send one request.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Sends `request` and waits for the head of the response. Follows no redirect.
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError>;
}

/// One request, complete.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Every header field except `host`, `user-agent`, `content-length` and those of the connection.
    pub(crate) headers: HeaderMap,
    pub(crate) body: OutgoingBody,
    /// Where the text of a failure is noted.
    pub(crate) notes: Notes,
}

/// The body of a request.
pub(crate) enum OutgoingBody {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Whole(Bytes),
    /// Bytes that are still coming. The source bounds how long that takes.
    Stream {
        /// The length, if known. A stream of another length fails the request.
        length: Option<u64>,
        /// The bytes. An error leaves the request visibly incomplete.
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
}

impl From<&Bytes> for OutgoingBody {
    fn from(bytes: &Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(bytes.clone()) }
    }
}

/// A response whose body is still coming. When it ends or is dropped, the rest of the request's body is not sent.
pub(crate) struct RegistryResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The bytes, ending with an error where they are incomplete.
    pub(crate) body: BoxStream<'static, Result<Bytes, TransportError>>,
}

/// Why there is no response, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    /// No connection could be made, TLS included.
    #[error("no connection: {0}")]
    Unreachable(ConnectFailure),
    /// Nothing was received, or nothing was taken, for too long.
    #[error("timed out")]
    Timeout,
    /// The connection broke, or the bytes are not HTTP.
    #[error("connection broken")]
    Broken,
    /// No answer came on a connection that was used before. The next request uses a fresh one.
    #[error("a used connection gave nothing")]
    Stale {
        /// Whether the wait was over, rather than the connection broken.
        late: bool,
    },
    /// The source of the request's body broke off.
    #[error("request body broken")]
    Unsent,
    /// The guard forbids the address.
    #[error("not allowed: {0}")]
    Forbidden(GuardRule),
}

impl<'a> Outgoing<'a> {
    /// A GET, which carries nothing.
    pub(crate) fn get(url: &'a Url, headers: HeaderMap, notes: Notes) -> Self {
        Self { method: Method::GET, url, headers, body: OutgoingBody::Empty, notes }
    }
}
