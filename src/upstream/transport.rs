//! What an exchange needs from an HTTP client: one GET, one response, no opinion.
//!
//! Owns the seam that tests replace. Must not know redirects, retries, credentials or any HTTP library.

use ::http::{HeaderMap, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

/// A way to send one GET.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends it and waits for the response's head. Follows no redirect.
    async fn get(&self, get: Get<'_>) -> Result<Response, TransportError>;
}

/// One GET, complete.
#[derive(Debug)]
pub struct Get<'a> {
    /// Where to.
    pub url: &'a Url,
    /// Every header but `host`, `user-agent` and those of the connection.
    pub headers: HeaderMap,
}

/// A response whose body is still coming.
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
    #[error("no connection")]
    Connect,
    /// Nothing came for too long.
    #[error("timed out")]
    Timeout,
    /// The connection ended in the middle, or what came is not HTTP.
    #[error("connection broken")]
    Broken,
    /// The name leads to an address that is not dialled.
    #[error("address not allowed")]
    Forbidden,
}
