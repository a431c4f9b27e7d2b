//! What every engine keeps, as functions over the trait.
//!
//! Owns the contract. Must not know which engine it is held to.

use std::time::Duration;

use cluster::{Engine, LeaseCall, LeaseReply, PoolCall, PoolGrant, PoolRules, ShareDebt, StreamEvent};

/// Lets time pass for an engine whose clock is the test's own.
pub(crate) trait Turn: Send + Sync {
    fn turn(&self, time: Duration);
}

/// Waits for something that the engine's clock brings about.
pub(crate) async fn eventually(clock: &impl Turn, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        clock.turn(Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `actual` is `expected`, less what was refilled since.
fn about(actual: Duration, expected: Duration) {
    assert!(actual <= expected && actual + seconds(20) > expected, "{actual:?}, expected {expected:?}");
}

pub(crate) async fn buckets_are_charged(engine: &impl Engine, _: &impl Turn) {
    let debt = |spent| ShareDebt { full: seconds(600), spent: seconds(spent), believed: Duration::ZERO };
    let debts = [("a".to_owned(), debt(60)), ("b".to_owned(), debt(120))];
    let missing = engine.settle(&debts).await.unwrap();
    about(missing[0], seconds(60));
    about(missing[1], seconds(120));
    about(engine.settle(&debts).await.unwrap()[1], seconds(240));
    let debts: Vec<(String, ShareDebt)> = (0..1_200).map(|n| (format!("many-{n}"), debt(60))).collect();
    assert_eq!(engine.settle(&debts).await.unwrap().len(), 1_200);
    assert!(engine.settle(&[]).await.unwrap().is_empty());
    let believed = ShareDebt { believed: seconds(300), ..debt(60) };
    let missing = engine.settle(&[("new".into(), believed), ("new".into(), believed)]).await.unwrap();
    about(missing[0], seconds(360));
    about(missing[1], seconds(420));
}

pub(crate) fn call(node: &str, turn: u64) -> PoolCall {
    PoolCall {
        pool: "registry".into(),
        rules: PoolRules { limit: 30, nodes: 3, term_ms: 70_000 },
        node: node.into(),
        turn,
        expected_ms: None,
        claim: 0,
        want: 0,
        young: false,
        void: false,
        frees_ms: None,
    }
}

async fn timed(engine: &impl Engine, call: PoolCall) -> Option<PoolGrant> {
    let now_ms = engine.adjust(std::slice::from_ref(&call)).await.unwrap()[0].now_ms;
    let call = PoolCall { expected_ms: Some(now_ms), ..call };
    engine.adjust(&[call]).await.unwrap().remove(0).grant
}

pub(crate) async fn a_pool_lends(engine: &impl Engine, _: &impl Turn) {
    let first = timed(engine, PoolCall { claim: 10, want: 20, ..call("a", 1) }).await.unwrap();
    assert_eq!((first.held, first.room, first.expires_ms), (10, None, None), "it knows nobody else");
    timed(engine, PoolCall { claim: 10, want: 10, ..call("b", 1) }).await.unwrap();
    let third = timed(engine, PoolCall { claim: 2, want: 2, ..call("c", 1) }).await.unwrap();
    assert_eq!((third.held, third.room, third.wanted), (2, Some(10), true));
    let more = timed(engine, PoolCall { claim: 10, want: 30, ..call("a", 2) }).await.unwrap();
    assert_eq!((more.held, more.room), (18, Some(18)));
    assert!(more.expires_ms.is_some_and(|expires| expires <= 70_000));
    assert_eq!(more.memory, third.memory);
    let young = timed(engine, PoolCall { want: 5, young: true, ..call("d", 1) }).await.unwrap();
    assert_eq!(young.held, 0);
    let void = timed(engine, PoolCall { claim: 18, want: 18, void: true, ..call("a", 3) }).await.unwrap();
    assert_ne!(void.memory, more.memory);
    assert_eq!((void.held, void.expires_ms), (18, None));
}

pub(crate) async fn a_late_call_has_no_effect(engine: &impl Engine, _: &impl Turn) {
    let now_ms = engine.adjust(&[call("a", 1)]).await.unwrap()[0].now_ms;
    for expected in [0, now_ms - 60_000, now_ms + 60_000] {
        let late = PoolCall { expected_ms: Some(expected), claim: 7, ..call("a", 2) };
        assert_eq!(engine.adjust(&[late]).await.unwrap()[0].grant, None);
    }
    assert!(timed(engine, PoolCall { claim: 7, want: 7, ..call("a", 2) }).await.is_some());
    assert_eq!(timed(engine, PoolCall { claim: 1, ..call("a", 2) }).await, None, "the turn is over");
    assert_eq!(timed(engine, PoolCall { claim: 1, ..call("a", 1) }).await, None);
}

fn lease(node: &str, fence: Option<u64>, millis: u64) -> LeaseCall {
    LeaseCall { key: "key".into(), node: node.into(), fence, lease: Duration::from_millis(millis) }
}

pub(crate) async fn a_lease_is_one_nodes(engine: &impl Engine, _: &impl Turn) {
    let LeaseReply::Held { fence } = engine.lease(&lease("a", None, 60_000)).await.unwrap() else { panic!() };
    let busy = engine.lease(&lease("b", None, 60_000)).await.unwrap();
    let LeaseReply::Busy { left, fence: held } = busy else { panic!() };
    assert_eq!(held, fence, "who waits learns for whom");
    about(left, seconds(60));
    let renewed = engine.lease(&lease("a", Some(fence), 60_000)).await.unwrap();
    assert_eq!(renewed, LeaseReply::Held { fence });
    let stolen = engine.lease(&lease("b", Some(fence), 60_000)).await.unwrap();
    assert!(matches!(stolen, LeaseReply::Busy { .. }));
    engine.release("key", fence + 1).await.unwrap();
    assert!(matches!(engine.lease(&lease("b", None, 60_000)).await.unwrap(), LeaseReply::Busy { .. }));
    engine.release("key", fence).await.unwrap();
    let renewed = engine.lease(&lease("a", Some(fence), 60_000)).await.unwrap();
    assert!(matches!(renewed, LeaseReply::Busy { .. }), "what was given back is not renewed");
    let LeaseReply::Held { fence: next } = engine.lease(&lease("b", None, 60_000)).await.unwrap() else {
        panic!()
    };
    assert!(next > fence);
}

pub(crate) async fn a_lease_runs_out(engine: &impl Engine, clock: &impl Turn) {
    let LeaseReply::Held { fence } = engine.lease(&lease("a", None, 50)).await.unwrap() else { panic!() };
    let mut next = None;
    eventually(clock, async || {
        let LeaseReply::Held { fence } = engine.lease(&lease("b", None, 60_000)).await.unwrap() else {
            return false;
        };
        next = Some(fence);
        true
    })
    .await;
    assert!(next.unwrap() > fence);
}

pub(crate) async fn events_are_read_in_order(engine: &impl Engine, _: &impl Turn) {
    let event =
        |n: u32| StreamEvent { kind: "invalidate".into(), subject: n.to_string(), detail: "é".into() };
    engine.announce(&[event(0)]).await.unwrap();
    let start = engine.read(None, 10).await.unwrap();
    assert!(start.events.is_empty() && start.first.is_none() && !start.more);
    engine.announce(&[event(1), event(2), event(3)]).await.unwrap();
    let page = engine.read(Some(&start.place), 2).await.unwrap();
    assert_eq!(
        (page.events, page.first, page.more),
        (vec![event(1), event(2)], Some(start.place.number + 1), true)
    );
    let page = engine.read(Some(&page.place), 2).await.unwrap();
    assert_eq!((page.events, page.more), (vec![event(3)], false));
    let last = engine.read(Some(&page.place), 2).await.unwrap();
    assert_eq!((last.place, last.first), (page.place, None));
}

pub(crate) async fn what_is_shared_ends(engine: &impl Engine, clock: &impl Turn) {
    engine.share("breaker", "open", seconds(60)).await.unwrap();
    engine.share("breaker", "half", Duration::from_millis(50)).await.unwrap();
    engine.share("pause", "short", Duration::from_millis(50)).await.unwrap();
    let keys = ["breaker".to_owned(), "pause".to_owned(), "none".to_owned()];
    let shared = engine.shared(&keys).await.unwrap();
    let breaker = shared[0].clone().unwrap();
    assert_eq!(breaker.value, "open", "what lasts longer stays");
    about(breaker.left, seconds(60));
    assert!(shared[2].is_none());
    eventually(clock, async || engine.shared(&keys).await.unwrap()[1].is_none()).await;
    engine.unshare("breaker").await.unwrap();
    assert_eq!(engine.shared(&keys).await.unwrap(), [None, None, None]);
    engine.share("breaker", "open", seconds(60)).await.unwrap();
}

pub(crate) async fn nodes_are_counted(engine: &impl Engine, _: &impl Turn) {
    assert_eq!(engine.beat("a").await.unwrap().nodes, 1);
    assert_eq!(engine.beat("b").await.unwrap().nodes, 2);
    assert_eq!(engine.beat("a").await.unwrap().nodes, 2);
}
