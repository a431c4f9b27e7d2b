//! What the process reports to its operator: log records on standard error, metrics for Prometheus and spans for a collector.
//!
//! Owns the name, labels and buckets of every metric. `counters` makes counting cheap; `logging` and `access` make
//! records, `log_buffers` and `log_writer` write them. Must not know what a metric means: whoever sees an event reports it
//! here.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tracing_subscriber::util::TryInitError;

use crate::spans::NoCollector;

mod access;
mod access_refusals;
mod admin;
mod cluster;
mod connections;
mod counters;
mod fetches;
mod history;
mod imports;
mod integrity;
mod latency;
mod log_buffers;
mod log_writer;
mod logging;
mod mirrors;
mod policy;
mod process;
mod recent;
mod samples;
mod store;

pub(crate) use access::AccessLog;
pub(crate) use access::{AccessClient, AccessRecord};
use access_refusals::AccessMetrics;
pub(crate) use admin::AdminMetrics;
use cluster::ClusterMetrics;
pub(crate) use connections::{CERTIFICATE_ENDS_SOON, ConnectionMetrics};
use counters::{Counters, Durations};
pub(crate) use fetches::{FetchEnd, FetchMetrics};
pub(crate) use history::{Counted, MINUTES_IN_QUARTER, SpanCounts};
use imports::ImportMetrics;
use integrity::IntegrityMetrics;
pub(crate) use logging::{RecordGuard, logging};
pub(crate) use mirrors::MirrorMetrics;
use policy::PolicyMetrics;
use recent::RecentPast;
pub(crate) use samples::Samples;
pub(crate) use store::StoreMetrics;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("logging was set up twice; call it once, first thing in the process")]
    Logging(#[from] TryInitError),
    #[error("the thread that writes the log could not be started: {0}")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Collector(#[from] NoCollector),
    /// Two metrics have one name.
    #[error("a metric could not be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// 50 µs to 30 s: from a hit in memory to an archive that is first fetched, verified and unpacked.
const SECONDS: [f64; 18] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Every metric of this process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    process: Registry,
    requests: Counters,
    request_duration: Durations,
    cache_lookups: Counters,
    upstream_requests: IntCounterVec,
    upstream_request_duration: Durations,
    integrity: IntegrityMetrics,
    divergences_open: IntGauge,
    rate_limited: IntCounterVec,
    audit_record_lost: IntCounter,
    pub(crate) connections: ConnectionMetrics,
    pub(crate) fetches: FetchMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) access: AccessMetrics,
    pub(crate) admin: AdminMetrics,
    pub(crate) imports: ImportMetrics,
    pub(crate) mirrors: MirrorMetrics,
    pub(crate) policy: PolicyMetrics,
    pub(crate) cluster: ClusterMetrics,
    upstream_up: IntGaugeVec,
    upstream_state: IntGaugeVec,
    upstream_budget_left: IntGaugeVec,
    pub(crate) recent: RecentPast,
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    pub(crate) fn new() -> Result<Self, TelemetryError> {
        let new = MetricRegistration(Registry::new_custom(Some("scriptorium".to_owned()), None)?);
        Ok(Self {
            requests: new.counters_by_thread(
                "requests_total",
                "Requests answered on the public port.",
                &["route", "class", "status"],
            )?,
            request_duration: new.durations(
                "request_duration_seconds",
                "From the request's head to the answer's head, on the public port.",
            )?,
            cache_lookups: new.counters_by_thread(
                "cache_lookups_total",
                "What the cache said when it was asked.",
                &["resource", "outcome"],
            )?,
            upstream_requests: new.counters(
                "upstream_requests_total",
                "Exchanges with upstreams; status is a word where there was no answer.",
                &["upstream", "resource", "status"],
            )?,
            upstream_request_duration: new.durations(
                "upstream_request_duration_seconds",
                "From asking an upstream to the end of its answer.",
            )?,
            integrity: IntegrityMetrics::new(&new)?,
            divergences_open: new.gauge("divergences_open", "Releases with an open divergence.")?,
            rate_limited: new.counters(
                "rate_limited_total",
                "Requests refused because the client asked too often.",
                &["class"],
            )?,
            audit_record_lost: new.counter(
                "audit_record_lost_total",
                "Entries of the audit record that could not be written, and went to the log instead.",
            )?,
            connections: ConnectionMetrics::new(&new)?,
            fetches: FetchMetrics::new(&new)?,
            store: StoreMetrics::new(&new)?,
            access: AccessMetrics::new(&new)?,
            admin: AdminMetrics::new(&new)?,
            imports: ImportMetrics::new(&new)?,
            mirrors: MirrorMetrics::new(&new)?,
            policy: PolicyMetrics::new(&new)?,
            cluster: ClusterMetrics::new(&new)?,
            upstream_up: new.gauges("upstream_up", "1 while the upstream answers, else 0.", &["upstream"])?,
            upstream_state: new.gauges(
                "upstream_state",
                "1 for how the upstream is approached now, 0 for the other states.",
                &["upstream", "state"],
            )?,
            upstream_budget_left: new.gauges(
                "upstream_budget_left",
                "Requests that could be sent to the upstream at once; only where requests_per_minute is set.",
                &["upstream"],
            )?,
            recent: RecentPast::default(),
            registry: new.0,
            process: process::registry()?,
        })
    }

    /// Shows how many lines `log` dropped, and what became of spans.
    pub(crate) fn watch(&self, log: &AccessLog) -> Result<(), TelemetryError> {
        for counted in log.counted() {
            self.registry.register(counted)?;
        }
        Ok(())
    }

    /// A request on the public port was answered.
    pub(crate) fn request(&self, route: &'static str, class: &'static str, status: u16, took: Duration) {
        self.requests.count([route, class], Some(status));
        self.request_duration.count(took);
    }

    /// How many requests were answered on the public port.
    pub(crate) fn answered(&self) -> u64 {
        self.request_duration.counted()
    }

    /// A resource was looked up in the cache.
    pub(crate) fn cache_lookup(&self, resource: &'static str, outcome: &'static str) {
        self.cache_lookups.count([resource, outcome], None);
    }

    /// An exchange with an upstream is over. `status` is a number, or a word where there was no answer.
    pub(crate) fn upstream_request(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &str,
        took: Duration,
    ) {
        self.upstream_requests.with_label_values(&[upstream, resource, status]).inc();
        // A file takes as long as it is big, and a failure as long as somebody waited.
        if !matches!(resource, "archive" | "trust-artifact") && status.parse::<u16>().is_ok() {
            self.recent.latency.note(upstream, took);
        }
        self.upstream_request_duration.count(took);
    }

    /// Bytes were not what they should be.
    pub(crate) fn integrity_failure(&self, stage: &'static str) {
        self.integrity.failed(stage);
    }

    pub(crate) fn divergences_open(&self, count: usize) {
        self.divergences_open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A client was over its rate limit.
    pub(crate) fn rate_limited(&self, class: &'static str) {
        self.rate_limited.with_label_values(&[class]).inc();
    }

    /// An entry of the audit record could not be written.
    pub(crate) fn audit_record_lost(&self) {
        self.audit_record_lost.inc();
    }

    /// Whether requests to an upstream are let through.
    pub(crate) fn upstream_up(&self, upstream: &str, up: bool) {
        self.upstream_up.with_label_values(&[upstream]).set(i64::from(up));
    }

    /// Of `states`, the upstream is in `current`.
    pub(crate) fn upstream_state(&self, upstream: &str, states: &[&'static str], current: &'static str) {
        for state in states {
            let is_current = i64::from(*state == current);
            self.upstream_state.with_label_values(&[upstream, *state]).set(is_current);
        }
    }

    /// Requests that are left of an upstream's budget.
    pub(crate) fn upstream_budget_left(&self, upstream: &str, left: u32) {
        self.upstream_budget_left.with_label_values(&[upstream]).set(left.into());
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let families = [self.registry.gather(), self.process.gather()].concat();
        // An empty answer would mean "no metrics", so the scraper gets a comment.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| format!("# not rendered: {error}\n"))
    }
}

/// Makes metrics and registers them in one step.
struct MetricRegistration(Registry);

impl MetricRegistration {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// For the hit path.
    fn counters_by_thread(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Counters> {
        self.register(Counters::new(IntCounterVec::new(Opts::new(name, help), labels)?))
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn durations(&self, name: &str, help: &str) -> prometheus::Result<Durations> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.register(Durations::new(Histogram::with_opts(options)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new().unwrap()
    }

    fn assert_line(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|held| held == line), "no {line:?} in\n{text}");
    }

    #[test]
    fn each_event_is_counted_under_its_labels() {
        let metrics = metrics();
        for _ in 0..3 {
            metrics.request("index", "anonymous", 200, Duration::from_micros(70));
        }
        metrics.request("index", "anonymous", 404, Duration::from_secs(2));
        metrics.cache_lookup("index", "hit");
        metrics.upstream_request("public", "index", "503", Duration::from_millis(3));
        metrics.upstream_request("public", "index", "unreachable", Duration::from_millis(3));
        metrics.integrity_failure("read");
        metrics.rate_limited("ci");
        for line in [
            r#"scriptorium_requests_total{class="anonymous",route="index",status="200"} 3"#,
            r#"scriptorium_requests_total{class="anonymous",route="index",status="404"} 1"#,
            r#"scriptorium_request_duration_seconds_bucket{le="0.00005"} 0"#,
            r#"scriptorium_request_duration_seconds_bucket{le="0.0001"} 3"#,
            r#"scriptorium_request_duration_seconds_count 4"#,
            r#"scriptorium_cache_lookups_total{outcome="hit",resource="index"} 1"#,
            r#"scriptorium_upstream_requests_total{resource="index",status="503",upstream="public"} 1"#,
            r#"scriptorium_upstream_requests_total{resource="index",status="unreachable",upstream="public"} 1"#,
            r#"scriptorium_upstream_request_duration_seconds_count 2"#,
            r#"scriptorium_integrity_failures_total{stage="read"} 1"#,
            r#"scriptorium_rate_limited_total{class="ci"} 1"#,
        ] {
            assert_line(&metrics, line);
        }
    }

    #[test]
    fn a_gauge_shows_its_latest_value() {
        let metrics = metrics();
        metrics.divergences_open(2);
        metrics.divergences_open(1);
        metrics.store.used(1 << 40, 1 << 41);
        metrics.upstream_up("public", true);
        metrics.upstream_up("public", false);
        metrics.upstream_state("public", &["closed", "open"], "closed");
        metrics.upstream_state("public", &["closed", "open"], "open");
        metrics.upstream_budget_left("public", 5);
        assert_line(&metrics, r#"scriptorium_upstream_state{state="closed",upstream="public"} 0"#);
        assert_line(&metrics, r#"scriptorium_upstream_state{state="open",upstream="public"} 1"#);
        assert_line(&metrics, r#"scriptorium_upstream_budget_left{upstream="public"} 5"#);
        assert_line(&metrics, "scriptorium_divergences_open 1");
        assert_line(&metrics, "scriptorium_store_bytes 1099511627776");
        assert_line(&metrics, r#"scriptorium_upstream_up{upstream="public"} 0"#);
    }

    #[test]
    fn what_threads_count_is_summed_once() {
        let metrics = metrics();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for micros in 0..1000 {
                        metrics.request("index", "ci", 200, Duration::from_micros(micros));
                        metrics.cache_lookup("index", "hit");
                        if micros % 100 == 0 {
                            metrics.render();
                        }
                    }
                });
            }
        });
        for _ in 0..2 {
            for line in [
                r#"scriptorium_requests_total{class="ci",route="index",status="200"} 4000"#,
                r#"scriptorium_cache_lookups_total{outcome="hit",resource="index"} 4000"#,
                r#"scriptorium_request_duration_seconds_bucket{le="0.00025"} 1004"#,
                r#"scriptorium_request_duration_seconds_count 4000"#,
            ] {
                assert_line(&metrics, line);
            }
        }
    }

    #[test]
    fn every_combination_of_labels_is_counted() {
        let metrics = metrics();
        for status in 0..2000 {
            metrics.request("index", "ci", status, Duration::ZERO);
            metrics.request("index", "ci", status, Duration::ZERO);
        }
        let text = metrics.render();
        let counted = text.lines().filter(|line| line.starts_with("scriptorium_requests_total{"));
        assert_eq!(counted.filter(|line| line.ends_with(" 2")).count(), 2000);
    }
}
