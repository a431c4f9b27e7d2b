//! Metrics of reads that were refused because not everybody may read.
//!
//! Owns their names. Must not know who may read what.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct AccessMetrics {
    refused: IntCounterVec,
    issuer_keys: IntGaugeVec,
}

impl AccessMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let refused =
            "Reads refused because not everybody may read; an unknown token is a guess, or has ended.";
        let keys = "Public keys of the issuer of signed tokens that are in force.";
        Ok(Self {
            refused: new.counters("access_refused_total", refused, &["reason"])?,
            issuer_keys: new.gauges("issuer_keys", keys, &["issuer"])?,
        })
    }

    /// A read was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// So many keys of an issuer are in force.
    pub(crate) fn keys(&self, issuer: &str, keys: usize) {
        self.issuer_keys.with_label_values(&[issuer]).set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}
