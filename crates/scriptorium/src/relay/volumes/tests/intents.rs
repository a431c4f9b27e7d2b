//! Requests for an upload, and what of a grant reaches the client.

use super::*;
use crate::relay::WriteRefusal;

fn header<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked.headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_grant_leads_here_and_a_repeated_one_to_the_same_place() {
    let desk = Desk::strict([grant(), grant(), grant()]);
    let body = r#"{"version":"1.0.0", "mediaType":"application/gzip","idempotencyKey":"k"}"#;
    let fields = [JSON, TOKEN, ("idempotency-key", "k"), ("cookie", "c"), ("accept-encoding", "gzip")];
    let (status, headers, first) = desk.send(&publish(), &fields, body).await.unwrap();
    assert_eq!((status.as_u16(), headers["cache-control"].to_str().unwrap()), (201, "no-store"));
    assert!(!headers.contains_key("etag") && !headers.contains_key("x-internal"));
    let granted: Value = serde_json::from_slice(&first).unwrap();
    let sent = json!({"content-type": "application/gzip", "authorization": "Bearer mine"});
    assert_eq!(granted["upload"]["headers"], sent);
    assert_eq!(granted["state"], "pending-upload");
    let url = granted["upload"]["url"].as_str().unwrap();
    assert!(url.starts_with("http://here/uploads/") && url.len() < 200, "{url}");
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(!text.contains("secret") && !text.contains("registry.example") && !text.contains("signed"));

    let asked = desk.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.url), ("POST", format!("{HOME}/api/v1/volumes/@acme/x")));
    assert_eq!(asked.body, body, "byte for byte");
    assert_eq!(asked.headers["authorization"], "Bearer mine");
    assert_eq!(asked.headers["accept-encoding"], "identity");
    assert!(!asked.headers.contains_key("cookie"));

    let (_, _, again) = desk.send(&publish(), &fields, body).await.unwrap();
    assert_eq!(again, first, "a repeated grant keeps its place");
    let others = [JSON, ("authorization", "Bearer other")];
    let body = r#"{"version":"1.0.0","mediaType":"application/gzip"}"#;
    let (_, _, others) = desk.send(&publish(), &others, body).await.unwrap();
    let others: Value = serde_json::from_slice(&others).unwrap();
    assert_ne!(others["upload"]["url"], granted["upload"]["url"], "another owner's place is another");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_before_the_registry_is_asked() {
    let desk = Desk::strict([]);
    let good = r#"{"version":"1.0.0","mediaType":"application/gzip","idempotencyKey":"k"}"#;
    let text = [("content-type", "text/plain")];
    let other = [JSON, ("idempotency-key", "other")];
    let large = r#"{"version":"1.0.0","mediaType":"application/gzip","declaredSize":65537}"#;
    for (fields, body, why) in [
        (&text[..], good, "expected Content-Type: application/json"),
        (&[JSON], "[]", "one JSON object"),
        (&other, good, "differ"),
        (&[JSON], large, "larger than the 65536 bytes"),
        (&[JSON], r#"{"version":"1.0.0","mediaType":"text/plain"}"#, "mediaType must be"),
    ] {
        let refused = desk.send(&publish(), fields, body).await.unwrap_err().to_string();
        assert!(refused.contains(why) && refused.contains("nothing was sent"), "{refused}");
    }
    let long = " ".repeat((1 << 20) + 1);
    assert!(desk.send(&publish(), &[JSON], long).await.is_err());
    let lenient = Desk::relaying([]);
    for (fields, body) in [(&other[..], good), (&[JSON], large)] {
        assert!(lenient.send(&publish(), fields, body).await.is_err(), "{body}");
    }
    assert!(desk.asked().is_empty() && lenient.asked().is_empty());
}

#[tokio::test]
async fn what_may_not_be_written_is_not_read() {
    let store = || Arc::new(ObjectStorage::memory().unwrap());
    let off = Desk::over(store(), Script::default(), |upstream, _| upstream.writes = false);
    let offline = Desk::over(store(), Script::default(), |_, cache| cache.offline = true);
    for change in [publish(), finalize()] {
        let refused = off.send(&change, &[], "").await.unwrap_err();
        assert!(
            matches!(refused, WriteRefusal::WritesOff(_)) && refused.to_string().contains("writes = true")
        );
        assert!(matches!(offline.send(&change, &[], "").await, Err(WriteRefusal::Offline)));
    }
}

#[tokio::test]
async fn a_relayed_request_need_not_be_understood_but_its_grant_must() {
    let desk = Desk::relaying([grant(), answer(201, &[], "{}")]);
    let (status, _, body) = desk.send(&publish(), &[TOKEN], "anything").await.unwrap();
    assert_eq!(status, 201);
    assert!(String::from_utf8(body.to_vec()).unwrap().contains("http://here/uploads/"));
    assert_eq!(desk.asked()[0].body, "anything");
    assert!(desk.send(&publish(), &[TOKEN], "anything").await.is_err());
}

#[tokio::test]
async fn a_refusal_is_the_registrys_own() {
    const SAID: &str = r#"{"type":"https://agentvolumes.org/problems/version-conflict","status":409}"#;
    let steps = [
        answer(409, &[("content-type", "application/problem+json"), ("retry-after", "7")], SAID),
        answer(401, &[("www-authenticate", "Bearer realm=\"x\"")], ""),
        answer(503, &[], "down"),
    ];
    let desk = Desk::strict(steps);
    let body = r#"{"version":"1.0.0","mediaType":"application/gzip"}"#;
    let (status, headers, said) = desk.send(&publish(), &[JSON, TOKEN], body).await.unwrap();
    assert_eq!(
        (status.as_u16(), &said[..], headers["retry-after"].to_str().unwrap()),
        (409, SAID.as_bytes(), "7")
    );
    assert_eq!(headers["content-type"], "application/problem+json");
    let (status, headers, _) = desk.send(&publish(), &[JSON], body).await.unwrap();
    assert_eq!((status.as_u16(), headers["www-authenticate"].to_str().unwrap()), (401, "Bearer realm=\"x\""));
    let (status, _, said) = desk.send(&publish(), &[JSON], body).await.unwrap();
    assert_eq!((status.as_u16(), &said[..]), (503, &b"down"[..]));
}

#[tokio::test]
async fn a_grant_that_cannot_be_followed_reaches_nobody() {
    let body = r#"{"version":"1.0.0","mediaType":"application/gzip"}"#;
    for url in
        ["https://evil.example/put", "http://169.254.169.254/", "file:///etc/passwd", "http://cdn.example/x"]
    {
        let desk = Desk::strict([grant_at(url)]);
        let refused = desk.send(&publish(), &[JSON], body).await.unwrap_err();
        assert!(
            matches!(refused, WriteRefusal::CouldNotAsk(CouldNotAsk::Forbidden { .. })),
            "{url}: {refused}"
        );
    }
    for (headers, said) in [
        (&[][..], r#"{"uploadId":"u-1","upload":{"url":"/p"}}"#),
        (&[], ""),
        (
            &[("content-encoding", "gzip")],
            r#"{"uploadId":"u-1","upload":{"url":"/p"},"expiresAt":"1970-01-01T01:00:00Z"}"#,
        ),
    ] {
        let desk = Desk::strict([answer(201, headers, said)]);
        let refused = desk.send(&publish(), &[JSON], body).await.unwrap_err();
        assert!(matches!(refused, WriteRefusal::Instruction(_)), "{said}: {refused}");
    }
    let desk = Desk::strict([grant_at("https://cdn.example/put")]);
    desk.granted("").await;
}

#[tokio::test]
async fn only_a_key_makes_a_request_worth_repeating() {
    for (fields, times) in [(&[JSON][..], 1), (&[JSON, ("idempotency-key", "k")], 2)] {
        let store = Arc::new(ObjectStorage::memory().unwrap());
        let script = Script::of([Step::Fail(TransportError::Broken), grant()]);
        let desk = Desk::over(store, script, |upstream, _| upstream.retries = 1);
        let body = r#"{"version":"1.0.0","mediaType":"application/gzip"}"#;
        let answered = desk.send(&publish(), fields, body).await;
        assert_eq!(answered.is_ok(), times == 2);
        assert_eq!(desk.asked().len(), times);
    }
}

const RELEASE: &str = r#"{"name":"@acme/x","version":"1.0.0","purl":"pkg:volume/%40acme/x@1.0.0",
    "integrity":"sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1","status":{"state":"available"},
    "dist":{"source":"cdn","mediaType":"application/gzip","url":"/x.tar.gz"}}"#;

fn attach(purl: &str, integrity: &str) -> String {
    let digest = Sha256::of(b"sbom");
    json!({
        "subject": {"purl": purl, "integrity": integrity},
        "attachment": {"category": "sbom", "format": {"mediaType": "application/spdx+json"}},
        "declaredDigest": digest,
    })
    .to_string()
}

#[tokio::test]
async fn an_attachment_is_bound_to_the_release_it_is_sent_to() {
    let change = Change::Attach("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
    let (purl, integrity) = (
        "pkg:volume/%40acme/x@1.0.0",
        "sha256:f7e51421b3759bf543486409eed53c8eb4b3a06b840c21b1a72269c835c7f9d1",
    );
    let granted = r#"{"uploadId":"t-1","upload":{"url":"/put/t-1"},"expiresAt":"1970-01-01T01:00:00Z"}"#;
    let steps =
        [answer(200, &[], RELEASE), answer(404, &[], ""), answer(201, &[], granted), answer(200, &[], "ok")];
    let desk = Desk::strict(steps);
    let (_, _, body) = desk.send(&change, &[JSON, TOKEN], attach(purl, integrity)).await.unwrap();
    let granted: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(granted["upload"]["headers"]["content-type"], "application/spdx+json");
    let place: UploadId = granted["upload"]["url"].as_str().unwrap()[20..].parse().unwrap();
    let asked = desk.asked().pop().unwrap();
    assert_eq!(asked.url, format!("{HOME}/api/v1/volumes/@acme/x/1.0.0/trust/uploads"));

    let other = Integrity::new(Sha256::of(b"other")).to_string();
    for (purl, integrity) in [(purl, other.as_str()), ("pkg:volume/%40acme/x@2.0.0", integrity)] {
        let refused =
            desk.send(&change, &[JSON, TOKEN], attach(purl, integrity)).await.unwrap_err().to_string();
        assert!(
            refused.contains("subject.") && refused.contains("the release on this route has"),
            "{refused}"
        );
    }
    let kind = ("content-type", "application/spdx+json");
    assert!(desk.send(&Change::Upload(place.clone()), &[kind, TOKEN], "other").await.is_err());
    let (status, _, _) = desk.send(&Change::Upload(place), &[kind, TOKEN], "sbom").await.unwrap();
    assert_eq!(status, 200);
    let asked = desk.asked();
    assert_eq!(
        (asked.len(), &asked[0].body[..], header(&asked[0], "content-type")),
        (1, &b"sbom"[..], Some(kind.1))
    );

    let gone = Desk::strict([answer(404, &[], "")]);
    let refused = gone.send(&change, &[JSON], attach(purl, integrity)).await;
    assert!(matches!(refused, Err(WriteRefusal::Release(_))));
}
