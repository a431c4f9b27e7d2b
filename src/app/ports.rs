//! What the ports are given besides what answers on them.
//!
//! Owns how what becomes of connections is counted, and how many the system has descriptors for. Must not know why any of
//! them is closed.

use std::sync::Arc;

use tracing::warn;

use crate::listen::{Cause, Fate, Observer};
use crate::telemetry::Metrics;

/// Descriptors that are not for connections of clients: files, registries, sockets of the admin port.
const OTHERS: u64 = 2_048;

/// Counts the connections of one port.
#[derive(Debug)]
pub(super) struct Counted {
    port: &'static str,
    metrics: Arc<Metrics>,
}

impl Counted {
    /// Those of the public port, and those of the admin port.
    pub(super) fn both(metrics: &Arc<Metrics>) -> [Arc<dyn Observer>; 2] {
        ["public", "admin"].map(|port| {
            for (cause, fate) in Cause::ALL.into_iter().flat_map(|cause| Fate::ALL.map(|fate| (cause, fate)))
            {
                metrics.connections.closed(port, cause.as_str(), fate.as_str(), 0);
            }
            Arc::new(Self { port, metrics: Arc::clone(metrics) }) as Arc<dyn Observer>
        })
    }
}

impl Observer for Counted {
    fn open(&self, connections: usize, bytes: usize) {
        self.metrics.connections.open(self.port, connections, bytes);
    }

    fn gone(&self, cause: Cause, fate: Fate, connections: usize) {
        self.metrics.connections.closed(self.port, cause.as_str(), fate.as_str(), connections);
    }
}

/// As many connections as configured, or as the system has descriptors for: who has none left reads no file either.
pub(super) fn within_descriptors(connections: usize) -> usize {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files; many connections may be refused");
            return connections;
        }
    };
    let most = usize::try_from(limit - OTHERS.min(limit / 2)).unwrap_or(usize::MAX);
    if most < connections {
        warn!(
            limit,
            max_connections = most,
            "fewer connections than limits.max_connections are taken: the process may open too few files; raise its hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
    connections.min(most)
}
