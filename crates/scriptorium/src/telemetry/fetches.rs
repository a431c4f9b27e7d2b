//! Metrics of file downloads.
//!
//! Owns the metrics of download slots, and of downloads that ended for another reason than the registry.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::MetricRegistration;

/// Why a download ended for another reason than the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchEnd {
    /// No slot became free in time.
    NoSlot,
    /// No client waited for it any more.
    Left,
}

#[derive(Debug)]
pub(crate) struct FetchMetrics {
    fetches: IntGaugeVec,
    ended_early: IntCounterVec,
}

impl FetchMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        Ok(Self {
            fetches: new.gauges(
                "fetches",
                "Files of an upstream that are brought in, and that wait for their turn.",
                &["upstream", "state"],
            )?,
            ended_early: new.counters(
                "fetches_ended_early_total",
                "Files of an upstream that were not brought in because no turn came, or because nobody waited any more.",
                &["upstream", "why"],
            )?,
        })
    }

    /// So many downloads from an upstream have a slot, and so many wait for one.
    pub(crate) fn standing(&self, upstream: &str, under_way: usize, waiting: usize) {
        for (state, count) in [("under-way", under_way), ("waiting", waiting)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.fetches.with_label_values(&[upstream, state]).set(count);
        }
    }

    /// A download ended early.
    pub(crate) fn ended(&self, upstream: &str, why: FetchEnd) {
        let why = match why {
            FetchEnd::NoSlot => "no-turn",
            FetchEnd::Left => "left",
        };
        self.ended_early.with_label_values(&[upstream, why]).inc();
    }
}
