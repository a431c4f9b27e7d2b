//! The bytes of an upload: whose they are, what they must be, and what goes on with them.

use std::convert::Infallible;

use futures_util::StreamExt;
use futures_util::stream;
use http_body_util::StreamBody;

use super::*;
use crate::relay::{BodyError, WriteRefusal};
use crate::store::KeyPrefix;
use archive::ArchiveError;

fn declared(bytes: &[u8]) -> String {
    format!(r#","declaredDigest":"{}","declaredSize":{}"#, Sha256::of(bytes), bytes.len())
}

#[tokio::test]
async fn what_passed_is_sent_on_as_the_registry_instructed() {
    let bytes = packed(&manifest("1.0.0"));
    let desk = Desk::strict([grant(), answer(200, &[("etag", "\"a\"")], "taken")]);
    let (place, _) = desk.granted(&declared(&bytes)).await;
    let (status, headers, said) = desk.send(&place, &[GZIP, TOKEN], bytes.clone()).await.unwrap();
    assert_eq!(
        (status.as_u16(), &said[..], headers["etag"].to_str().unwrap()),
        (200, &b"taken"[..], "\"a\"")
    );
    let sent = desk.asked().pop().unwrap();
    assert_eq!(sent.url, "https://registry.example/put/u-1?signature=secret");
    assert_eq!((sent.method, sent.body), (Method::PUT, bytes));
    assert_eq!(sent.headers["x-amz-sign"], "signed");
    assert_eq!(sent.headers["content-type"], "application/gzip");
    assert_eq!(sent.headers["authorization"], "Bearer mine", "the registry's own origin");
}

#[tokio::test]
async fn a_credential_stays_at_home() {
    let bytes = packed(&manifest("1.0.0"));
    let desk = Desk::strict([grant_at("https://cdn.example/put"), answer(200, &[], "")]);
    let (place, _) = desk.granted("").await;
    desk.send(&place, &[GZIP, TOKEN], bytes).await.unwrap();
    let sent = desk.asked().pop().unwrap();
    assert_eq!(
        (sent.url.as_str(), &sent.headers["x-amz-sign"]),
        ("https://cdn.example/put", &HeaderValue::from_static("signed"))
    );
    assert!(!sent.headers.contains_key("authorization"));
}

#[tokio::test]
async fn what_a_store_says_of_a_signed_request_stays_here() {
    let says = "<CanonicalRequest>PUT /put?signature=secret</CanonicalRequest>";
    for (url, fields, passes) in [
        ("https://cdn.example/put", &[("content-type", "application/xml"), ("retry-after", "7")][..], false),
        ("https://cdn.example/put", &[("content-type", "application/problem+json; charset=utf-8")], true),
        ("https://registry.example/put", &[("content-type", "text/plain")], true),
    ] {
        let desk = Desk::strict([grant_at(url), answer(403, fields, says)]);
        let (place, _) = desk.granted("").await;
        let sent = desk.send(&place, &[GZIP, TOKEN], packed(&manifest("1.0.0"))).await;
        let (status, headers, body) = sent.unwrap();
        assert_eq!((status.as_u16(), body.is_empty()), (403, !passes), "{url}");
        assert_eq!(headers.contains_key("content-type"), passes);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}

#[tokio::test]
async fn a_credential_that_the_registry_gives_goes_where_it_gave_it_for() {
    for url in ["https://cdn.example/put", "https://registry.example/put"] {
        let granted = json!({
            "uploadId": "u-1", "expiresAt": "1970-01-01T01:00:00Z",
            "upload": {"url": url, "headers": {"Authorization": "Bearer granted", "content-type": "x/y", "host": "evil"}},
        });
        let desk = Desk::strict([answer(201, &[], granted.to_string().leak()), answer(200, &[], "")]);
        let (place, granted) = desk.granted("").await;
        assert_eq!(granted["upload"]["headers"]["authorization"], "Bearer mine");
        desk.send(&place, &[GZIP, TOKEN], packed(&manifest("1.0.0"))).await.unwrap();
        let sent = desk.asked().pop().unwrap();
        assert_eq!(
            (sent.url.as_str(), &sent.headers["authorization"]),
            (url, &HeaderValue::from_static("Bearer granted"))
        );
        assert_eq!(sent.headers["content-type"], "x/y");
        assert!(!sent.headers.contains_key("host"));
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not_sent() {
    let good = packed(&manifest("1.0.0"));
    let wild =
        [manifest("1.0.0")[0].content.clone(), b"[[components]]\npermissions.shell = 'allow'\n".to_vec()]
            .concat();
    let wild = packed(&[TarMember::file("volume.toml", wild)]);
    let other = packed(&manifest("2.0.0"));
    let bare = packed(&[TarMember::file("readme", "")]);
    let hostile: Bytes = packed(&[TarMember::file("../volume.toml", "x")]);
    let mut large = good.to_vec();
    large.push(0);
    type Case = (String, Bytes, fn(&WriteRefusal) -> bool);
    let archive = |refused: &WriteRefusal| matches!(refused, WriteRefusal::Archive(ArchiveError::Profile(_)));
    let cases: [Case; 9] = [
        (declared(&good), large.into(), |refused| {
            matches!(refused, WriteRefusal::Body(BodyError::TooLarge { .. }))
        }),
        (declared(b"1234"), "123".into(), |refused| {
            matches!(refused, WriteRefusal::Size { expected: 4, found: 3 })
        }),
        (declared(b"1234"), "1235".into(), |refused| matches!(refused, WriteRefusal::Digest { .. })),
        (String::new(), "garbage".into(), |refused| {
            matches!(refused, WriteRefusal::Archive(ArchiveError::Gzip(_)))
        }),
        (declared(&hostile), hostile.clone(), archive),
        (String::new(), hostile, archive),
        (declared(&bare), bare, |refused| {
            matches!(refused, WriteRefusal::Archive(ArchiveError::Manifest(_)))
        }),
        (String::new(), other, |refused| {
            matches!(refused, WriteRefusal::Archive(ArchiveError::Identity { .. }))
        }),
        (String::new(), wild, |refused| {
            matches!(refused, WriteRefusal::Archive(ArchiveError::Escalation { .. }))
        }),
    ];
    for (declared, bytes, is) in cases {
        let desk = Desk::strict([grant()]);
        let (place, _) = desk.granted(&declared).await;
        let refused = desk.send(&place, &[GZIP, TOKEN], bytes).await.unwrap_err();
        assert!(is(&refused), "{refused:?}");
        assert_eq!(desk.asked().len(), 1, "the intent and nothing else");
        assert_eq!(desk.store.list(KeyPrefix::Archives).count().await, 0);
        assert_eq!(desk.volumes.under_way.lock().len(), 0);
    }
    let desk = Desk::strict([grant()]);
    let (place, _) = desk.granted("").await;
    for fields in [&[TOKEN][..], &[TOKEN, ("content-type", "text/plain")]] {
        let refused = desk.send(&place, fields, good.clone()).await;
        assert!(matches!(refused, Err(WriteRefusal::MediaType { .. })));
    }
    let nothing = stream::empty::<Result<http_body::Frame<Bytes>, Infallible>>();
    let huge = ClientBody::new(any_body(StreamBody::new(nothing)), Some(65_537), Duration::from_secs(1));
    let refused = desk.send_body(&place, &[GZIP, TOKEN], huge).await;
    assert!(
        matches!(refused, Err(WriteRefusal::Body(BodyError::TooLarge { limit: 65_536 }))),
        "before it is read"
    );
}

#[tokio::test]
async fn where_only_sizes_are_checked_anything_else_goes_on() {
    let desk = Desk::relaying([grant(), answer(200, &[], "")]);
    let (place, _) = desk.granted(&declared(b"1234")).await;
    assert!(matches!(
        desk.send(&place, &[TOKEN], "12345").await,
        Err(WriteRefusal::Body(BodyError::TooLarge { limit: 4 }))
    ));
    let (status, _, _) = desk.send(&place, &[TOKEN], "abc").await.unwrap();
    assert_eq!((status.as_u16(), &desk.asked()[1].body[..]), (200, &b"abc"[..]));
}

#[tokio::test]
async fn a_place_is_its_owners_until_it_expires_also_after_a_restart() {
    let bytes = packed(&manifest("1.0.0"));
    let first = Desk::strict([grant()]);
    let (place, _) = first.granted("").await;
    let desk = Desk::over(
        first.store.clone(),
        Script::of([answer(200, &[], ""), answer(403, &[], "no")]),
        |_, _| {},
    );
    let unknown = ["x".to_owned(), "0".repeat(128), "z".repeat(128)];
    for name in unknown {
        let refused = desk.send(&Change::Upload(name.parse().unwrap()), &[GZIP, TOKEN], bytes.clone()).await;
        assert!(matches!(refused, Err(WriteRefusal::UnknownUpload)), "{name}");
    }
    let Change::Upload(name) = &place else { panic!("a place") };
    let guessed = name.as_str()[..64].to_owned() + &"0".repeat(64);
    let guessed = desk.send(&Change::Upload(guessed.parse().unwrap()), &[GZIP, TOKEN], bytes.clone()).await;
    assert!(matches!(guessed, Err(WriteRefusal::UnknownUpload)));
    let nobody = desk.send(&place, &[GZIP], bytes.clone()).await;
    assert!(matches!(nobody, Err(WriteRefusal::NoCredential)));
    let other = desk.send(&place, &[GZIP, ("authorization", "Bearer other")], bytes.clone()).await;
    assert!(matches!(other, Err(WriteRefusal::OtherCredential)));
    for status in [200, 403] {
        let sent = desk.send(&place, &[GZIP, TOKEN], bytes.clone()).await.unwrap();
        assert_eq!(sent.0.as_u16(), status, "and another try is the registry's to judge");
    }
    desk.script.clock.advance(Duration::from_secs(3600));
    let late = desk.send(&place, &[GZIP, TOKEN], bytes).await;
    assert!(matches!(late, Err(WriteRefusal::Expired)));
}

#[tokio::test]
async fn one_upload_is_sent_once_at_a_time_and_nothing_is_left_of_one_that_broke_off() {
    let desk = Desk::strict([grant(), answer(200, &[], "")]);
    let (place, _) = desk.granted("").await;
    let bytes = packed(&manifest("1.0.0"));
    let start = http_body::Frame::data(bytes.slice(..10));
    let stalled = stream::iter([Ok::<_, Infallible>(start)]).chain(stream::pending());
    let stalled = ClientBody::new(any_body(StreamBody::new(stalled)), None, Duration::from_secs(60));
    let fields = [GZIP, TOKEN];
    let mut first = Box::pin(desk.send_body(&place, &fields, stalled));
    for _ in 0..100 {
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    let second = desk.send(&place, &fields, bytes.clone()).await;
    assert!(matches!(second, Err(WriteRefusal::UnderWay)));
    drop(first);
    let broken = ClientBody::new(any_body(Full::new(bytes.slice(..10))), Some(11), Duration::from_secs(1));
    assert!(matches!(desk.send_body(&place, &fields, broken).await, Err(WriteRefusal::Body(_))));
    assert_eq!(desk.asked().len(), 1);
    assert_eq!(desk.send(&place, &fields, bytes).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_lost_answer_is_no_reason_to_send_again() {
    let store = Arc::new(ObjectStorage::memory().unwrap());
    let script = Script::of([grant(), Step::Fail(TransportError::Broken)]);
    let desk = Desk::over(store, script, |upstream, _| upstream.retries = 2);
    let (place, _) = desk.granted("").await;
    let sent = desk.send(&place, &[GZIP, TOKEN], packed(&manifest("1.0.0"))).await;
    assert!(matches!(sent, Err(WriteRefusal::CouldNotAsk(CouldNotAsk::BrokenBody))));
    assert_eq!(desk.asked().len(), 2);
}
