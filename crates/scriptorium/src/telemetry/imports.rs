//! Metrics of what bundles brought.
//!
//! Owns their names. They are there once something was imported. Must not know what a bundle is.

use std::time::Duration;

use prometheus::IntGaugeVec;

use super::MetricRegistration;
use crate::clock::Timestamp;

#[derive(Debug)]
pub(crate) struct ImportMetrics {
    confirmed: IntGaugeVec,
    max_age: IntGaugeVec,
}

impl ImportMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        Ok(Self {
            confirmed: new.gauges(
                "import_confirmed_timestamp_seconds",
                "When a registry last confirmed what was imported, in seconds since 1970.",
                &[],
            )?,
            max_age: new.gauges(
                "import_max_age_seconds",
                "The age from which what was imported is too old (bundles.max_age).",
                &[],
            )?,
        })
    }

    /// What was imported was last confirmed then, and is too old at `max_age`.
    pub(crate) fn stands(&self, confirmed: Timestamp, max_age: Duration) {
        let set = |gauge: &IntGaugeVec, seconds: u64| {
            gauge.with_label_values::<&str>(&[]).set(i64::try_from(seconds).unwrap_or(i64::MAX));
        };
        set(&self.confirmed, confirmed.0 / 1000);
        set(&self.max_age, max_age.as_secs());
    }
}
