//! Metrics of the operator's policy.
//!
//! Owns their names. Must not know rules.

use prometheus::IntCounterVec;

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct PolicyMetrics {
    decisions: IntCounterVec,
}

impl PolicyMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let help =
            "Requests about a release that a rule denies, holds or discourages, or would in mode audit.";
        Ok(Self { decisions: new.counters("policy_decisions_total", help, &["rule", "action"])? })
    }

    /// A rule said something against the release that a request is about.
    pub(crate) fn decided(&self, rule: &str, action: &str) {
        self.decisions.with_label_values(&[rule, action]).inc();
    }
}
