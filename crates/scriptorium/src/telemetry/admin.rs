//! Metrics of the admin port.
//!
//! Owns their names. Must not know who may use that port.

use prometheus::IntCounterVec;

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct AdminMetrics {
    refused: IntCounterVec,
}

impl AdminMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let help = "Requests to the admin port that were not let in, by why; a wrong token is a guess.";
        Ok(Self { refused: new.counters("admin_refused_total", help, &["why"])? })
    }

    /// A request was refused.
    pub(crate) fn refused(&self, why: &'static str) {
        self.refused.with_label_values(&[why]).inc();
    }
}
