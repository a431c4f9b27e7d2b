//! Finalize and unpublish: what is read afterwards, and what a registry says that is not what was uploaded.

use super::*;
use crate::consistency::DifferenceKind;
use crate::domain::{DocumentKey, FileKey};
use crate::read::ReadFailure;
use crate::relay::WriteRefusal;

fn release() -> DocumentKey {
    DocumentKey::Release("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap())
}

fn metadata(integrity: Integrity) -> Value {
    json!({
        "name": "@acme/x", "version": "1.0.0", "purl": "pkg:volume/%40acme/x@1.0.0",
        "integrity": integrity, "status": {"state": "available"},
        "dist": {"source": "cdn", "mediaType": "application/gzip", "url": "https://cdn.example/x.tar.gz"},
    })
}

fn found(body: &Value) -> Step {
    answer(200, &[], body.to_string().leak())
}

/// The registry's own word that there is none, which a gateway's bare status is not.
fn gone() -> Step {
    let body = r#"{"type":"https://agentvolumes.org/problems/not-found","status":404,"title":"No"}"#;
    answer(404, &[("content-type", "application/problem+json")], body)
}

fn row(integrity: Integrity) -> Value {
    json!({"items": [{"version": "1.0.0", "integrity": integrity, "status": {"state": "available"},
        "release": {"url": "/api/v1/volumes/@acme/x/1.0.0"}}]})
}

/// Row and metadata say so from now on.
fn publish(desk: &Desk, integrity: Integrity) {
    desk.script.place("/api/v1/volumes/@acme/x/1.0.0", metadata(integrity).to_string().leak());
    desk.script.place("/api/v1/index/volumes/@acme/x", row(integrity).to_string().leak());
}

fn finalized(integrity: Integrity) -> Step {
    let body = json!({
        "uploadId": "u-1", "later": 1.0, "release": metadata(integrity),
        "detailUrl": format!("{HOME}/api/v1/volumes/@acme/x/1.0.0"),
    });
    answer(201, &[("content-type", "application/json")], body.to_string().leak())
}

/// Uploads the archive of 1.0.0.
async fn uploaded(desk: &Desk) -> Integrity {
    desk.script.then([grant(), answer(200, &[], "")]);
    let (place, _) = desk.granted("").await;
    let files = manifest("1.0.0");
    desk.send(&place, &[GZIP, TOKEN], packed(&files)).await.unwrap();
    desk.asked();
    integrity_of(&files)
}

async fn read(desk: &Desk) -> Result<u16, ReadFailure> {
    let answer = desk.services.documents.get(&release(), FetchContext::foreground("id-1")).await;
    answer.map(|answer| answer.document.meta.status)
}

#[tokio::test]
async fn a_finalized_release_is_read_at_once_and_its_archive_is_here() {
    let desk = Desk::strict([answer(404, &[], "")]);
    assert_eq!(read(&desk).await.unwrap(), 404);
    let tree = uploaded(&desk).await;
    desk.script.then([finalized(tree), found(&metadata(tree)), found(&row(tree))]);
    let (status, headers, said) = desk.send(&finalize(), &[TOKEN], "").await.unwrap();
    assert_eq!((status.as_u16(), headers["cache-control"].to_str().unwrap()), (201, "no-store"));
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["detailUrl"], "http://here/api/v1/volumes/@acme/x/1.0.0");
    assert_eq!(said["release"]["dist"]["url"], "http://here/archives/@acme/x/1.0.0.tar.gz");
    let sent = desk.asked().remove(0);
    assert_eq!(sent.url, format!("{HOME}/api/v1/volumes/@acme/x/uploads/u-1/finalize"));
    assert_eq!(
        (sent.body.len(), &sent.headers["authorization"]),
        (0, &HeaderValue::from_static("Bearer mine"))
    );

    assert_eq!(read(&desk).await.unwrap(), 200, "its absence is forgotten");
    let files = &desk.services.files;
    let (name, version) = ("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
    let held = files.open(&FileKey::Archive(name, version), FetchContext::foreground("id-1")).await.unwrap();
    assert!(held.outcome.to_string().contains("hit"), "{}", held.outcome);
    desk.script.then([finalized(tree)]);
    assert_eq!(
        desk.send(&finalize(), &[TOKEN], "").await.unwrap().0,
        201,
        "what is forgotten is the registry's to judge"
    );
}

#[tokio::test]
async fn a_release_that_is_not_what_was_uploaded_is_refused_until_the_registry_says_the_same() {
    let desk = Desk::strict([]);
    let tree = uploaded(&desk).await;
    let other = Integrity::new(Sha256::of(b"other"));
    desk.script.then([finalized(other)]);
    assert_eq!(desk.send(&finalize(), &[TOKEN], "").await.unwrap().0, 201);
    let Err(ReadFailure::Divergent(divergence)) = read(&desk).await else { panic!("believed") };
    assert_eq!(divergence.kind, DifferenceKind::IntegrityChanged);
    let says = [divergence.claims[0].says.clone(), divergence.claims[1].says.clone()];
    assert_eq!(says, [other.to_string(), tree.to_string()]);
    // Row and metadata agree with each other, and the upload still binds.
    desk.script.clock.advance(Duration::from_secs(31));
    publish(&desk, other);
    assert!(matches!(read(&desk).await, Err(ReadFailure::Divergent(_))));
    desk.script.clock.advance(Duration::from_secs(600));
    publish(&desk, tree);
    assert_eq!(read(&desk).await.unwrap(), 200);
}

#[tokio::test]
async fn of_an_upload_whose_answer_was_lost_nothing_is_claimed() {
    let desk = Desk::strict([]);
    desk.script.then([grant(), answer(200, &[], ""), Step::Fail(TransportError::Broken)]);
    let (place, _) = desk.granted("").await;
    let first = packed(&manifest("1.0.0"));
    let mut files = manifest("1.0.0");
    files.push(TarMember::file("z", ""));
    let second = packed(&files);
    desk.send(&place, &[GZIP, TOKEN], first).await.unwrap();
    assert!(desk.send(&place, &[GZIP, TOKEN], second).await.is_err());
    let tree = integrity_of(&files);
    desk.script.then([finalized(tree), found(&metadata(tree)), found(&row(tree))]);
    desk.send(&finalize(), &[TOKEN], "").await.unwrap();
    assert_eq!(read(&desk).await.unwrap(), 200);
}

#[tokio::test]
async fn of_a_finalize_that_is_merely_accepted_nothing_is_claimed() {
    let desk = Desk::strict([]);
    uploaded(&desk).await;
    desk.script.then([answer(202, &[], "{}")]);
    assert_eq!(desk.send(&finalize(), &[TOKEN], "").await.unwrap().0, 202);
    // It was refused behind the scenes, and corrected elsewhere.
    let corrected = Integrity::new(Sha256::of(b"corrected"));
    desk.script.then([found(&metadata(corrected)), found(&row(corrected))]);
    assert_eq!(read(&desk).await.unwrap(), 200);
}

#[tokio::test]
async fn an_unpublished_release_is_asked_for_again_whatever_became_of_the_answer() {
    let tree = Integrity::new(Sha256::of(b"tree"));
    let change = Change::Unpublish("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
    for (step, outdated) in [
        (answer(202, &[], ""), true),
        (answer(200, &[], "{}"), true),
        (answer(500, &[], ""), true),
        (Step::Fail(TransportError::Broken), true),
        (Step::Fail(TransportError::Timeout), true),
        (Step::Fail(REFUSED), false),
        (answer(403, &[], ""), false),
        (answer(404, &[], ""), false),
    ] {
        let desk = Desk::strict([found(&metadata(tree)), found(&row(tree))]);
        assert_eq!(read(&desk).await.unwrap(), 200);
        desk.script.then([step]);
        let _ = desk.send(&change, &[TOKEN], "").await;
        let sent = desk.asked().pop().unwrap();
        assert_eq!(
            (sent.method.as_str(), sent.url),
            ("DELETE", format!("{HOME}/api/v1/volumes/@acme/x/1.0.0"))
        );
        if outdated {
            desk.script.then([gone(), answer(200, &[], r#"{"items":[]}"#), gone()]);
        }
        assert_eq!(read(&desk).await.unwrap(), if outdated { 404 } else { 200 });
    }
}

#[tokio::test]
async fn a_change_is_repeated_with_a_key_only_and_has_one() {
    for (fields, body, times) in
        [(&[][..], "", 1), (&[("idempotency-key", "k")], "", 3), (&[], r#"{"idempotencyKey":"k"}"#, 3)]
    {
        let store = Arc::new(ObjectStorage::memory().unwrap());
        let steps = (0..3).map(|_| Step::Fail(TransportError::Broken));
        let desk = Desk::over(store, Script::of(steps), |upstream, _| upstream.retries = 2);
        assert!(matches!(desk.send(&finalize(), fields, body).await, Err(WriteRefusal::CouldNotAsk(_))));
        let asked = desk.asked();
        assert_eq!(asked.len(), times);
        assert!(asked.iter().all(|asked| asked.body == body));
    }
    let desk = Desk::relaying([]);
    let two = desk.send(&finalize(), &[("idempotency-key", "other")], r#"{"idempotencyKey":"k"}"#).await;
    assert!(matches!(two, Err(WriteRefusal::TwoKeys)));
}

#[tokio::test]
async fn what_was_sent_has_its_consequences_when_the_client_is_gone() {
    let tree = Integrity::new(Sha256::of(b"tree"));
    let change = Change::Unpublish("@acme/x".parse().unwrap(), "1.0.0".parse().unwrap());
    let desk = Desk::strict([found(&metadata(tree)), found(&row(tree))]);
    assert_eq!(read(&desk).await.unwrap(), 200);
    desk.asked();
    desk.script.then([answer(202, &[], "")]);
    {
        let fields = [TOKEN];
        let mut sent = Box::pin(desk.send(&change, &fields, ""));
        assert!(futures_util::poll!(sent.as_mut()).is_pending());
    }
    let mut asked = Vec::new();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        asked.extend(desk.asked());
    }
    assert_eq!(asked.len(), 1, "it was on its way");
    desk.script.then([gone(), answer(200, &[], r#"{"items":[]}"#), gone()]);
    assert_eq!(read(&desk).await.unwrap(), 404);
}

#[tokio::test]
async fn the_same_grant_at_once_is_one_place() {
    let desk = Desk::strict((0..8).map(|_| grant()));
    let granted = futures_util::future::join_all((0..8).map(|_| desk.granted(""))).await;
    assert!(granted.iter().all(|(place, _)| *place == granted[0].0));
}
