//! Relayed writes: their target, their repetition, and their effect on the registry's health.

use std::io;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};

use super::super::testing::{Asked, HOME, REFUSED, Registry, Step, answer};
use super::super::{GuardRule, TransportError};
use super::*;
use crate::config::{self, Credential, WritesCheck};

const PUBLISH: &str = "/api/v1/volumes/x?tag=a";
const UPLOAD: &str = "https://cdn.example/put?sig=secret";

fn own_token(config: &mut config::Upstream) {
    config.token_env = Some(Credential { variable: "READ".to_owned(), token: "own".into() });
}

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn client() -> HeaderMap {
    fields(&[("authorization", "Bearer theirs"), ("content-type", "application/json"), ("cookie", "a=b")])
}

fn hello() -> OutgoingBody {
    OutgoingBody::Whole("hello".into())
}

fn write<'a>(target: Target<'a>, body: WriteBody<'a>) -> WriteRequest<'a> {
    let context = FetchContext::foreground("id-1");
    WriteRequest { resource: "publish", method: Method::POST, target, headers: client(), body, context }
}

fn once(target: Target<'_>) -> WriteRequest<'_> {
    write(target, WriteBody::Once(hello()))
}

fn again(target: Target<'_>) -> WriteRequest<'_> {
    write(target, WriteBody::Again(&hello))
}

fn publish() -> WriteRequest<'static> {
    once(Target::Path(PUBLISH))
}

fn sent(asked: &Asked) -> Vec<(&str, &str)> {
    let mut sent: Vec<_> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    sent.sort_unstable();
    sent
}

async fn read(upstream: &RegistryClient, write: WriteRequest<'_>) -> Result<(u16, Bytes), CouldNotAsk> {
    // Boxed as what may change threads, as whoever relays for a client needs it.
    let relayed: BoxFuture<'_, _> = upstream.relay(write).boxed();
    let (status, _, body) = relayed.await?.whole(100).await?;
    Ok((status.as_u16(), body))
}

fn at<'a>(url: &'a Url, given: &'a HeaderMap) -> Target<'a> {
    Target::At { url, given }
}

#[tokio::test]
async fn a_write_goes_on_as_it_came_and_so_does_its_answer() {
    let created = answer(201, &[("location", "/x"), ("etag", "\"1\""), ("content-length", "2")], "{}");
    let registry = Registry::of([created]);
    let relayed = registry.upstream_with(own_token).relay(publish()).await.unwrap();
    assert_eq!((relayed.status.as_u16(), relayed.length), (201, Some(2)));
    assert_eq!(
        (&relayed.headers["location"], &relayed.headers["etag"]),
        (&"/x".parse().unwrap(), &"\"1\"".parse().unwrap())
    );
    assert_eq!(registry.told(), [], "it lasts until its body was read");
    assert_eq!(relayed.whole(2).await.unwrap().2, "{}");
    assert_eq!(registry.told(), [("publish", "201")]);

    let [asked] = registry.asked().try_into().ok().unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.url.as_str(), asked.body.as_ref()),
        ("POST", &*format!("{HOME}{PUBLISH}"), &b"hello"[..])
    );
    assert_eq!(
        sent(&asked),
        [("authorization", "Bearer theirs"), ("content-type", "application/json"), ("x-request-id", "id-1")]
    );
}

#[tokio::test]
async fn a_credential_goes_home_only_and_never_this_proxys_own() {
    let registry = Registry::default();
    let upstream = registry.upstream_with(own_token);
    let upload: Url = UPLOAD.parse().unwrap();
    let given = fields(&[("authorization", "Signed"), ("cookie", "a=b")]);
    let near: Url = "https://registry.example/elsewhere".parse().unwrap();
    let other_port: Url = "https://registry.example:8443/".parse().unwrap();
    for (target, credential) in [
        (at(&near, &HeaderMap::new()), Some("Bearer theirs")),
        (at(&upload, &HeaderMap::new()), None),
        (at(&upload, &given), Some("Signed")),
        (Target::Path(PUBLISH), None),
    ] {
        registry.then([answer(200, &[], "")]);
        let mut write = once(target);
        if matches!(target, Target::Path(_)) {
            write.headers = HeaderMap::new();
        }
        read(&upstream, write).await.unwrap();
        let [asked] = registry.asked().try_into().ok().unwrap();
        let found = asked.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
        assert_eq!(found, credential);
        assert!(!asked.headers.contains_key("cookie"));
    }
    let refused = upstream.relay(once(at(&other_port, &HeaderMap::new()))).await.err();
    assert!(matches!(refused, Some(CouldNotAsk::Forbidden { rule: GuardRule::Host, .. })), "{refused:?}");
}

#[tokio::test]
async fn what_belongs_to_the_clients_connection_stays_there() {
    let registry = Registry::of([answer(200, &[], "")]);
    let mut write = publish();
    write.headers = fields(&[
        ("host", "proxy.example"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("cookie", "a=b"),
        ("keep-alive", "5"),
        ("trailer", "x"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("x-request-id", "theirs"),
        ("idempotency-key", "k"),
    ]);
    read(&registry.upstream(), write).await.unwrap();
    assert_eq!(sent(&registry.asked()[0]), [("idempotency-key", "k"), ("x-request-id", "id-1")]);
}

#[tokio::test]
async fn once_is_once() {
    for (error, why) in [
        (REFUSED, CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused)),
        (TransportError::Timeout, CouldNotAsk::TimedOut),
        (TransportError::Broken, CouldNotAsk::BrokenBody),
    ] {
        let registry = Registry::of([Step::Fail(error)]);
        assert_eq!(read(&registry.upstream(), publish()).await, Err(why));
        assert_eq!(registry.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_repeated_is_until_there_is_an_answer() {
    let path = Target::Path(PUBLISH);
    for error in [REFUSED, TransportError::Timeout, TransportError::Broken] {
        let registry = Registry::of([Step::Fail(error), Step::Fail(error), answer(201, &[], "ok")]);
        assert_eq!(read(&registry.upstream(), again(path)).await, Ok((201, "ok".into())));
        let asked = registry.asked();
        assert_eq!(asked.iter().map(|asked| asked.body.as_ref()).collect::<Vec<_>>(), [b"hello"; 3]);
        assert_eq!(registry.told(), [("publish", "201")]);

        registry.then([Step::Fail(error), Step::Fail(error), Step::Fail(error)]);
        assert!(read(&registry.upstream(), again(path)).await.is_err());
        assert_eq!(registry.asked().len(), 3);
    }
    for status in [500, 502, 503, 504, 429, 401] {
        let registry = Registry::of([answer(status, &[], "no")]);
        assert_eq!(read(&registry.upstream(), again(path)).await, Ok((status, "no".into())));
        assert_eq!(registry.asked().len(), 1, "{status} is an answer");
    }
    let broken = Step::Answer(200, &[], vec![Ok("a"), Err(TransportError::Broken)]);
    let registry = Registry::of([broken]);
    assert_eq!(read(&registry.upstream(), again(path)).await, Err(CouldNotAsk::BrokenBody));
    assert_eq!((registry.asked().len(), registry.told()), (1, vec![("publish", "broken")]));
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_is_left_alone() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for _ in 0..5 {
        assert!(upstream.is_up());
        registry.then([Step::Fail(REFUSED)]);
        assert_eq!(
            read(&upstream, publish()).await,
            Err(CouldNotAsk::Unreachable(crate::upstream::ConnectFailure::Refused))
        );
    }
    assert!(!upstream.is_up());
    assert!(matches!(read(&upstream, publish()).await, Err(CouldNotAsk::Paused { .. })));
    assert_eq!(registry.asked().len(), 5);
}

#[tokio::test]
async fn a_refusal_is_the_registrys_word_and_no_failure() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for status in [401, 403, 404, 409, 413, 415, 422, 429].into_iter().cycle().take(24) {
        registry.then([answer(status, &[], "no")]);
        assert_eq!(read(&upstream, publish()).await, Ok((status, "no".into())));
    }
    assert!(upstream.is_up());
    assert!(registry.told().iter().all(|(_, status)| *status != "other"));
}

/// One client could otherwise stop the writes, and reads, of all others.
#[tokio::test]
async fn what_one_client_is_answered_keeps_nobody_else_waiting() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for status in [429, 500, 502, 503, 504].into_iter().cycle().take(25) {
        registry.then([answer(status, &[("retry-after", "3600")], "not now")]);
        assert_eq!(read(&upstream, publish()).await, Ok((status, "not now".into())));
    }
    assert!(upstream.is_up());
    assert_eq!(registry.asked().len(), 25);
}

#[tokio::test]
async fn an_answer_that_is_no_final_one_is_not_handed_on() {
    let registry = Registry::of([answer(101, &[("upgrade", "x")], "")]);
    let answered = read(&registry.upstream(), publish()).await;
    assert_eq!(answered, Err(CouldNotAsk::Unexpected(101)));
}

#[tokio::test]
async fn writes_are_paid_for_like_reads() {
    let registry = Registry::of([answer(200, &[], "")]);
    let upstream = registry.upstream_with(|config| config.requests_per_minute = 1);
    assert!(read(&upstream, publish()).await.is_ok());
    assert!(matches!(read(&upstream, publish()).await, Err(CouldNotAsk::OverBudget { .. })));
    assert_eq!(registry.told(), [("publish", "200"), ("publish", "budget")]);

    let registry = Registry::of([answer(200, &[], ""), answer(200, &[], "")]);
    let upstream = registry.upstream_with(|config| {
        config.max_concurrent = 1;
        config.read_timeout = Duration::from_millis(20);
    });
    let held = upstream.relay(publish()).await.unwrap();
    assert_eq!(upstream.relay(publish()).await.err(), Some(CouldNotAsk::Busy));
    drop(held);
    assert!(upstream.relay(publish()).await.is_ok());
    assert_eq!(registry.told(), [("publish", "cancelled"); 2]);
}

#[tokio::test]
async fn what_breaks_off_on_this_side_is_not_held_against_the_registry() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    let broken = || OutgoingBody::Stream {
        length: Some(9),
        pieces: stream::iter([Ok("part".into()), Err(io::ErrorKind::UnexpectedEof.into())]).boxed(),
    };
    for _ in 0..10 {
        let write = write(Target::Path(PUBLISH), WriteBody::Again(&broken));
        assert_eq!(read(&upstream, write).await, Err(CouldNotAsk::Unsent));
    }
    assert_eq!(registry.asked().len(), 10, "and it is not tried again");
    assert!(upstream.is_up());
    assert_eq!(registry.told(), [("publish", "unsent"); 10]);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let registry =
        Registry::of([answer(307, &[("location", "https://cdn.example/x")], ""), answer(304, &[], "")]);
    let upstream = registry.upstream();
    assert_eq!(read(&upstream, again(Target::Path(PUBLISH))).await, Err(CouldNotAsk::Unexpected(307)));
    assert_eq!(read(&upstream, publish()).await, Ok((304, Bytes::new())), "this one points nowhere");
    assert_eq!(registry.asked().len(), 2);
}

#[tokio::test]
async fn a_path_stays_below_the_base_url() {
    let registry = Registry::default();
    let upstream = registry.upstream();
    for path in
        ["", "x", "@evil.example/", ".evil.example/", "/../secret", "/%2e%2E/secret", "/a/..\\../x", "/.."]
    {
        let refused = upstream.relay(once(Target::Path(path))).await.err();
        assert_eq!(refused, Some(CouldNotAsk::BadLocator), "{path}");
    }
    for path in ["/", "//evil.example/", "/a/../b", "/?a=/../../x"] {
        registry.then([answer(200, &[], "")]);
        read(&upstream, once(Target::Path(path))).await.unwrap();
        assert!(registry.asked()[0].url.starts_with(&format!("{HOME}/")), "{path}");
    }
}

#[test]
fn places_that_the_registry_names() {
    let upstream = Registry::default().upstream();
    let place = |locator| upstream.place(locator, "/api/v1/uploads").map(String::from);
    assert_eq!(place("uploads/1"), Ok(format!("{HOME}/api/v1/uploads/1")));
    assert_eq!(place("/staging/1"), Ok("https://registry.example/staging/1".to_owned()));
    assert_eq!(place(UPLOAD), Ok(UPLOAD.to_owned()));
    for (locator, rule) in [
        ("https://evil.example/", GuardRule::Host),
        ("http://cdn.example/", GuardRule::Downgrade),
        ("https://me@cdn.example/", GuardRule::UserInfo),
        ("ftp://cdn.example/", GuardRule::Scheme),
    ] {
        assert!(
            matches!(place(locator), Err(CouldNotAsk::Forbidden { rule: found, .. }) if found == rule),
            "{locator}"
        );
    }
    assert_eq!(place("https://"), Err(CouldNotAsk::BadLocator));
    assert_eq!(upstream.place("x", "no-path"), Err(CouldNotAsk::BadLocator));
}

#[tokio::test]
async fn an_answer_is_read_up_to_a_limit() {
    let announced = Step::Answer(200, &[("content-length", "6")], vec![Err(TransportError::Timeout)]);
    let long = Step::Answer(200, &[], vec![Ok("abc"), Ok("def"), Err(TransportError::Timeout)]);
    let upstream = Registry::of([announced, long]).upstream();
    for _ in 0..2 {
        let whole = upstream.relay(publish()).await.unwrap().whole(5).await;
        assert_eq!(whole.err(), Some(CouldNotAsk::TooLarge { limit: 5 }));
    }
    let mut head = once(Target::Path(PUBLISH));
    head.method = Method::HEAD;
    let upstream = Registry::of([Step::Answer(200, &[("content-length", "6")], vec![])]).upstream();
    assert_eq!(read(&upstream, head).await, Ok((200, Bytes::new())));
}

#[test]
fn whether_and_how_writes_are_relayed() {
    let registry = Registry::default();
    assert_eq!(registry.upstream().writes(), None);
    assert_eq!(registry.upstream_with(|config| config.writes = true).writes(), Some(WritesCheck::Strict));
}
