//! Bytes that were not what they claimed to be, counted by where that was noticed.
//!
//! Each place is counted from 0: a count that appears at 1 has not risen for Prometheus, and an alert on the first one would be silent. Owns the
//! places. Must not know what was found.

use prometheus::IntCounterVec;

use super::MetricRegistration;

const STAGES: [&str; 21] = [
    "audit",
    "digest",
    "divergence",
    "document",
    "download",
    "escalation",
    "identity",
    "manifest",
    "pin",
    "profile",
    "read",
    "size",
    "store",
    "stored-archive",
    "stored-document",
    "stored-history",
    "stored-pin",
    "stored-record",
    "stored-trust-artifact",
    "trust-artifact",
    "upload",
];

#[derive(Debug)]
pub(super) struct IntegrityMetrics(IntCounterVec);

impl IntegrityMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let help = "Bytes that were not what they claimed to be, by where that was noticed.";
        let failures = new.counters("integrity_failures_total", help, &["stage"])?;
        for stage in STAGES {
            failures.with_label_values(&[stage]).inc_by(0);
        }
        Ok(Self(failures))
    }

    pub(super) fn failed(&self, stage: &'static str) {
        debug_assert!(STAGES.contains(&stage), "{stage} is not counted from 0");
        self.0.with_label_values(&[stage]).inc();
    }
}
