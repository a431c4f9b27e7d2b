//! Metrics of connections.
//!
//! Owns their names. Must not know when a connection is closed, nor why.

use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec};

use super::MetricRegistration;
use crate::clock::Timestamp;

/// So long before its end a certificate is to be renewed: what renews itself does so earlier.
pub(crate) const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

#[derive(Debug)]
pub(crate) struct ConnectionMetrics {
    open: IntGaugeVec,
    bytes: IntGaugeVec,
    closed: IntCounterVec,
    certificate: IntGaugeVec,
}

impl ConnectionMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        Ok(Self {
            open: new.gauges("connections", "Connections that are open, handshakes included.", &["port"])?,
            bytes: new.gauges(
                "connection_memory_bytes",
                "What is counted as kept by the connections, which limits.max_connection_memory bounds.",
                &["port"],
            )?,
            closed: new.counters(
                "connections_closed_total",
                "Connections closed before their time, by the bound that was met; evicted ones waited the longest.",
                &["port", "cause", "fate"],
            )?,
            certificate: new.gauges(
                "certificate_expires_timestamp_seconds",
                "Until when the certificate of the port holds; only where it speaks TLS.",
                &["port"],
            )?,
        })
    }

    /// So many are open on a port, and use so many bytes.
    pub(crate) fn open(&self, port: &'static str, connections: usize, bytes: usize) {
        self.open.with_label_values(&[port]).set(i64::try_from(connections).unwrap_or(i64::MAX));
        self.bytes.with_label_values(&[port]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The certificate of a port holds until then.
    pub(crate) fn certificate(&self, port: &'static str, ends: Timestamp) {
        self.certificate.with_label_values(&[port]).set(i64::try_from(ends.0 / 1000).unwrap_or(i64::MAX));
    }

    /// So many were closed early.
    pub(crate) fn closed(
        &self,
        port: &'static str,
        cause: &'static str,
        fate: &'static str,
        connections: usize,
    ) {
        let count = u64::try_from(connections).unwrap_or(u64::MAX);
        self.closed.with_label_values(&[port, cause, fate]).inc_by(count);
    }
}
