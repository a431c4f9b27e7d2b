//! Requests that are relayed unchecked.

use super::*;
use crate::relay::BodyError;
use crate::upstream::testing::answer;
use crate::upstream::{CouldNotAsk, TransportError};

#[tokio::test]
async fn every_route_is_relayed_with_its_query_its_fields_and_its_body() {
    let headers: &[_] = &[
        ("content-type", "application/json"),
        ("x-nullspace-trace", "t"),
        ("set-cookie", "a=b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    let desk = Desk::new([answer(418, headers, "{\"a\":1}")]);
    let mut ask = Ask::new("PATCH", "/v1/templates/a%20b")
        .with("x-org", "acme")
        .with("accept-encoding", "gzip, deflate")
        .with("cookie", "a=b")
        .with("x-forwarded-for", "10.0.0.1")
        .with("connection", "close, x-mine")
        .with("x-mine", "1")
        .body([7; 2500])
        .announcing(None);
    ask.query = Some("q=%2F..&x");
    let answer = desk.answer(&ask).await.unwrap();
    assert_eq!(answer.status, 418);
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["content-type", "x-nullspace-trace"]);

    let asked = desk.registry.asked().pop().unwrap();
    assert_eq!((&*asked.method.to_string(), asked.body.len()), ("PATCH", 2500));
    assert_eq!(asked.url, "https://registry.example/base/v1/templates/a%20b?q=%2F..&x");
    let mut names: Vec<_> = asked.headers.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["accept-encoding", "authorization", "x-org", "x-request-id"]);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_breaks_off_is_reported_as_such() {
    let desk = Desk::new([]);
    let large = Ask::new("PUT", "/v1/x").announcing(Some(1 << 20));
    let limit = 1 << 18;
    let refused = desk.answer(&large).await.unwrap_err();
    assert!(matches!(refused, WriteRefusal::Body(BodyError::TooLarge { limit: most }) if most == limit));
    assert!(desk.asked().is_empty(), "the registry saw nothing of it");

    let unsaid = Ask::new("PUT", "/v1/x").body(vec![0; 1 << 19]).announcing(None);
    let refused = desk.answer(&unsaid).await.unwrap_err();
    assert!(matches!(refused, WriteRefusal::Body(BodyError::TooLarge { .. })), "{refused}");
    let short = Ask::new("PUT", "/v1/x").body("abc").announcing(Some(5));
    let refused = desk.answer(&short).await.unwrap_err();
    assert!(matches!(refused, WriteRefusal::Body(BodyError::Broken)), "{refused}");
}

#[tokio::test]
async fn an_unchecked_request_is_never_sent_twice() {
    let desk = Desk::new([Step::Fail(TransportError::Broken)]);
    let ask = Ask::new("POST", "/v1/sandboxes").with("idempotency-key", "k").body("{}");
    let refused = desk.answer(&ask).await.unwrap_err();
    assert!(matches!(refused, WriteRefusal::CouldNotAsk(CouldNotAsk::BrokenBody)), "{refused}");
    assert_eq!(desk.lines(), ["POST /v1/sandboxes"]);
}

#[tokio::test]
async fn a_path_that_leaves_the_base_is_refused() {
    let desk = Desk::new([]);
    for path in ["/v1/../../admin", "/v1/%2e%2e/x", "/v1//x", "/v1/a%2fb", "/v1/a\\b"] {
        assert!(desk.refusal(&Ask::new("GET", path)).await.starts_with("this path is not relayed"), "{path}");
    }
    assert!(desk.asked().is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_passed_on_makes_no_request_repeatable() {
    let desk = Desk::new([Step::Fail(TransportError::Broken)]);
    let ask = Ask::new("POST", "/v1/sandboxes/s/uploads").with("idempotency-key", "k");
    let ask = ask.with("connection", "idempotency-key").body("{}");
    desk.answer(&ask).await.unwrap_err();
    assert_eq!(desk.lines().len(), 1);
}

#[tokio::test]
async fn offline_nothing_is_relayed() {
    let desk = Desk::new([]);
    let documents = desk.nullspace.lock().await.services.documents.clone();
    let policy = config::Cache { offline: true, ..config::Cache::default() };
    let upstreams = RegistryClients::new(vec![]);
    let (on_divergence, max_document) = (OnDivergence::Quarantine, 1 << 12);
    documents.reload(LiveSettings { policy, on_divergence, max_document, upstreams });
    assert!(desk.refusal(&Ask::new("GET", "/v1/sandboxes")).await.contains("offline"));
    assert!(desk.asked().is_empty());
}
