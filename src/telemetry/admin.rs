//! What is counted about the admin port.
//!
//! Owns those metrics. Must not know who may use that port.

use prometheus::IntCounterVec;

use super::Registration;

/// The metrics of the admin port.
#[derive(Debug)]
pub struct AdminMetrics {
    refused: IntCounterVec,
}

impl AdminMetrics {
    pub(super) fn new(new: &Registration) -> prometheus::Result<Self> {
        let help = "Requests to the admin port that were not let in, by why; a wrong token is a guess.";
        Ok(Self { refused: new.counters("admin_refused_total", help, &["why"])? })
    }

    /// A request was not let in.
    pub fn refused(&self, why: &'static str) {
        self.refused.with_label_values(&[why]).inc();
    }
}
