//! Search and advisories: one question in several spellings is asked once, and a bad one not at all.

use serde_json::json;

use crate::support::{Answer, Proxy, Reply, Setup, Upstream};

const SEARCH: &str = "/api/v1/search";
const ADVISORIES: &str = "/api/v1/advisories";

fn started() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let found = json!({ "items": [], "total": 0, "limit": 20, "offset": 0 });
    upstream.reply(SEARCH, Reply::json(&found));
    upstream.reply(ADVISORIES, Reply::json(&json!({ "items": [] })));
    let proxy = Setup::before(&upstream).start();
    (upstream, proxy)
}

/// Asserts that a client may keep the answer, and for no longer than a minute.
fn assert_brief(answer: &Answer) {
    let control = answer.header("cache-control").unwrap();
    let age: u64 =
        control.strip_prefix("public, max-age=").unwrap_or_else(|| panic!("{control}")).parse().unwrap();
    assert!(age <= 60, "{control}");
}

fn assert_one_question(resource: &str, spellings: &[&str]) {
    let (upstream, proxy) = started();
    for (number, query) in spellings.iter().enumerate() {
        let answer = proxy.client().get(&format!("{resource}{query}")).ok();
        assert_eq!(answer.is_hit(), number > 0, "{query}: {}", answer.cache());
        assert_eq!(upstream.requests(resource), 1, "{query} was taken for another question");
    }
}

#[test]
fn equal_searches_are_one_question() {
    let spellings = [
        "?q=warm%20light&type=mcp-server&publisher=acme",
        "?publisher=acme&q=warm+light&type=mcp-server",
        "?type=mcp-server&publisher=%61cme&q=%77arm%20light",
        "?q=warm%20light&type=mcp-server&publisher=acme&limit=20",
        "?offset=0&q=warm%20light&type=mcp-server&publisher=acme&limit=20",
        "?offset=00&limit=020&q=warm%20light&type=mcp%2dserver&publisher=acme",
        "?&q=warm+light&&type=mcp-server&publisher=acme&",
    ];
    assert_one_question(SEARCH, &spellings);
    assert_one_question(SEARCH, &["", "?", "?limit=20", "?offset=0&limit=20"]);
}

#[test]
fn equal_questions_for_advisories_are_one_question() {
    let spellings = ["?volume=%40acme%2Fx", "?volume=@acme/x", "?volume=%40acme/x", "?volume=@acme%2fx"];
    assert_one_question(ADVISORIES, &spellings);
    assert_one_question(ADVISORIES, &["", "?"]);
}

#[test]
fn parameters_that_only_the_registry_knows_are_passed_on_and_asked_once() {
    let spellings = ["?license=MIT&tag=b&q=x&tag=a", "?tag=%62&tag=a&q=x&license=MIT&limit=20"];
    assert_one_question(SEARCH, &spellings);
    assert_one_question(ADVISORIES, &["?since=2026&volume=x&by=a%26b", "?by=a%26b&volume=x&since=2026"]);
    let (upstream, proxy) = started();
    proxy.client().get(&format!("{SEARCH}?tag=b&license=MIT&tag=a")).ok();
    proxy.client().get(&format!("{ADVISORIES}?since=2026&by=a%26b")).ok();
    let seen = upstream.seen();
    let asked: Vec<_> = seen.iter().map(|seen| &*seen.target).collect();
    let expected = [
        "/api/v1/search?limit=20&offset=0&license=MIT&tag=b&tag=a",
        "/api/v1/advisories?by=a%26b&since=2026",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn different_questions_are_different() {
    let (upstream, proxy) = started();
    let queries = [
        "?q=a",
        "?q=b",
        "?q=A",
        "?q=a%20b",
        "?keyword=a",
        "?q=a&limit=19",
        "?q=a&offset=20",
        "",
        "?x=1",
        "?x=2",
        "?x=1&x=2",
        "?x=2&x=1",
        "?q=a&x=1",
    ];
    for (number, query) in queries.iter().enumerate() {
        proxy.client().get(&format!("{SEARCH}{query}")).ok();
        assert_eq!(upstream.requests(SEARCH), number + 1, "{query}");
    }
    let queries = ["?volume=x", "?volume=@acme/x", "?volume=@acme/y", "", "?x=1", "?volume=x&x=1"];
    for (number, query) in queries.iter().enumerate() {
        proxy.client().get(&format!("{ADVISORIES}{query}")).ok();
        assert_eq!(upstream.requests(ADVISORIES), number + 1, "{query}");
    }
}

#[test]
fn answers_say_how_long_they_last() {
    let (_upstream, proxy) = started();
    for target in ["/api/v1/search?q=lamp", "/api/v1/search"] {
        for _ in 0..2 {
            assert_brief(&proxy.client().get(target).ok());
        }
    }
    let advisories = proxy.client().get("/api/v1/advisories?volume=@acme/x").ok();
    assert!(advisories.header("cache-control").unwrap().starts_with("public, max-age="));
}

#[test]
fn bad_questions_are_refused_here() {
    let (upstream, proxy) = started();
    let long = format!("/api/v1/search?q={}", "x".repeat(10_000));
    let many = format!("/api/v1/search?{}", vec!["x=y"; 17].join("&"));
    let targets = [
        "/api/v1/search?limit=0",
        "/api/v1/search?limit=101",
        "/api/v1/search?limit=99999999999999999999",
        "/api/v1/search?offset=-1",
        "/api/v1/search?type=gadget",
        "/api/v1/search?type=Skill",
        "/api/v1/search?q=a&limit=x",
        &long,
        "/api/v1/search?Offset=5",
        "/api/v1/search?x=%ff",
        &many,
        "/api/v1/advisories?VOLUME=x",
        "/api/v1/advisories?volume=x&volume=x",
        "/api/v1/advisories?volume=Not_A_Name",
        "/api/v1/advisories?volume=",
        "/api/v1/advisories?volume=@acme",
        "/api/v1/advisories?volume=x@1.0.0",
        "/api/v1/advisories?volume=..%2F..%2Fadmin",
    ];
    for target in targets {
        let answer = proxy.client().get(target);
        answer.problem(400, "validation-failed");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
    }
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.seen());
}
