//! The admin port, the metrics and the logs: what an operator sees, and what nobody may.

use serde_json::Value;

use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

/// A proxy that has seen a miss, a hit, a refusal, a failure and a hostile archive.
fn busy() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let (good, bad) = (Release::new("secret-lamp", "1.0.0"), Release::new("secret-saw", "1.0.0"));
    upstream.publish(&good);
    upstream.publish(&bad);
    upstream.reply(&bad.source(), Reply::archive(bad.clone().adding(Entry::file("x", "x")).archive()));
    upstream.reply("/api/v1/capabilities", Reply::failure(500));
    let proxy = Setup::before(&upstream).start();
    for target in [good.index(), good.index(), good.download(), bad.download()] {
        proxy.client().send(
            "GET",
            &target,
            &[("x-request-id", "joined-up-7"), ("authorization", "Bearer clients-secret")],
        );
    }
    proxy.client().get("/api/v1/capabilities").could_not_ask();
    proxy.client().get("/api/v1/index/volumes/unheard-of").problem(404, "not-found");
    (upstream, proxy)
}

#[test]
fn health_is_told_on_the_admin_port_alone() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    for target in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(proxy.admin().get(target).status, 200, "{target}");
        proxy.client().get(target).problem(404, "not-found");
    }
    assert_eq!(proxy.admin().get("/api/v1/capabilities").status, 404, "the admin port is not a registry");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_upstream_that_is_gone_does_not_fail_readiness() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    upstream.down();
    proxy.client().get("/api/v1/index/volumes/lamp").could_not_ask();
    assert_eq!(proxy.admin().get("/readyz").status, 200);
    assert_eq!(proxy.admin().get("/livez").status, 200);
}

#[test]
fn the_promised_metrics_are_there() {
    let (_upstream, proxy) = busy();
    let metrics = proxy.admin().get("/metrics").ok();
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    let promised = [
        ("scriptorium_requests_total", &["route", "class", "status"][..]),
        ("scriptorium_cache_lookups_total", &["resource", "outcome"]),
        ("scriptorium_upstream_requests_total", &["upstream", "resource", "status"]),
        ("scriptorium_request_duration_seconds_count", &[]),
        ("scriptorium_upstream_request_duration_seconds_count", &[]),
        ("scriptorium_integrity_failures_total", &["stage"]),
        ("scriptorium_divergences_open", &[]),
        ("scriptorium_store_bytes", &[]),
        ("scriptorium_upstream_up", &["upstream"]),
        ("process_resident_memory_bytes", &[]),
        ("process_open_fds", &[]),
        ("process_threads", &[]),
    ];
    let text = metrics.text();
    for (name, labels) in promised {
        let sample = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        for label in labels {
            assert!(sample.contains(&format!("{label}=\"")), "no {label} in {sample}");
        }
    }
}

#[test]
fn metrics_count() {
    let (_upstream, proxy) = busy();
    let text = proxy.admin().get("/metrics").text();
    let total = |name: &str| -> f64 {
        let samples =
            text.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{'));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert!(total("scriptorium_requests_total") >= 6.0);
    assert!(total("scriptorium_upstream_requests_total") >= 6.0);
    assert_eq!(total("scriptorium_integrity_failures_total"), 1.0);
}

#[test]
fn labels_name_no_volume_and_no_token() {
    let (_upstream, proxy) = busy();
    for path in ["/a-made-up-path", "/api/v1/index/volumes/another-made-up-name"] {
        proxy.client().send("MADEUP", path, &[]);
    }
    let metrics = proxy.admin().get("/metrics").text();
    for forbidden in ["secret", "unheard-of", "made-up", "MADEUP", "joined-up", "1.0.0"] {
        assert!(!metrics.contains(forbidden), "{forbidden} in\n{metrics}");
    }
}

#[test]
fn the_state_of_an_upstream_is_told() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    proxy.client().get("/api/v1/index/volumes/lamp");
    assert!(proxy.admin().get("/metrics").text().contains("scriptorium_upstream_up{upstream=\"public\"} 1"));
    upstream.down();
    let mut volume = 0;
    eventually("an upstream that is down", || {
        volume += 1;
        proxy.client().get(&format!("/api/v1/index/volumes/lamp-{volume}"));
        proxy
            .admin()
            .get("/metrics")
            .text()
            .contains("scriptorium_upstream_up{upstream=\"public\"} 0")
            .then_some(())
    });
}

/// Whether `key: value` stands anywhere in a JSON document.
fn has(document: &Value, key: &str, value: &str) -> bool {
    match document {
        Value::Object(members) => {
            members.iter().any(|(name, inner)| (name == key && inner == value) || has(inner, key, value))
        }
        Value::Array(items) => items.iter().any(|inner| has(inner, key, value)),
        _ => false,
    }
}

#[test]
fn logs_are_json_joined_by_request_id_and_free_of_tokens() {
    let (_upstream, mut proxy) = busy();
    let joined = eventually("access and exchange records", || {
        let log = proxy.log();
        let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
        let records: Vec<Value> = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect();
        let joined: Vec<_> =
            records.into_iter().filter(|record| has(record, "request_id", "joined-up-7")).collect();
        (joined.len() >= 8).then_some(joined)
    });
    assert!(
        joined.iter().any(|record| has(record, "upstream", "public")),
        "no upstream exchange in {joined:?}"
    );
    assert!(!proxy.whole_log().contains("clients-secret"));
}

#[test]
fn a_refused_archive_is_logged_with_its_reason() {
    let (_upstream, proxy) = busy();
    eventually("a record of the mismatch", || {
        let log = proxy.log();
        log.lines()
            .find(|line| line.contains("secret-saw") && line.contains("public") && line.contains("sha256:"))
            .map(drop)
    });
}

#[test]
fn text_logs_are_text() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("log.format", "text").start();
    proxy.client().get_with(&release.index(), "x-request-id", "in-plain-text").ok();
    let line = eventually("an access record", || {
        proxy.log().lines().find(|line| line.contains("in-plain-text")).map(str::to_owned)
    });
    assert!(!line.starts_with('{') && !line.contains('\u{1b}'), "{line}");
}
