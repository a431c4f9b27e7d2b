//! Metrics of the store.
//!
//! Owns their names. Must not know what a store is.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct StoreMetrics {
    bytes: IntGauge,
    max_bytes: IntGauge,
    values: IntGaugeVec,
    value_bytes: IntGaugeVec,
    evicted: IntCounter,
    evicted_bytes: IntCounter,
    state: IntGaugeVec,
    healed: IntCounterVec,
}

impl StoreMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        Ok(Self {
            bytes: new.gauge("store_bytes", "Bytes kept in the store, staged ones included.")?,
            max_bytes: new.gauge("store_max_bytes", "What store_bytes never exceeds.")?,
            values: new.gauges("store_values", "Values kept in the store.", &["kind"])?,
            value_bytes: new.gauges("store_value_bytes", "Their bytes.", &["kind"])?,
            evicted: new.counter("store_evicted_total", "Values evicted to make room.")?,
            evicted_bytes: new.counter("store_evicted_bytes_total", "Their bytes.")?,
            state: new.gauges(
                "store_state",
                "1 for how the store is now, 0 for the other states.",
                &["state"],
            )?,
            healed: new.counters(
                "store_healed_total",
                "Damaged files that were mended while they were sent, by what was fetched for that.",
                &["how"],
            )?,
        })
    }

    /// The store holds so many bytes, and never more than `max`.
    pub(crate) fn used(&self, bytes: u64, max: u64) {
        self.bytes.set(gauge(bytes));
        self.max_bytes.set(gauge(max));
    }

    /// The store holds so many values of a kind.
    pub(crate) fn values(&self, kind: &'static str, values: usize, bytes: u64) {
        self.values.with_label_values(&[kind]).set(gauge(values as u64));
        self.value_bytes.with_label_values(&[kind]).set(gauge(bytes));
    }

    /// So many values were evicted since the start.
    pub(crate) fn evicted(&self, values: usize, bytes: u64) {
        self.evicted.inc_by((values as u64).saturating_sub(self.evicted.get()));
        self.evicted_bytes.inc_by(bytes.saturating_sub(self.evicted_bytes.get()));
    }

    /// Of `states`, the store is in `current`.
    pub(crate) fn state(&self, states: &[&'static str], current: &'static str) {
        for state in states {
            self.state.with_label_values(&[*state]).set(i64::from(*state == current));
        }
    }

    /// A damaged file was mended while it was sent, or could not be.
    pub(crate) fn healed(&self, how: &'static str) {
        self.healed.with_label_values(&[how]).inc();
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
