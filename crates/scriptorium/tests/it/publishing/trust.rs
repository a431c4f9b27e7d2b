//! Attachments through the proxy: bound to their release, held against what was declared, and read at once.

use serde_json::{Value, json};

use super::{Ground, granted, lamp};
use crate::support::catalogue::Artifact;
use crate::support::{Client, Publisher, Release, hex_digest};

const KIND: &str = "application/vnd.cyclonedx+json";

fn artifact() -> Artifact {
    Artifact::new("bom", KIND, "{\"bom\":1}")
}

/// A ground where the release is published, and its trust views are warm.
fn published() -> Ground {
    let ground = Ground::with(|setup| setup.set("cache.trust_ttl", "6h").set("cache.negative_ttl", "6h"));
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    ground.registry.reply(&lamp().trust("detail"), crate::support::Reply::json(&lamp().trust_detail()));
    ground.registry.reply(&lamp().trust("summary"), crate::support::Reply::json(&lamp().trust_summary()));
    let client = ground.proxy.client();
    for view in ["detail", "summary"] {
        client.get(&lamp().trust(view)).ok();
        assert!(client.get(&lamp().trust(view)).ok().is_hit());
    }
    ground
}

/// The writes that the registry saw after those of the release.
fn writes(ground: &Ground) -> usize {
    ground.registry.writes() - 3
}

fn announcement() -> Value {
    let attachment = artifact().attachment("");
    json!({
        "subject": { "purl": lamp().purl(), "integrity": lamp().integrity() },
        "attachment": { "category": attachment["category"], "format": attachment["format"] },
        "declaredDigest": attachment["artifactDigest"],
        "declaredSize": artifact().bytes.len(),
    })
}

#[test]
fn an_attachment_is_read_as_soon_as_it_is_finalized() {
    let ground = published();
    let intent = granted(&ground.publisher().announce_trust(&lamp(), &artifact()));
    assert!(!intent.to_string().contains("signed-2"), "{intent}");
    let sent = ground.publisher().send(&intent, &artifact().bytes);
    assert_eq!(sent.status, 200, "{}", sent.text());
    let last = ground.uploads().pop().unwrap();
    assert_eq!((last.sha256(), last.header("content-type")), (artifact().hex(), Some(KIND)));
    assert_eq!(last.header("x-upload-signature"), Some(ground.registry.signature("up-2").as_str()));
    let finalized = ground.publisher().finalize_trust(&lamp(), &intent);
    assert_eq!(finalized.status, 201, "{}", finalized.text());
    let ours = format!("http://{}{}", ground.proxy.authority(), lamp().trust("detail"));
    assert_eq!(finalized.json()["detailUrl"], ours);
    let detail = ground.proxy.client().get(&lamp().trust("detail")).ok();
    assert_eq!(detail.json()["attachments"][0]["artifactDigest"], format!("sha256:{}", artifact().hex()));
    assert!(!ground.proxy.client().get(&lamp().trust("summary")).ok().is_hit());
    let bytes = ground.proxy.client().get(&artifact().download(&lamp())).ok().body;
    assert_eq!(bytes, artifact().bytes);
    assert!(ground.proxy.files("uploads").is_empty());
}

#[test]
fn another_subject_is_refused_before_the_registry_is_bothered() {
    let ground = published();
    let other = Release::new("@acme/lamp", "1.1.1");
    let digest = format!("sha256:{}", hex_digest(b"another tree"));
    for (member, value) in
        [("purl", other.purl()), ("purl", Release::new("lamp", "1.1.0").purl()), ("integrity", digest)]
    {
        let mut body = announcement();
        body["subject"][member] = value.clone().into();
        let answer = ground.publisher().ask("POST", &lamp().trust("uploads"), Some(&body));
        let problem = answer.problem(400, "subject-binding-mismatch");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(member) && detail.contains(&value), "{detail}");
    }
    assert_eq!(writes(&ground), 0);
}

#[test]
fn an_attachment_needs_a_release() {
    let ground = published();
    let nowhere = Release::new("@acme/lamp", "7.0.0");
    let answer = ground.publisher().announce_trust(&nowhere, &artifact());
    answer.problem(404, "not-found");
    assert_eq!(writes(&ground), 0);
}

#[test]
fn an_intent_must_be_understood() {
    let ground = published();
    for member in ["subject", "attachment", "declaredDigest"] {
        let mut body = announcement();
        body.as_object_mut().unwrap().remove(member);
        let answer = ground.publisher().ask("POST", &lamp().trust("uploads"), Some(&body));
        let problem = answer.problem(400, "validation-failed");
        assert!(problem["detail"].as_str().unwrap().contains(member), "{problem}");
    }
    assert_eq!(writes(&ground), 0);
}

#[test]
fn the_bytes_are_held_against_what_was_declared() {
    let ground = published();
    let intent = granted(&ground.publisher().announce_trust(&lamp(), &artifact()));
    let uploads = ground.uploads().len();
    let mut other = artifact().bytes;
    other[2] ^= 1;
    ground.publisher().send(&intent, &other).problem(400, "digest-mismatch");
    ground.publisher().send(&intent, &other[1..]).problem(400, "digest-mismatch");
    other.push(0);
    ground.publisher().send(&intent, &other).problem(413, "payload-too-large");
    let mut untyped = intent.clone();
    untyped["upload"]["headers"]["content-type"] = "text/plain".into();
    ground.publisher().send(&untyped, &artifact().bytes).problem(415, "unsupported-media-type");
    let early = ground.publisher().finalize_trust(&lamp(), &intent);
    assert_eq!(early.status, 400);
    assert!(early.text().contains("The registry says missing-uploaded-bytes."), "{}", early.text());
    assert_eq!(ground.uploads().len(), uploads);
    assert_eq!(ground.publisher().send(&intent, &artifact().bytes).status, 200);
    assert_eq!(ground.publisher().finalize_trust(&lamp(), &intent).status, 201);
}

#[test]
fn where_only_sizes_are_checked_the_registry_judges_the_subject() {
    let ground = Ground::with(|setup| setup.set("upstream.writes_check", "relay"));
    assert_eq!(Publisher::at(Client::of(&ground.registry)).publish(&lamp()).status, 201);
    let mut body = announcement();
    body["subject"]["purl"] = Release::new("lamp", "1.1.0").purl().into();
    let answer = ground.publisher().ask("POST", &lamp().trust("uploads"), Some(&body));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("The registry says subject-binding-mismatch."), "{}", answer.text());
}
