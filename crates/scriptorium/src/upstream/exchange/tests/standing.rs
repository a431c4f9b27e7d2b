//! How a spent budget and a registry's own wish keep it from being asked.

use std::sync::Arc;

use super::super::super::GateState;
use super::*;

fn budget(requests: u32) -> impl Fn(&mut crate::config::Upstream) {
    move |config| config.requests_per_minute = requests
}

#[tokio::test]
async fn every_request_is_taken_out_of_the_budget() {
    let registry = Registry::of([
        Step::Fail(REFUSED),
        ok(),
        answer(302, &[("location", "https://cdn.example/x")], ""),
        ok(),
    ]);
    let upstream = registry.upstream_with(budget(4));
    assert_eq!(registry.left(), Some(4));
    assert_eq!(ask(&upstream).await, found("{}"), "a question and a retry");
    assert_eq!(registry.left(), Some(2));
    drop(open(&upstream, "x").await.unwrap());
    assert_eq!(registry.left(), Some(0), "a download and its redirect");
    let spent = CouldNotAsk::OverBudget { for_: Duration::from_secs(60) };
    assert_eq!(ask(&upstream).await, Err(spent.clone()));
    assert_eq!(open(&upstream, "https://cdn.example/x").await.err(), Some(spent));
    assert_eq!(registry.asked().len(), 4);
    assert_eq!(registry.told()[2..], [("index", "budget"), ("archive", "budget")]);
    registry.clock.advance(Duration::from_secs(60));
    upstream.tell_standing();
    assert_eq!(registry.left(), Some(4));
    registry.then([ok()]);
    assert_eq!(ask(&upstream).await, found("{}"));
}

#[tokio::test]
async fn a_spent_budget_leaves_it_at_the_failure_and_says_nothing_of_the_registry() {
    let registry = Registry::of([Step::Fail(REFUSED)]);
    let upstream = registry.upstream_with(budget(1));
    assert_eq!(
        ask(&upstream).await,
        Err(CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused)),
        "no retry"
    );
    for _ in 0..30 {
        assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::OverBudget { .. })));
    }
    assert!(upstream.is_up());
    let registry = Registry::of([answer(302, &[("location", "/x")], "")]);
    let upstream = registry.upstream_with(budget(1));
    assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::OverBudget { .. })), "no redirect");
}

#[tokio::test]
async fn what_nobody_waits_for_leaves_a_fifth_to_clients() {
    let registry = Registry::of((0..5).map(|_| ok()));
    let upstream = registry.upstream_with(budget(5));
    let behind = || upstream.document(Resource::Index, INDEX, None, context().in_background(), 100);
    for _ in 0..4 {
        assert_eq!(behind().await, found("{}"));
    }
    assert!(matches!(behind().await, Err(CouldNotAsk::OverBudget { .. })));
    assert_eq!(ask(&upstream).await, found("{}"));
}

#[tokio::test]
async fn a_probe_that_the_budget_denies_is_still_to_be_made() {
    let registry = Registry::default();
    let upstream = registry.upstream_with(budget(5));
    break_it(&registry, &upstream).await;
    registry.clock.advance(Duration::from_secs(2));
    assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::OverBudget { .. })));
    registry.clock.advance(Duration::from_secs(58));
    registry.then([ok()]);
    assert_eq!(ask(&upstream).await, found("{}"));
    assert!(upstream.is_up());
    assert_eq!(
        registry.states(),
        [GateState::Closed, GateState::Open, GateState::HalfOpen, GateState::Closed]
    );
}

#[tokio::test]
async fn a_reload_forgets_no_spending() {
    let registry = Registry::of([ok(), ok()]);
    let before = registry.upstream_with(budget(2));
    assert_eq!(ask(&before).await, found("{}"));
    let fresh = Arc::into_inner(registry.upstream_with(budget(2))).unwrap();
    let after = fresh.following(Some(&before));
    assert_eq!(ask(&after).await, found("{}"));
    assert!(matches!(ask(&before).await, Err(CouldNotAsk::OverBudget { .. })), "they share what there is");
}

#[tokio::test]
async fn after_503_with_a_wait_nobody_asks_and_no_retry_is_made() {
    for wait in ["7", "Thu, 01 Jan 1970 00:00:07 GMT"] {
        let headers: &'static [(&str, &str)] = vec![("retry-after", wait)].leak();
        let registry = Registry::of([answer(503, headers, "")]);
        let upstream = registry.upstream();
        assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::Throttled { .. })));
        registry.clock.advance(Duration::from_millis(6999));
        assert_eq!(ask(&upstream).await, Err(CouldNotAsk::Paused { for_: Duration::from_millis(1) }));
        assert_eq!(registry.asked().len(), 1);
        assert_eq!(registry.states(), [GateState::Closed, GateState::Held]);
        registry.clock.advance(Duration::from_millis(1));
        registry.then([ok()]);
        assert_eq!(ask(&upstream).await, found("{}"));
        assert_eq!(registry.states().last(), Some(&GateState::Closed));
    }
}

#[tokio::test]
async fn a_redirect_back_to_a_registry_that_asked_for_quiet_is_not_followed() {
    let registry = Registry::of([answer(429, &[("retry-after", "7")], "")]);
    let upstream = registry.upstream();
    assert!(ask(&upstream).await.is_err());
    registry.then([answer(302, &[("location", "https://registry.example/x")], "")]);
    let back = open(&upstream, "https://cdn.example/x").await.err();
    assert_eq!(back, Some(CouldNotAsk::Paused { for_: Duration::from_secs(7) }));
    assert_eq!(registry.asked().len(), 2);
}

#[tokio::test]
async fn a_read_that_gets_nothing_on_a_used_connection_is_sent_once_more_and_blames_nobody() {
    let stale = || Step::Fail(TransportError::Stale { late: true });
    let registry = Registry::default();
    let upstream = registry.upstream_with(|config| {
        config.retries = 0;
        config.requests_per_minute = 100;
    });
    for _ in 0..10 {
        registry.then([stale(), ok()]);
        assert_eq!(ask(&upstream).await, found("{}"));
    }
    assert_eq!((registry.asked().len(), registry.left()), (20, Some(80)), "each of them is counted");
    assert_eq!(registry.ups(), [true]);
    registry.then([stale(), stale()]);
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::TimedOut));
}
