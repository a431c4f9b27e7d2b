//! What an exchange needs from an HTTP client: one request, one response, no opinion.
//!
//! Owns the seam that tests replace. Must not know redirects, retries, credentials or any HTTP library.

use std::fmt;
use std::io;

use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::cause::Cause;
use super::guard::Rule;
use super::notes::Notes;

/// A way to send one request.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends it and waits for the response's head. Follows no redirect.
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError>;
}

/// One request, complete.
pub struct Outgoing<'a> {
    /// What is asked of the resource.
    pub method: Method,
    /// Where to.
    pub url: &'a Url,
    /// Every header but `host`, `user-agent`, `content-length` and those of the connection.
    pub headers: HeaderMap,
    /// What is sent along.
    pub body: OutgoingBody,
    /// Where the words of a failure are noted.
    pub notes: Notes,
}

/// What a request carries.
pub enum OutgoingBody {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Whole(Bytes),
    /// Bytes that are still coming. How long they may take to come is for whoever makes the stream to bound.
    Stream {
        /// How many there will be, where that is known; a stream of another length is broken.
        length: Option<u64>,
        /// The bytes. An error leaves the request incomplete, so that nobody takes it for a whole one.
        pieces: BoxStream<'static, io::Result<Bytes>>,
    },
}

/// A response whose body is still coming. What was not sent by its end, or when it is dropped, is not sent.
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes, ending with an error where they are incomplete.
    pub body: BoxStream<'static, Result<Bytes, TransportError>>,
}

/// Why there is no response, or no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection could be made, TLS included.
    #[error("no connection: {0}")]
    Unreachable(Cause),
    /// Nothing came, or was taken, for too long.
    #[error("timed out")]
    Timeout,
    /// The connection ended in the middle, or what came is not HTTP.
    #[error("connection broken")]
    Broken,
    /// Nothing came on a connection that had been used before. The next request goes over a fresh one.
    #[error("a used connection gave nothing")]
    Stale {
        /// Whether it was waited for too long.
        late: bool,
    },
    /// What was to be sent broke off; the other side is not to blame.
    #[error("request body broken")]
    Unsent,
    /// What it leads to is not dialled.
    #[error("not allowed: {0}")]
    Forbidden(Rule),
}

impl<'a> Outgoing<'a> {
    /// A GET, which carries nothing.
    #[must_use]
    pub fn get(url: &'a Url, headers: HeaderMap, notes: Notes) -> Self {
        Self { method: Method::GET, url, headers, body: OutgoingBody::Empty, notes }
    }
}

/// Shows no header and no query string: both may hold a credential.
impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// Shows how much there is and nothing of it.
impl fmt::Debug for OutgoingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Stream { length, .. } => f.debug_struct("Stream").field("length", length).finish(),
        }
    }
}
