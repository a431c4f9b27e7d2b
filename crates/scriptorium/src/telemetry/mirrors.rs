//! Metrics of mirrors.
//!
//! Owns their names; the label is the name of a configured mirror. Must not know what a mirror is.

use prometheus::IntGaugeVec;

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct MirrorMetrics {
    last_success: IntGaugeVec,
    releases: IntGaugeVec,
    missing: IntGaugeVec,
    running: IntGaugeVec,
}

impl MirrorMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str| new.gauges(name, help, &["mirror"]);
        Ok(Self {
            last_success: gauges(
                "mirror_last_success_timestamp_seconds",
                "When the last complete sync ended, in seconds since 1970.",
            )?,
            releases: gauges("mirror_releases", "Releases that the last sync selected.")?,
            missing: gauges("mirror_missing", "Things that were missing when the last sync ended.")?,
            running: gauges("mirror_running", "1 while a sync or a plan runs, else 0.")?,
        })
    }

    /// The last complete sync of `mirror` ended then.
    pub(crate) fn succeeded(&self, mirror: &str, seconds: u64) {
        self.last_success.with_label_values(&[mirror]).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// So many releases belong to `mirror`, and so many things are missing.
    pub(crate) fn stands(&self, mirror: &str, releases: usize, missing: usize) {
        self.releases.with_label_values(&[mirror]).set(i64::try_from(releases).unwrap_or(i64::MAX));
        self.missing.with_label_values(&[mirror]).set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    pub(crate) fn running(&self, mirror: &str, is_running: bool) {
        self.running.with_label_values(&[mirror]).set(is_running.into());
    }

    /// `mirror` is no longer configured.
    pub(crate) fn forget(&self, mirror: &str) {
        for gauges in [&self.last_success, &self.releases, &self.missing, &self.running] {
            // There may be none yet.
            let _ = gauges.remove_label_values(&[mirror]);
        }
    }
}
