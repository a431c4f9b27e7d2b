//! What the configuration says is too much.
//!
//! Owns that table, its defaults, and the share of one client where nothing is said of it. Must not know how it is written.

use std::time::Duration;

use super::{GIB, MIB};

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an archive as it is fetched.
    pub max_archive: u64,
    /// Bytes of an archive's files.
    pub max_unpacked: u64,
    /// Entries of an archive.
    pub max_entries: u64,
    /// Bytes of a document.
    pub max_document: u64,
    /// Bytes of a client's request body.
    pub max_request_body: u64,
    /// Connections of the public port open at once.
    pub max_connections: usize,
    /// Those of one client; half of all unless configured.
    pub max_connections_per_client: usize,
    /// Bytes that they keep together.
    pub max_connection_memory: u64,
    /// Longest wait for a request's whole head, and for a connection's next request.
    pub header_timeout: Duration,
    /// Longest wait for a client to take a byte of its answer.
    pub send_timeout: Duration,
    /// Requests of the public port in flight at once.
    pub max_requests: usize,
    /// Those of one client.
    pub max_requests_per_client: usize,
    /// Archives and trust artifacts being sent at once.
    pub max_downloads: usize,
    /// Those to one client; a quarter of all unless configured.
    pub max_downloads_per_client: usize,
}

impl Limits {
    /// The downloads that one client has of `all`, where nothing is said of it.
    pub(in crate::config) fn quarter(all: usize) -> usize {
        (all / 4).max(1)
    }

    /// The connections that one client has of `all`, where nothing is said of it: a building behind one address fits.
    pub(in crate::config) fn half(all: usize) -> usize {
        (all / 2).max(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_archive: 512 * MIB,
            max_unpacked: 2 * GIB,
            max_entries: 100_000,
            max_document: 32 * MIB,
            max_request_body: 512 * MIB,
            max_connections: 20_000,
            max_connections_per_client: Self::half(20_000),
            // So many idle ones need 80 MiB; it is what they do beyond that which has to share the rest.
            max_connection_memory: 96 * MIB,
            header_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            max_requests: 4096,
            max_requests_per_client: 1024,
            max_downloads: 1024,
            max_downloads_per_client: Self::quarter(1024),
        }
    }
}
