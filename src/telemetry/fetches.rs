//! What is counted about files that are brought in.
//!
//! Owns the metrics of turns: who has one, who waits for one, and which fetches ended without their registry's doing.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Registration;

/// Why the fetch of a file ended that its registry did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It waited for its turn in vain.
    NoTurn,
    /// Nobody waited for it any more.
    Left,
}

/// Metrics of the files that are brought in.
#[derive(Debug)]
pub struct FetchMetrics {
    fetches: IntGaugeVec,
    ended_early: IntCounterVec,
}

impl FetchMetrics {
    pub(super) fn new(new: &Registration) -> prometheus::Result<Self> {
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

    /// So many files of an upstream have a turn, and so many wait for one.
    pub fn standing(&self, upstream: &str, under_way: usize, waiting: usize) {
        for (state, count) in [("under-way", under_way), ("waiting", waiting)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.fetches.with_label_values(&[upstream, state]).set(count);
        }
    }

    /// A fetch ended early.
    pub fn ended(&self, upstream: &str, why: Ended) {
        let why = match why {
            Ended::NoTurn => "no-turn",
            Ended::Left => "left",
        };
        self.ended_early.with_label_values(&[upstream, why]).inc();
    }
}
