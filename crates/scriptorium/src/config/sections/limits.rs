//! The section `[limits]`.
//!
//! Owns its keys, and the shares of one client. Must not know where a value came from.

use std::time::Duration;

use super::super::declare::section;
use super::super::formats::{bytes, number, size, timeout};
use super::{GIB, KIB, MIB};

/// The connections of one client among `all`. The clients behind one address share them, so it is half.
fn half(all: usize) -> usize {
    (all / 2).max(1)
}

/// The downloads of one client among `all`.
fn quarter(all: usize) -> usize {
    (all / 4).max(1)
}

section! {
    pub(crate) struct Limits {
        /// Largest archive, as it is downloaded, and largest trust artifact.
        max_archive: u64 = 512 * MIB, size(4 * KIB, "MiB"), Files;
        /// Most bytes of an archive's unpacked files. It stops decompression bombs.
        max_unpacked: u64 = 2 * GIB, size(4 * KIB, "GiB"), Files;
        /// Most entries in an archive.
        max_entries: u64 = 100_000, number("entries", 1..=1_000_000_000), Files;
        /// Largest pack that a Git server sends for one commit, or for several commits of one repository.
        max_git_pack: u64 = GIB, size(4 * KIB, "GiB"), Files;
        /// Longest time in which a Git server must have sent a pack, however it moves.
        max_git_time: Duration = Duration::from_secs(600), timeout(), Files;
        /// Largest document from a registry.
        max_document: u64 = 32 * MIB, size(4 * KIB, "MiB"), Documents;
        /// Largest request body of a client, for writes and for relays.
        max_request_body: u64 = 512 * MIB, size(4 * KIB, "MiB"), Uploads;
        /// Most connections to the public port, those in a TLS handshake included. For one more, the
        /// connection that has waited longest for a request is closed.
        max_connections: usize = 20_000, number("connections", 1..=1_000_000), Restart;
        /// Most connections of one client address (IPv6: of its /64); half of `max_connections` by default.
        /// For one more, the connection of this client that has waited longest is closed. Connections from
        /// `server.trusted_proxies` do not count, since each carries requests of many clients.
        max_connections_per_client: usize = half(max_connections), number("connections", 1..=1_000_000), Restart;
        /// Most memory of all connections: an idle one has 4 KiB, 18 KiB with TLS, 58 KiB with HTTP/2, and
        /// more during a request. If a connection needs more, the one that has waited longest is closed. Less
        /// than 16MiB makes no sense.
        max_connection_memory: u64 = 96 * MIB, bytes("a size from 1MiB to 1 EiB such as \"96MiB\"", MIB), Restart;
        /// How long a client may take to send the head of a request. An idle connection is closed after the
        /// same time.
        header_timeout: Duration = Duration::from_secs(30), timeout(), Restart;
        /// How long a client may read nothing of its response. A slow client that keeps reading is not cut
        /// off.
        send_timeout: Duration = Duration::from_secs(60), timeout(), Restart;
        /// Most requests to the public port in flight at once.
        max_requests: usize = 4096, number("requests", 1..=100_000), Concurrency;
        /// Most requests of one client in flight at once.
        max_requests_per_client: usize = 1024, number("requests", 1..=100_000), Concurrency;
        /// Most archives and trust artifacts that are sent at once.
        max_downloads: usize = 1024, number("requests", 1..=100_000), Concurrency;
        /// Most of them that are sent to one client at once; a quarter of `max_downloads` by default.
        max_downloads_per_client: usize = quarter(max_downloads), number("requests", 1..=100_000), Concurrency;
    }
}
