//! Metrics of the operator's policy.
//!
//! Owns their names. Must not know rules.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct PolicyMetrics {
    decisions: IntCounterVec,
    advisories_unread: IntGaugeVec,
    osv_unread: IntGauge,
}

impl PolicyMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        let help =
            "Requests about a release that a rule denies, holds or discourages, or would in mode audit.";
        Ok(Self {
            decisions: new.counters("policy_decisions_total", help, &["rule", "action"])?,
            advisories_unread: new.gauges(
                "policy_advisories_unread",
                "Advisories in the registry's last list that cannot be read.",
                &["upstream"],
            )?,
            osv_unread: new.gauge(
                "policy_osv_unread",
                "Folders, files and entries of policy.osv that cannot be read.",
            )?,
        })
    }

    /// How much of the lists of registries, and of the files, cannot be read.
    pub(crate) fn advisories_unread<'a>(
        &self,
        of_registries: impl Iterator<Item = (&'a str, usize)>,
        of_files: usize,
    ) {
        self.advisories_unread.reset();
        for (upstream, count) in of_registries {
            self.advisories_unread.with_label_values(&[upstream]).set(gauge(count));
        }
        self.osv_unread.set(gauge(of_files));
    }

    /// A rule said something against the release that a request is about.
    pub(crate) fn decided(&self, rule: &str, action: &str) {
        self.decisions.with_label_values(&[rule, action]).inc();
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
