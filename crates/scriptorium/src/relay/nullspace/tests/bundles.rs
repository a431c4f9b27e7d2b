//! A deployment's version and its bundle.

use super::sample::{bundle_digest, file, sample, tar, version};
use super::*;
use crate::upstream::TransportError;

const CREATE: &str = "/v1/agent-deployments/d/versions";
const BUNDLE: &str = "/v1/agent-deployments/d/versions/v1/bundle";

fn create() -> Ask {
    Ask::new("POST", CREATE).with("idempotency-key", "k1").body(version(&sample()).to_string())
}

fn upload() -> Ask {
    Ask::new("PUT", BUNDLE)
        .with("idempotency-key", "k2")
        .with("content-type", "application/x-tar")
        .with("x-nullspace-bundle-digest", &bundle_digest(&sample()))
        .body(tar(&sample()))
}

fn created() -> Step {
    says(201, "{\"id\":\"v1\",\"status\":\"created\"}")
}

#[tokio::test]
async fn a_bundle_that_matches_its_manifest_is_sent() {
    let desk = Desk::new([created(), says(200, "{\"status\":\"building\"}")]);
    let answer = "{\"id\":\"v1\",\"status\":\"created\"}".to_owned();
    assert_eq!(desk.ask(&create()).await.unwrap(), (201, answer), "the registry's own answer");
    assert_eq!(desk.ask(&upload()).await.unwrap(), (200, "{\"status\":\"building\"}".to_owned()));
    let asked = desk.asked();
    assert_eq!(asked[0], (format!("POST {CREATE}"), version(&sample()).to_string().into()));
    assert_eq!(asked[1], (format!("PUT {BUNDLE}"), tar(&sample()).into()));
    assert_eq!(asked.len(), 2, "the manifest was remembered");
}

#[tokio::test]
async fn a_manifest_that_is_not_remembered_is_fetched() {
    let desk = Desk::new([says(200, version(&sample()).to_string()), says(200, "{}")]);
    assert_eq!(desk.status(&upload()).await, 200);
    let mut asked = desk.registry.asked();
    let (put, get) = (asked.pop().unwrap(), asked.pop().unwrap());
    assert_eq!((&*get.url, &*get.method.to_string()), (&*format!("{HOME}{CREATE}/v1"), "GET"));
    assert_eq!(get.headers["authorization"], "Bearer key", "with the client's own credential");
    assert!(!get.headers.contains_key("idempotency-key"));
    assert_eq!(put.headers["idempotency-key"], "k2");
    assert_eq!(put.headers["x-nullspace-bundle-digest"], *bundle_digest(&sample()));
}

#[tokio::test]
async fn a_manifest_is_remembered_for_its_creator_only() {
    let desk = Desk::new([created(), says(404, "{\"error\":\"none\"}")]);
    desk.status(&create()).await;
    let theirs = upload().with("authorization", "Bearer other");
    assert_eq!(desk.ask(&theirs).await.unwrap(), (404, "{\"error\":\"none\"}".to_owned()));
    assert_eq!(desk.lines(), [format!("POST {CREATE}"), format!("GET {CREATE}/v1")]);
}

#[tokio::test]
async fn a_bundle_without_a_manifest_is_refused() {
    for answer in [says(200, "{\"id\":\"v1\"}"), says(200, "no JSON"), says(202, "")] {
        let desk = Desk::new([answer]);
        assert!(desk.refusal(&upload()).await.starts_with("this proxy cannot verify the bundle"));
        assert_eq!(desk.lines(), [format!("GET {CREATE}/v1")]);
    }
    let many = ["a", "b", "c", "d", "e", "f"].map(|path| file(path, ""));
    let desk = Desk::new([says(200, version(&many).to_string())]);
    assert!(desk.refusal(&upload()).await.contains("more than 5 entries"));
}

#[tokio::test]
async fn a_bundle_that_differs_is_not_sent() {
    let desk = Desk::new([created()]);
    desk.status(&create()).await;
    desk.asked();
    let mut other = sample();
    other[1].content = b"evil()!".to_vec();
    for (ask, says) in [
        (upload().body(tar(&other)), "`src/main.py` has the digest"),
        (upload().body(tar(&sample()[..1])), "is missing"),
        (upload().body("no tar"), "the bundle cannot be read"),
        (upload().with("x-nullspace-bundle-digest", &bundle_digest(&other)), "X-Nullspace-Bundle-Digest is"),
        (upload().without("idempotency-key"), "needs the header Idempotency-Key"),
        (upload().with("idempotency-key", ""), "needs the header Idempotency-Key"),
        (upload().without("x-nullspace-bundle-digest"), "needs the header X-Nullspace-Bundle-Digest"),
        (upload().with("content-type", "application/gzip"), "expected Content-Type: application/x-tar"),
        (upload().without("content-type"), "expected Content-Type: application/x-tar"),
        (upload().announcing(Some(1 << 20)), "larger than 262144 bytes"),
        (upload().body(vec![0; 1 << 19]).announcing(None), "larger than"),
        (upload().body("short").announcing(Some(6)), "broke off"),
    ] {
        let refused = desk.refusal(&ask).await;
        assert!(refused.contains(says), "{refused}");
    }
    assert!(desk.asked().is_empty(), "not a byte was sent");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_sent_again_when_its_answer_is_lost() {
    let lost = || Step::Fail(TransportError::Broken);
    let desk = Desk::new([created(), lost(), says(200, "{}")]);
    desk.status(&create()).await;
    assert_eq!(desk.status(&upload()).await, 200);
    let asked = desk.asked();
    assert_eq!(asked[1], asked[2], "the same bytes with the same key");

    desk.then([lost(), created()]);
    assert_eq!(desk.status(&create()).await, 201, "as a creation with a key is");
    desk.then([lost()]);
    let refused = desk.answer(&create().without("idempotency-key")).await.unwrap_err();
    assert!(matches!(refused, WriteRefusal::CouldNotAsk(_)), "and one without is not");
}

#[tokio::test]
async fn a_creation_is_bounded_and_the_registry_judges_its_content() {
    let desk = Desk::new([says(422, "{\"error\":\"bad\"}")]);
    let large = create().body(vec![b' '; 5000]);
    assert!(desk.refusal(&large).await.contains("larger than 4096 bytes"));
    assert_eq!(desk.ask(&create().body("no JSON")).await.unwrap(), (422, "{\"error\":\"bad\"}".to_owned()));
}
