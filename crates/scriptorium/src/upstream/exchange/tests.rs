//! How a registry is asked, and what its answers are taken for.

use std::time::Duration;

use futures_util::future::join;
use futures_util::{FutureExt, StreamExt};

use super::super::testing::{HOME, REFUSED, Registry, Step, answer, ok};
use super::super::{GuardRule, Payload, RegistryAnswer, RegistryClient, TransportError};
use super::*;
use crate::config::Credential;
use crate::domain::{Resource, problem::ProblemKind};

mod ranges;
mod standing;

const INDEX: &str = "/api/v1/index/volumes/x";
const METADATA: &str = "/api/v1/volumes/x/1.0.0";

fn context() -> FetchContext<'static> {
    FetchContext::foreground("id-1")
}

async fn ask(upstream: &RegistryClient) -> Result<RegistryAnswer, CouldNotAsk> {
    upstream.document(Resource::Index, INDEX, None, context(), 100).await
}

async fn open(upstream: &RegistryClient, locator: &str) -> Result<Download, CouldNotAsk> {
    upstream.download(Payload::Archive, locator, METADATA, context()).await
}

fn found(body: &'static str) -> Result<RegistryAnswer, CouldNotAsk> {
    Ok(RegistryAnswer::Found { body: body.into(), head: CachingHead::default(), share: DocumentSlot::none() })
}

fn with_token(config: &mut crate::config::Upstream) {
    config.token_env = Some(Credential { variable: "READ".to_owned(), token: "secret".into() });
}

fn urls(registry: &Registry) -> Vec<String> {
    registry.asked().into_iter().map(|asked| asked.url).collect()
}

#[tokio::test]
async fn a_document_is_asked_for_and_found() {
    let registry = Registry::of([answer(200, &[("etag", "\"v1\""), ("age", "7")], "{}")]);
    let upstream = registry.upstream_with(with_token);
    assert_eq!(upstream.origin(), HOME);
    let found = upstream.document(Resource::Index, INDEX, Some("\"v0\""), context(), 2).await;
    let head = CachingHead { etag: Some("\"v1\"".to_owned()), age: 7, ..CachingHead::default() };
    assert_eq!(found, Ok(RegistryAnswer::Found { body: "{}".into(), head, share: DocumentSlot::none() }));
    let [asked] = registry.asked().try_into().ok().unwrap();
    assert_eq!(asked.url, format!("{HOME}{INDEX}"));
    let mut sent: Vec<_> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("authorization", "Bearer secret"),
            ("if-none-match", "\"v0\""),
            ("x-request-id", "id-1"),
        ]
    );
    assert_eq!(registry.told(), [("index", "200")]);
}

#[tokio::test]
async fn current_and_refused_documents() {
    let body = r#"{"type":"https://agentvolumes.org/problems/not-found","title":"No","status":404}"#;
    let too_long: &'static str = "x".repeat(65_537).leak();
    let registry = Registry::of([answer(304, &[], ""), answer(404, &[], body), answer(404, &[], too_long)]);
    let upstream = registry.upstream();
    let current = upstream.document(Resource::Index, INDEX, Some("\"v0\""), context(), 2).await;
    assert_eq!(current, Ok(RegistryAnswer::NotModified { head: CachingHead::default() }));
    let Ok(RegistryAnswer::Refused { status: 404, problem: Some(problem), body: read }) =
        ask(&upstream).await
    else {
        panic!("expected a refusal")
    };
    assert_eq!((problem.kind, read.as_ref()), (Some(ProblemKind::NotFound), body.as_bytes()));
    assert_eq!(
        ask(&upstream).await,
        Ok(RegistryAnswer::Refused { status: 404, problem: None, body: Bytes::new() })
    );
    assert_eq!(registry.told(), [("index", "304"), ("index", "404"), ("index", "404")]);
}

#[tokio::test]
async fn a_document_over_the_limit_is_not_read() {
    let announced = Step::Answer(200, &[("content-length", "101")], vec![Err(TransportError::Timeout)]);
    let fits: &'static str = "x".repeat(100).leak();
    let long = Step::Answer(200, &[], vec![Ok(fits), Ok("x"), Err(TransportError::Timeout)]);
    let upstream = Registry::of([announced, long, answer(200, &[], fits)]).upstream();
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::TooLarge { limit: 100 }));
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::TooLarge { limit: 100 }));
    assert_eq!(ask(&upstream).await, found(fits));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let cut = || Step::Answer(200, &[], vec![Ok("{"), Err(TransportError::Broken)]);
    let registry = Registry::of([Step::Fail(REFUSED), cut(), ok()]);
    assert_eq!(ask(&registry.upstream()).await, found("{}"));
    for status in [502, 503, 504] {
        registry.then([answer(status, &[], ""), ok()]);
        assert_eq!(ask(&registry.upstream()).await, found("{}"));
    }
    assert_eq!(registry.asked().len(), 9);
    registry.then([cut(), cut(), cut()]);
    assert_eq!(ask(&registry.upstream()).await, Err(CouldNotAsk::BrokenBody));
    assert_eq!(registry.asked().len(), 3);
    let told = registry.told();
    assert_eq!((told.len(), told.last()), (5, Some(&("index", "broken"))), "an exchange is told of once");
}

#[tokio::test]
async fn nothing_else_is_tried_again() {
    let wait = Some(Duration::from_secs(7));
    for (step, why) in [
        (Step::Fail(TransportError::Timeout), CouldNotAsk::TimedOut),
        (answer(500, &[], ""), CouldNotAsk::ServerError(500)),
        (answer(401, &[], ""), CouldNotAsk::CredentialRefused),
        (answer(418, &[], ""), CouldNotAsk::Unexpected(418)),
        (answer(429, &[], ""), CouldNotAsk::Throttled { retry_after: None }),
        (answer(503, &[("retry-after", "7")], ""), CouldNotAsk::Throttled { retry_after: wait }),
    ] {
        let registry = Registry::of([step]);
        assert_eq!(ask(&registry.upstream()).await, Err(why));
        assert_eq!(registry.asked().len(), 1);
    }
}

#[tokio::test]
async fn the_credential_stays_at_home() {
    let registry = Registry::of([
        answer(302, &[("location", "/moved")], ""),
        answer(307, &[("location", "https://cdn.example/x.tar.gz?sig=1")], ""),
        answer(301, &[("location", "https://registry.example/back")], ""),
        answer(200, &[("content-length", "2")], "{}"),
    ]);
    let upstream = registry.upstream_with(with_token);
    assert_eq!(open(&upstream, "../../../../archives/x.tar.gz").await.unwrap().length, Some(2));
    let asked = registry.asked();
    let trail: Vec<_> =
        asked.iter().map(|asked| (asked.url.as_str(), asked.headers.contains_key("authorization"))).collect();
    assert_eq!(
        trail,
        [
            ("https://registry.example/base/archives/x.tar.gz", true),
            ("https://registry.example/moved", true),
            ("https://cdn.example/x.tar.gz?sig=1", false),
            ("https://registry.example/back", true),
        ]
    );
    assert!(asked.iter().all(|asked| asked.headers["accept"] == "application/gzip"));
    assert!(asked.iter().all(|asked| asked.headers["x-request-id"] == "id-1"));
}

#[tokio::test]
async fn the_guard_stands_before_every_hop() {
    for (location, rule) in [
        ("https://evil.example/x", GuardRule::Host),
        ("http://169.254.169.254/latest", GuardRule::Host),
        ("http://cdn.example/x", GuardRule::Downgrade),
        ("https://u:p@cdn.example/x", GuardRule::UserInfo),
        ("ftp://cdn.example/x", GuardRule::Scheme),
    ] {
        let registry = Registry::of([answer(302, &[], ""), ok()]);
        let refused = open(&registry.upstream(), location).await.err();
        let registry_asked = registry.asked();
        let redirecting: &'static [(&str, &str)] = vec![("location", location)].leak();
        let registry = Registry::of([answer(302, redirecting, "")]);
        let host = location.parse::<Url>().unwrap().host_str().unwrap().to_owned();
        assert_eq!(ask(&registry.upstream()).await, Err(CouldNotAsk::Forbidden { host: host.clone(), rule }));
        assert_eq!(registry.asked().len(), 1);
        if rule != GuardRule::Downgrade {
            assert_eq!(refused, Some(CouldNotAsk::Forbidden { host, rule }));
            assert!(registry_asked.is_empty());
        }
    }
}

#[tokio::test]
async fn five_redirects_and_no_more() {
    let hop = || answer(302, &[("location", "/again")], "");
    let registry = Registry::of((0..5).map(|_| hop()).chain([ok()]));
    // The redirect begins at the host, not at the base URL.
    let head =
        CachingHead { at: Some("https://registry.example/again".to_owned()), ..CachingHead::default() };
    assert_eq!(
        ask(&registry.upstream()).await,
        Ok(RegistryAnswer::Found { body: "{}".into(), head, share: DocumentSlot::none() })
    );
    let registry = Registry::of((0..6).map(|_| hop()));
    assert_eq!(ask(&registry.upstream()).await, Err(CouldNotAsk::TooManyRedirects));
    assert_eq!(registry.asked().len(), 6);
    let registry = Registry::of([answer(302, &[("location", "https://[")], "")]);
    assert_eq!(ask(&registry.upstream()).await, Err(CouldNotAsk::BadLocator));
}

#[tokio::test]
async fn a_registry_that_asks_for_it_is_left_alone() {
    let registry = Registry::of([answer(429, &[("retry-after", "7")], "")]);
    let upstream = registry.upstream();
    let refused = ask(&upstream).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(7)));
    registry.clock.advance(Duration::from_millis(6999));
    let paused = Err(CouldNotAsk::Paused { for_: Duration::from_millis(1) });
    assert_eq!(ask(&upstream).await, paused);
    assert_eq!(open(&upstream, "x.tar.gz").await.err(), paused.err());
    assert_eq!(registry.asked().len(), 1);
    assert!(upstream.is_up());
    registry.then([ok(), ok()]);
    assert!(open(&upstream, "https://cdn.example/x").await.is_ok(), "another host may be asked");
    registry.clock.advance(Duration::from_millis(1));
    assert_eq!(ask(&upstream).await, found("{}"));
}

async fn break_it(registry: &Registry, upstream: &RegistryClient) {
    for _ in 0..5 {
        assert!(upstream.is_up());
        registry.then([Step::Fail(TransportError::Timeout)]);
        assert_eq!(ask(upstream).await, Err(CouldNotAsk::TimedOut));
    }
    assert!(!upstream.is_up());
    registry.asked();
}

#[tokio::test]
async fn the_breaker_opens_and_one_probe_closes_it() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    break_it(&registry, &upstream).await;
    assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::Paused { .. })));
    assert!(registry.asked().is_empty());

    registry.clock.advance(Duration::from_secs(2));
    registry.then([answer(503, &[], "")]);
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::ServerError(503)));
    assert_eq!(registry.asked().len(), 1, "a probe is one request");

    registry.clock.advance(Duration::from_secs(3));
    registry.then([answer(404, &[], "")]);
    assert!(matches!(ask(&upstream).await, Ok(RegistryAnswer::Refused { status: 404, .. })));
    assert!(upstream.is_up());
    assert_eq!(registry.ups(), [true, false, true]);
}

#[tokio::test]
async fn a_cancelled_probe_frees_its_place() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    break_it(&registry, &upstream).await;
    registry.clock.advance(Duration::from_secs(2));
    registry.then([Step::Hang, ok()]);
    let mut probe = Box::pin(ask(&upstream));
    assert!((&mut probe).now_or_never().is_none());
    assert!(matches!(ask(&upstream).await, Err(CouldNotAsk::Paused { .. })), "one probe at a time");
    drop(probe);
    assert_eq!(registry.told().last(), Some(&("index", "cancelled")));
    assert_eq!(ask(&upstream).await, found("{}"));
    assert!(upstream.is_up());
}

#[tokio::test]
async fn another_hosts_failures_are_not_the_registrys() {
    let registry = Registry::default();
    let upstream = registry.upstream_with(|config| config.retries = 0);
    for _ in 0..6 {
        registry.then([answer(302, &[("location", "https://cdn.example/x")], "")]);
        registry.then([Step::Fail(REFUSED), answer(429, &[("retry-after", "9")], "")]);
        assert_eq!(
            open(&upstream, "x").await.err(),
            Some(CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused))
        );
        assert!(matches!(open(&upstream, "https://cdn.example/x").await, Err(CouldNotAsk::Throttled { .. })));
    }
    registry.then([ok()]);
    assert_eq!(ask(&upstream).await, found("{}"));
}

#[tokio::test]
async fn refusals_and_garbage_do_not_open_the_breaker() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for step in [401, 403, 404, 418, 429].into_iter().cycle().take(20) {
        registry.then([answer(step, &[], "")]);
        let _ = ask(&upstream).await;
    }
    assert!(upstream.is_up());
}

#[tokio::test]
async fn a_download_keeps_its_slot_until_it_is_dropped() {
    let registry = Registry::of([ok(), ok()]);
    let upstream = registry.upstream_with(|config| {
        config.max_concurrent = 1;
        config.read_timeout = Duration::from_millis(20);
    });
    let download = open(&upstream, "x").await.unwrap();
    assert_eq!(ask(&upstream).await, Err(CouldNotAsk::Busy));
    assert_eq!(urls(&registry).len(), 1);
    let waiting = async {
        tokio::task::yield_now().await;
        drop(download);
    };
    assert_eq!(join(ask(&upstream), waiting).await.0, found("{}"));
    assert_eq!(registry.told(), [("archive", "cancelled"), ("index", "200")]);
}

#[tokio::test]
async fn a_download_ends_as_its_body_does() {
    let cut = Step::Answer(200, &[], vec![Ok("a"), Err(TransportError::Broken), Ok("never")]);
    let stalled = Step::Answer(200, &[], vec![Err(TransportError::Timeout)]);
    let registry = Registry::of([Step::Answer(200, &[], vec![Ok("a"), Ok("b")]), cut, stalled]);
    let upstream = registry.upstream();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(open(&upstream, "x").await.unwrap().body.collect::<Vec<_>>().await);
    }
    assert_eq!(bodies[0], [Ok("a".into()), Ok("b".into())]);
    assert_eq!(bodies[1], [Ok("a".into()), Err(CouldNotAsk::BrokenBody)]);
    assert_eq!(bodies[2], [Err(CouldNotAsk::TimedOut)]);
    assert_eq!(registry.told(), [("archive", "200"), ("archive", "broken"), ("archive", "timeout")]);
}

#[tokio::test]
async fn an_archive_is_there_or_it_is_not() {
    for status in [404, 403, 206] {
        let registry = Registry::of([answer(status, &[], "")]);
        assert_eq!(open(&registry.upstream(), "x").await.err(), Some(CouldNotAsk::Unexpected(status)));
    }
}
