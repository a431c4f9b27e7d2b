//! Metrics of a proxy that works together with others.
//!
//! Owns their names. A proxy that is alone by configuration has none of them. Must not know what proxies agree on.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::MetricRegistration;

#[derive(Debug)]
pub(crate) struct ClusterMetrics {
    up: IntGaugeVec,
    nodes: IntGaugeVec,
    calls: IntCounterVec,
    news: IntCounterVec,
    flights: IntCounterVec,
}

impl ClusterMetrics {
    pub(super) fn new(new: &MetricRegistration) -> prometheus::Result<Self> {
        Ok(Self {
            up: new.gauges(
                "cluster_up",
                "1 while this proxy works together with the others, 0 while it is alone.",
                &[],
            )?,
            nodes: new.gauges("cluster_nodes", "Proxies seen alive, this one included.", &[])?,
            calls: new.counters(
                "cluster_calls_total",
                "Calls to the engine through which proxies agree, by what came of them.",
                &["call", "outcome"],
            )?,
            news: new.counters(
                "cluster_news_total",
                "What this proxy told the others, and what it heard of them.",
                &["kind", "way"],
            )?,
            flights: new.counters(
                "cluster_flights_total",
                "Fetches that all proxies share, by this one's part.",
                &["part"],
            )?,
        })
    }

    /// How this proxy works now, and with how many.
    pub(crate) fn standing(&self, is_together: bool, nodes: u32) {
        self.up.with_label_values(&[] as &[&str]).set(is_together.into());
        self.nodes.with_label_values(&[] as &[&str]).set(nodes.into());
    }

    /// A call to the engine ended.
    pub(crate) fn called(&self, call: &'static str, outcome: &'static str) {
        self.calls.with_label_values(&[call, outcome]).inc();
    }

    /// News of a kind went one way.
    pub(crate) fn news(&self, kind: &'static str, way: &'static str) {
        self.news.with_label_values(&[kind, way]).inc();
    }

    /// A fetch that all proxies share ended.
    pub(crate) fn flight(&self, part: &'static str) {
        self.flights.with_label_values(&[part]).inc();
    }
}
