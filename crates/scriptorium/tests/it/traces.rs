//! Traces: spans reach the collector, their context comes from clients and goes on to registries, and a collector that
//! fails costs nothing but its spans.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::support::authority::{self, Authority};
use crate::support::collector::{Collector, Manner, attribute, hex};
use crate::support::{Proxy, Release, Setup, Upstream, each, eventually, free_port};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

fn sent(flags: &str) -> String {
    format!("00-{TRACE}-{SENDER}-{flags}")
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

fn registry() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    upstream
}

fn traced(upstream: &Upstream, url: &str) -> Setup {
    Setup::before(upstream).set("telemetry.otlp", url)
}

/// The spans of a trace once its request has ended.
fn whole(collector: &Collector, trace: &str) -> Vec<Span> {
    eventually("the spans of a request", || {
        let spans = collector.trace(trace);
        spans.iter().any(|span| attribute(span, "url.path").is_some()).then_some(spans)
    })
}

/// What the registry was told about the sender of each request, by path.
fn senders(upstream: &Upstream) -> BTreeMap<String, Option<String>> {
    let seen = upstream.seen().into_iter();
    seen.map(|seen| (seen.target.clone(), seen.header("traceparent").map(str::to_owned))).collect()
}

/// The records of the log about requests.
fn requests(log: &str) -> Vec<Value> {
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["target"] == "scriptorium::access").collect()
}

#[test]
fn a_cold_archive_is_one_trace_from_the_client_to_the_registry() {
    let (upstream, collector) = (registry(), Collector::start());
    let mut proxy = traced(&upstream, &collector.url()).start();
    proxy.client().get_with(&lamp().download(), "traceparent", &sent("01")).ok();
    proxy.stop();
    let spans = whole(&collector, TRACE);
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [request] = named("archive")[..] else { panic!("{spans:#?}") };
    assert_eq!(hex(&request.parent_span_id), SENDER);
    assert_eq!(attribute(request, "http.response.status_code").unwrap(), "200");
    assert!(attribute(request, "scriptorium.cache").unwrap().starts_with("scriptorium; fwd"));
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    for span in &spans {
        let mut top = span;
        while let Some(parent) = by_id.get(&top.parent_span_id) {
            top = parent;
        }
        assert_eq!(top.span_id, request.span_id, "{span:#?} does not belong to the request");
    }
    assert!(!named("verification").is_empty() && !named("storage").is_empty(), "{spans:#?}");
    let exchanges: BTreeMap<_, _> = named("exchange")
        .iter()
        .map(|span| (hex(&span.span_id), attribute(span, "resource").unwrap()))
        .collect();
    for (target, resource) in
        [(lamp().exact(), "release"), (lamp().index(), "index"), (lamp().source(), "archive")]
    {
        let sender = senders(&upstream)[&target].clone().unwrap_or_else(|| panic!("{target}: no sender"));
        let [version, trace, span, flags] = sender.split('-').collect::<Vec<_>>()[..] else {
            panic!("{sender}")
        };
        assert_eq!((version, trace, flags), ("00", TRACE, "01"));
        assert_eq!(exchanges[span], resource, "{target}");
    }
}

#[test]
fn the_log_names_the_trace() {
    let (upstream, collector) = (registry(), Collector::start());
    let mut proxy = traced(&upstream, &collector.url()).set("log.level", "debug").start();
    proxy.client().get_with(&lamp().index(), "traceparent", &sent("01")).ok();
    upstream.down();
    proxy.client().get(&Release::new("desk", "1.0.0").index());
    let log = proxy.whole_log();
    let [lamp, desk] = &requests(&log)[..] else { panic!("{log}") };
    assert_eq!(lamp["trace_id"], TRACE);
    let own = desk["trace_id"].as_str().unwrap();
    assert!(own.len() == 32 && own != TRACE);
    // The failed exchange is told of within the trace of its request.
    let about = |line: &&str| line.contains("\"level\":\"WARN\"") && line.contains(own);
    assert!(log.lines().any(|line| about(&line)), "{log}");
}

#[test]
fn a_trusted_senders_decision_counts_and_then_the_share() {
    for (share, trusted, flags, comes) in [
        (0.0, true, "01", true),
        (0.0, false, "01", false),
        (1.0, false, "01", true),
        (1.0, true, "00", false),
        (1.0, false, "00", false),
    ] {
        let (upstream, collector) = (registry(), Collector::start());
        let networks = if trusted { vec!["127.0.0.0/8"] } else { Vec::new() };
        let setup = traced(&upstream, &collector.url()).set("server.trusted_proxies", networks);
        let mut proxy = setup.set("telemetry.sample", share).start();
        proxy.client().get(&lamp().index()).ok();
        proxy.client().get_with(&lamp().exact(), "traceparent", &sent(flags)).ok();
        proxy.stop();
        assert_eq!(!collector.trace(TRACE).is_empty(), comes, "{share} {trusted} {flags}");
        let others = collector.spans().iter().filter(|span| hex(&span.trace_id) != TRACE).count();
        assert_eq!(others > 0, share > 0.0);
        // Whoever comes next obeys the same decision, in the same trace.
        let senders = senders(&upstream);
        let next = senders[&lamp().exact()].as_ref().unwrap();
        assert!(next.contains(TRACE) && next.ends_with(if comes { "-01" } else { "-00" }), "{senders:?}");
        let own = if share > 0.0 { "-01" } else { "-00" };
        assert!(senders[&lamp().index()].as_ref().unwrap().ends_with(own), "{senders:?}");
    }
}

#[test]
fn a_collector_behind_tls_is_verified() {
    let Some(authority) = Authority::new() else { return eprintln!("skipped: no openssl here") };
    let (upstream, collector) = (registry(), Collector::start());
    let identity = authority.issue("collector", "DNS:localhost");
    let door = authority::door_to_http2(&identity, collector.address);
    let url = format!("https://localhost:{}", door.port());
    for known in [false, true] {
        let mut setup = traced(&upstream, &url).set("log.level", "warn");
        if known {
            setup = setup.set("telemetry.ca_file", authority.certificate());
        }
        let mut proxy = setup.start();
        proxy.client().get_with(&lamp().index(), "traceparent", &sent("01")).ok();
        let outcome = if known { "sent" } else { "lost" };
        eventually(outcome, || (counted(&proxy, outcome) > 0).then_some(()));
        assert_eq!(!collector.trace(TRACE).is_empty(), known);
        let log = proxy.whole_log();
        assert_eq!(log.contains("the collector takes no spans"), !known, "{log}");
        assert!(known || log.contains("UnknownIssuer"), "the log says why: {log}");
    }
}

#[test]
fn of_the_librarys_variables_the_headers_count_alone() {
    let (upstream, collector) = (registry(), Collector::start());
    let mut setup = traced(&upstream, &collector.url());
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SERVICE_NAME", "another"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ] {
        setup = setup.env(name, value);
    }
    let mut proxy = setup.set("log.level", "debug").start();
    proxy.client().get_with(&lamp().index(), "traceparent", &sent("01")).ok();
    let log = proxy.whole_log();
    let spans = whole(&collector, TRACE);
    assert!(spans.iter().any(|span| attribute(span, "http.response.status_code").is_some()), "{spans:#?}");
    assert_eq!(collector.credentials().first().map(String::as_str), Some("Bearer hunter2"));
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_sender_that_is_not_in_form_is_none() {
    let (upstream, collector) = (registry(), Collector::start());
    let proxy = traced(&upstream, &collector.url()).start();
    let long = format!("{}-{}", sent("01"), "x".repeat(9000));
    for (number, field) in
        [&*sent("01").to_uppercase(), &long, "00-0-0-01", "../../etc", ""].iter().enumerate()
    {
        let name = Release::new(&format!("n{number}"), "1.0.0");
        assert_eq!(proxy.client().get_with(&name.index(), "traceparent", field).status, 404);
        let sender = senders(&upstream)[&name.index()].clone().unwrap();
        assert!(sender.len() == 55 && !sender.contains(TRACE), "{field}: {sender}");
    }
}

#[test]
fn without_a_collector_nothing_is_traced() {
    let upstream = registry();
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get_with(&lamp().download(), "traceparent", &sent("01")).ok();
    assert!(!proxy.admin().get("/metrics").ok().text().contains("spans_total"));
    assert!(senders(&upstream).values().all(Option::is_none));
    assert!(!proxy.whole_log().contains("trace_id"));
}

fn counted(proxy: &Proxy, outcome: &str) -> u64 {
    let metrics = proxy.admin().get("/metrics").ok().text();
    let name = format!("scriptorium_spans_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&*name)).map_or(0, |count| count.parse().unwrap())
}

/// Longer than what a span keeps of a path.
const LONG: usize = 30 << 10;

/// Requests, each of which has a span, and spans that may wait.
const FLOOD: u64 = 3000;
const MOST: u64 = 2048;

#[test]
fn a_collector_that_fails_costs_its_spans_and_nothing_else() {
    each([None, Some(Manner::Silent), Some(Manner::Refuses), Some(Manner::Babbles)], |manner| {
        let (upstream, collector) = (registry(), manner.map(Collector::start_as));
        let url =
            collector.as_ref().map_or_else(|| format!("http://127.0.0.1:{}", free_port()), Collector::url);
        let mut proxy = traced(&upstream, &url).set("log.level", "warn").start();
        proxy.client().get(&lamp().download()).ok();
        let before = proxy.memory();
        let path = format!("/{}", "x".repeat(LONG));
        for _ in 0..FLOOD {
            assert_eq!(proxy.client().get(&path).status, 404);
        }
        let gone = counted(&proxy, "dropped") + counted(&proxy, "lost");
        assert!(gone >= FLOOD - MOST, "more spans wait than may: {gone} are gone");
        let more = proxy.memory().saturating_sub(before);
        assert!(more < 32 << 20, "{more} bytes for spans that wait");
        let hit = proxy.client().get(&lamp().download()).ok();
        assert!(hit.cache().starts_with("scriptorium; hit"), "{hit:?}");
        eventually("a batch that is lost", || (counted(&proxy, "lost") > 0).then_some(()));
        assert_eq!(counted(&proxy, "sent"), 0);
        let log = proxy.whole_log();
        assert_eq!(log.matches("the collector takes no spans").count(), 1, "{log}");
        assert!(log.len() < 8 << 10, "{log}");
    });
}
