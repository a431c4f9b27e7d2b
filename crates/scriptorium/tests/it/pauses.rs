//! A registry that asks to be left alone: about search, or about what is installed, and until when.

use serde_json::json;

use crate::support::{Proxy, Release, Reply, Setup, Upstream};

const SEARCH: &str = "/api/v1/search";

fn too_often() -> Reply {
    Reply::problem(429, "rate-limited", "Rate limited", "Slow down.").with("retry-after", "3000")
}

fn found() -> Reply {
    Reply::json(&json!({ "items": [], "total": 0, "limit": 20, "offset": 0 }))
}

fn published() -> (Upstream, Release, Proxy) {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    upstream.reply(SEARCH, found());
    let proxy = Setup::before(&upstream).start();
    (upstream, release, proxy)
}

/// Asserts that a cold question is answered without asking.
fn assert_paused(proxy: &Proxy, upstream: &Upstream, target: &str) {
    let before = upstream.seen().len();
    let refused = proxy.client().get(target);
    refused.problem(503, "about:blank");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((2900..=3000).contains(&wait), "{wait}");
    assert_eq!(upstream.seen().len(), before, "{target} was asked for");
}

fn paused(proxy: &Proxy) -> Vec<String> {
    let status = proxy.admin().get("/admin/v1/status").ok().json();
    let paused = status["upstreams"][0]["paused_seconds"].as_object().unwrap_or_else(|| panic!("{status}"));
    paused.keys().cloned().collect()
}

fn resume(proxy: &Proxy, body: Option<&str>) {
    let answer = match body {
        None => proxy.admin().post("/admin/v1/upstreams/public/resume", ""),
        Some(body) => proxy.admin().post("/admin/v1/invalidate", body),
    };
    answer.ok();
}

#[test]
fn a_pause_of_search_leaves_what_is_installed_alone() {
    let (upstream, release, proxy) = published();
    upstream.reply(SEARCH, too_often());
    proxy.client().get(&format!("{SEARCH}?q=a")).could_not_ask();
    assert_paused(&proxy, &upstream, &format!("{SEARCH}?q=b"));
    assert_eq!(paused(&proxy), ["search"]);
    for target in [release.index(), release.exact(), release.download()] {
        proxy.client().get(&target).ok();
    }
}

#[test]
fn a_pause_of_documents_leaves_search_alone() {
    let (upstream, release, proxy) = published();
    upstream.reply("/api/v1/index/volumes/saw", too_often());
    proxy.client().get("/api/v1/index/volumes/saw").could_not_ask();
    assert_paused(&proxy, &upstream, &release.index());
    assert_paused(&proxy, &upstream, &release.download());
    assert_paused(&proxy, &upstream, "/api/v1/advisories");
    assert_eq!(paused(&proxy), ["documents"]);
    proxy.client().get(&format!("{SEARCH}?q=b")).ok();
}

#[test]
fn a_pause_that_an_archive_asks_for_is_one_of_documents() {
    let (upstream, release, proxy) = published();
    upstream.reply(&release.source(), too_often());
    proxy.client().get(&release.download()).could_not_ask();
    assert_paused(&proxy, &upstream, "/api/v1/index/volumes/saw");
    proxy.client().get(&format!("{SEARCH}?q=b")).ok();
}

#[test]
fn an_operator_ends_a_pause() {
    for invalidate in [None, Some(r#"{"volume":"lamp"}"#), Some(r#"{"pattern":"*"}"#)] {
        let (upstream, release, proxy) = published();
        upstream.reply(SEARCH, too_often());
        upstream.reply(&release.index(), too_often());
        for target in [SEARCH.to_owned(), release.index()] {
            proxy.client().get(&target).could_not_ask();
        }
        assert_eq!(paused(&proxy), ["search", "documents"]);
        upstream.reply(SEARCH, found());
        upstream.publish(&release);
        resume(&proxy, invalidate);
        assert_eq!(paused(&proxy), Vec::<String>::new());
        for target in [SEARCH.to_owned(), release.index()] {
            proxy.client().get(&target).ok();
        }
    }
}

#[test]
fn an_operator_lets_a_registry_that_failed_be_asked_at_once() {
    let (upstream, release, proxy) = published();
    upstream.down();
    for number in 0..5 {
        proxy.client().get(&format!("/api/v1/index/volumes/saw-{number}")).could_not_ask();
    }
    upstream.up();
    resume(&proxy, None);
    proxy.client().get(&release.index()).ok();
}

#[test]
fn only_a_registry_that_exists_is_resumed_and_only_by_post() {
    let (_upstream, _release, proxy) = published();
    let place = "/admin/v1/upstreams/public/resume";
    let answer = proxy.admin().post(place, "").ok().json();
    assert_eq!(answer, json!({ "upstream": "public", "resumed": false }));
    proxy.admin().post("/admin/v1/upstreams/private/resume", "").problem(404, "not-found");
    let refused = proxy.admin().get(place);
    refused.problem(405, "about:blank");
    assert_eq!(refused.header("allow"), Some("POST"));
    proxy.client().post(place, "").problem(404, "not-found");
}
