//! How a part of a payload is asked for, and which answers are taken for it.

use std::ops::Range;

use super::super::super::GateState;
use super::*;

const RANGE: Range<u64> = 2..6;

fn part(body: &'static str) -> Step {
    answer(206, &[("content-range", "bytes 2-5/10")], body)
}

async fn open_range(upstream: &RegistryClient, locator: &str) -> Result<PartialDownload, CouldNotAsk> {
    upstream.download_range(Payload::Archive, locator, METADATA, RANGE, context()).await
}

async fn refused(upstream: &RegistryClient) -> Option<CouldNotAsk> {
    open_range(upstream, "x").await.err()
}

/// The part's announced lengths, the whole's first, and its bytes.
async fn read_part(upstream: &RegistryClient) -> (Option<u64>, Option<u64>, Vec<Result<Bytes, CouldNotAsk>>) {
    match open_range(upstream, "x").await {
        Ok(PartialDownload::Part { of, download }) => (of, download.length, download.body.collect().await),
        Ok(PartialDownload::Whole(_)) => panic!("expected a part"),
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn a_part_is_asked_for_at_every_hop_and_comes() {
    let registry =
        Registry::of([answer(302, &[("location", "https://cdn.example/x?sig=1")], ""), part("cdef")]);
    let (of, length, body) = read_part(&registry.upstream_with(with_token)).await;
    assert_eq!((of, length, body), (Some(10), Some(4), vec![Ok("cdef".into())]));
    let [home, cdn] = registry.asked().try_into().ok().unwrap();
    assert_eq!(cdn.url, "https://cdn.example/x?sig=1");
    assert!(home.headers.contains_key("authorization") && !cdn.headers.contains_key("authorization"));
    for asked in [home, cdn] {
        assert_eq!(asked.headers["range"], "bytes=2-5");
        assert_eq!(asked.headers["accept"], "application/gzip");
        assert_eq!(asked.headers["accept-encoding"], "identity");
        assert!(!asked.headers.contains_key("if-range"));
    }
    assert_eq!(registry.told(), [("archive", "206")]);
}

#[tokio::test]
async fn a_registry_need_not_know_how_long_the_whole_is() {
    let registry = Registry::of([answer(206, &[("content-range", "bytes 2-5/*")], "cdef")]);
    assert_eq!(read_part(&registry.upstream()).await, (None, Some(4), vec![Ok("cdef".into())]));
}

#[tokio::test]
async fn a_registry_may_send_all_of_it() {
    let registry = Registry::of([answer(200, &[("content-length", "10")], "abcdefghij")]);
    let Ok(PartialDownload::Whole(download)) = open_range(&registry.upstream(), "x").await else {
        panic!("expected the whole")
    };
    assert_eq!(download.length, Some(10));
    assert_eq!(download.body.collect::<Vec<_>>().await, [Ok("abcdefghij".into())]);
    assert_eq!(registry.told(), [("archive", "200")]);
}

#[tokio::test]
async fn another_part_is_refused() {
    let lies: [&'static [(&str, &str)]; 7] = [
        &[],
        &[("content-range", "bytes 0-3/10")],
        &[("content-range", "bytes 2-9/10")],
        &[("content-range", "bytes 2-5/4")],
        &[("content-range", "the middle")],
        &[("content-range", "bytes 2-5/10"), ("content-type", "multipart/byteranges; boundary=x")],
        &[("content-type", "multipart/byteranges; boundary=x")],
    ];
    for lie in lies {
        let registry = Registry::of([answer(206, lie, "cdef")]);
        let upstream = registry.upstream();
        assert_eq!(refused(&upstream).await, Some(CouldNotAsk::Unexpected(206)), "{lie:?}");
        assert_eq!(registry.asked().len(), 1, "no second try for {lie:?}");
        assert_eq!(registry.told(), [("archive", "206")]);
    }
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_refused() {
    let registry = Registry::of([part("cdef"), part("cdef")]);
    let upstream = registry.upstream();
    assert_eq!(open(&upstream, "x").await.err(), Some(CouldNotAsk::Unexpected(206)));
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::Unexpected(206)));
    assert!(registry.asked().iter().all(|asked| !asked.headers.contains_key("range")));
}

#[tokio::test]
async fn a_range_that_is_not_there_says_nothing_against_the_registry() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for status in [416, 206].into_iter().cycle().take(20) {
        registry.then([answer(status, &[("content-range", "bytes */1")], "")]);
        assert_eq!(refused(&upstream).await, Some(CouldNotAsk::Unexpected(status)));
        assert_eq!(registry.asked().len(), 1, "no second try");
    }
    assert_eq!(registry.told()[..2], [("archive", "416"), ("archive", "206")]);
    assert_eq!(registry.states(), [GateState::Closed]);
}

#[tokio::test]
async fn a_range_that_is_not_there_is_an_answer_to_a_probe() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    break_it(&registry, &upstream).await;
    registry.clock.advance(Duration::from_secs(2));
    registry.then([answer(416, &[], "")]);
    assert_eq!(refused(&upstream).await, Some(CouldNotAsk::Unexpected(416)));
    assert!(upstream.is_up());
}

#[tokio::test]
async fn a_part_has_just_the_length_that_was_asked_for() {
    let stated: &[(&str, &str)] = &[("content-range", "bytes 2-5/10"), ("content-length", "9")];
    let registry = Registry::of([
        part("cde"),
        Step::Answer(206, stated, vec![Ok("cd"), Ok("ef"), Ok("ghi")]),
        part("cdefg"),
        Step::Answer(206, stated, vec![Ok("cd"), Err(TransportError::Timeout)]),
    ]);
    let upstream = registry.upstream();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let (_, length, body) = read_part(&upstream).await;
        assert_eq!(length, Some(4), "whatever the registry says");
        bodies.push(body);
    }
    assert_eq!(bodies[0], [Ok("cde".into()), Err(CouldNotAsk::BrokenBody)]);
    assert_eq!(bodies[1], [Ok("cd".into()), Ok("ef".into()), Err(CouldNotAsk::BrokenBody)]);
    assert_eq!(bodies[2], [Err(CouldNotAsk::BrokenBody)]);
    assert_eq!(bodies[3], [Ok("cd".into()), Err(CouldNotAsk::TimedOut)]);
    let broken = ("archive", "broken");
    assert_eq!(registry.told(), [broken, broken, broken, ("archive", "timeout")]);
}

#[tokio::test]
async fn a_part_is_an_exchange_like_any_other() {
    let registry =
        Registry::of([answer(503, &[], ""), part("cdef"), answer(429, &[("retry-after", "7")], "")]);
    let upstream = registry.upstream_with(|config| config.requests_per_minute = 4);
    assert_eq!(read_part(&upstream).await.2, [Ok("cdef".into())], "tried again");
    assert_eq!(registry.left(), Some(2), "each try is taken out of the budget");
    assert_eq!(
        refused(&upstream).await,
        Some(CouldNotAsk::Throttled { retry_after: Some(Duration::from_secs(7)) })
    );
    assert_eq!(refused(&upstream).await, Some(CouldNotAsk::Paused { for_: Duration::from_secs(7) }));
    let elsewhere = open_range(&upstream, "https://evil.example/x").await.err();
    assert_eq!(
        elsewhere,
        Some(CouldNotAsk::Forbidden { host: "evil.example".to_owned(), rule: GuardRule::Host })
    );
    registry.clock.advance(Duration::from_secs(7));
    registry.then([answer(302, &[("location", "http://cdn.example/x")], "")]);
    let downgraded = CouldNotAsk::Forbidden { host: "cdn.example".to_owned(), rule: GuardRule::Downgrade };
    assert_eq!(refused(&upstream).await, Some(downgraded));
    assert!(matches!(refused(&upstream).await, Some(CouldNotAsk::OverBudget { .. })));
    assert_eq!(registry.asked().len(), 4);
}

#[tokio::test]
async fn a_part_keeps_its_slot_until_it_is_dropped() {
    let registry = Registry::of([part("cdef")]);
    let upstream = registry.upstream_with(|config| {
        config.max_concurrent = 1;
        config.read_timeout = Duration::from_millis(20);
    });
    let download = open_range(&upstream, "x").await;
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::Busy));
    drop(download);
    assert_eq!(registry.told(), [("archive", "cancelled")]);
    registry.then([ok()]);
    assert_eq!(ask(&upstream).await, found("{}"));
}

#[tokio::test]
async fn nobody_is_asked_for_nothing() {
    let registry = Registry::default();
    for range in [0..0, 7..7] {
        let nothing =
            registry.upstream().download_range(Payload::Archive, "x", METADATA, range, context()).await;
        let Ok(PartialDownload::Part { of: None, download }) = nothing else { panic!("expected no bytes") };
        assert_eq!(download.length, Some(0));
        assert!(download.body.collect::<Vec<_>>().await.is_empty());
    }
    assert!(registry.asked().is_empty() && registry.told().is_empty());
}
