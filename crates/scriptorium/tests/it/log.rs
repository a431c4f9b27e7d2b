//! The log: nothing is lost in good order, and a log that nobody reads keeps nobody waiting.

use serde_json::Value;

use crate::support::{Proxy, Release, Setup, Upstream, eventually};

/// Long lines that are more than a pipe and the proxy's buffers take.
const FLOOD: usize = 700;

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// A proxy that holds an index.
fn warm() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().index()).ok();
    (upstream, proxy)
}

fn flood(proxy: &Proxy) {
    let path = format!("/{}", "x".repeat(8 << 10));
    for _ in 0..FLOOD {
        assert_eq!(proxy.client().get_with(&path, "x-request-id", "flood").status, 404);
    }
}

fn logged(proxy: &Proxy, request_id: &str) -> usize {
    proxy.log().matches(&format!("\"request_id\":\"{request_id}\"")).count()
}

fn dropped(proxy: &Proxy) -> u64 {
    let metrics = proxy.admin().get("/metrics").ok().text();
    let sample = metrics.lines().find_map(|line| line.strip_prefix("scriptorium_log_lines_dropped_total "));
    sample.unwrap().parse().unwrap()
}

/// What the log says is missing.
fn missing(proxy: &Proxy) -> Option<u64> {
    let log = proxy.log();
    let mut records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.find_map(|record| record["lines"].as_u64().filter(|_| record["level"] == "WARN"))
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting_and_says_what_is_missing() {
    let (_upstream, proxy) = warm();
    assert_eq!(dropped(&proxy), 0);
    let reader = proxy.log_reader();
    let unread = reader.lock().unwrap();
    flood(&proxy);
    let hit = proxy.client().get_with(&lamp().index(), "x-request-id", "flood").ok();
    assert!(hit.header("cache-status").unwrap().starts_with("scriptorium; hit"), "{hit:?}");
    let lost = dropped(&proxy);
    assert!(lost > 0, "the buffers took all of it");
    drop(unread);
    assert_eq!(eventually("a report of what is missing", || missing(&proxy)), lost);
    let all = || (logged(&proxy, "flood") + lost as usize == FLOOD + 1).then_some(());
    eventually("all other lines", all);
    proxy.client().get_with(&lamp().index(), "x-request-id", "after").ok();
    eventually("a log that goes on", || (logged(&proxy, "after") == 1).then_some(()));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_proxy_from_ending() {
    let (_upstream, mut proxy) = warm();
    let reader = proxy.log_reader();
    let unread = reader.lock().unwrap();
    flood(&proxy);
    proxy.signal("TERM");
    assert!(proxy.exit().success());
    drop(unread);
}

#[test]
fn a_clean_stop_loses_no_line() {
    const REQUESTS: usize = 300;
    let (_upstream, mut proxy) = warm();
    for _ in 0..REQUESTS {
        proxy.client().get_with(&lamp().index(), "x-request-id", "last").ok();
    }
    let log = proxy.whole_log();
    assert_eq!(logged(&proxy, "last"), REQUESTS);
    assert!(log.contains("\"message\":\"stopped\""), "{log}");
}
