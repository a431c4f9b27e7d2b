//! What is counted about the store.
//!
//! Owns those metrics. Must not know what a store is.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Registration;

/// The metrics of the store. What fills it is told when somebody asks, what happens to it as it happens.
#[derive(Debug)]
pub struct StoreMetrics {
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
    pub(super) fn new(new: &Registration) -> prometheus::Result<Self> {
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

    /// The store holds so many bytes now, and never more than `max`.
    pub fn used(&self, bytes: u64, max: u64) {
        self.bytes.set(gauge(bytes));
        self.max_bytes.set(gauge(max));
    }

    /// It holds so many values of a kind.
    pub fn values(&self, kind: &'static str, values: usize, bytes: u64) {
        self.values.with_label_values(&[kind]).set(gauge(values as u64));
        self.value_bytes.with_label_values(&[kind]).set(gauge(bytes));
    }

    /// So many values were evicted since the start.
    pub fn evicted(&self, values: usize, bytes: u64) {
        self.evicted.inc_by((values as u64).saturating_sub(self.evicted.get()));
        self.evicted_bytes.inc_by(bytes.saturating_sub(self.evicted_bytes.get()));
    }

    /// Of `states`, it is in `current`.
    pub fn state(&self, states: &[&'static str], current: &'static str) {
        for state in states {
            self.state.with_label_values(&[*state]).set(i64::from(*state == current));
        }
    }

    /// A damaged file was mended while it was sent, or could not be.
    pub fn healed(&self, how: &'static str) {
        self.healed.with_label_values(&[how]).inc();
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
