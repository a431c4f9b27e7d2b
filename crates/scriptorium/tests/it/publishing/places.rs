//! The place that a client is given for its upload: not to be guessed, its owner's, for a time, and remembered.

use std::collections::BTreeSet;
use std::thread;

use serde_json::Value;

use super::{Ground, bearer, lamp, place};
use crate::support::publisher::Instruction;
use crate::support::{Accident, Publishing, Release, Reply, Upstream, eventually};

const REAL: &str = "/take/up-1?signature=signed-1";

/// The same upload at another place of the same proxy.
fn moved(ground: &Ground, intent: &Value, place: &str) -> Value {
    let mut moved = intent.clone();
    moved["upload"]["url"] = format!("http://{}/uploads/{place}", ground.proxy.authority()).into();
    moved
}

/// The same place of a proxy that has another port since.
fn again(ground: &Ground, intent: &Value) -> Value {
    moved(ground, intent, place(intent))
}

#[test]
fn a_place_cannot_be_guessed() {
    let ground = Ground::new();
    let intents: Vec<_> =
        (0..4).map(|of| ground.announced(&Release::new("@acme/lamp", &format!("1.{of}.0")))).collect();
    let mut halves = BTreeSet::new();
    for intent in &intents {
        let place = place(intent);
        assert!(place.len() == 128 && place.bytes().all(|byte| byte.is_ascii_hexdigit()), "{place}");
        halves.extend([&place[..64], &place[64..]]);
        let flip = |at: usize| {
            let digit = if &place[at..=at] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &place[..at], &place[at + 1..])
        };
        for wrong in [&"0".repeat(128), &flip(0), &flip(64), &flip(127), &place[..64], &place[1..], "up-1"] {
            let answer = ground.publisher().send(&moved(&ground, intent, wrong), &lamp().archive());
            answer.problem(404, "not-found");
        }
    }
    assert_eq!(halves.len(), 8, "nothing of one is in another");
    assert!(ground.uploads().is_empty());
}

#[test]
fn a_place_is_its_owners() {
    let ground = Ground::new();
    let mut intent = ground.announced(&lamp());
    intent["upload"]["headers"] = serde_json::json!({ "content-type": "application/gzip" });
    let (archive, publisher) = (lamp().archive(), ground.publisher());
    let other = bearer(Publishing::OTHER_TOKEN);
    let answer = publisher.send_with(&intent, &[("authorization", &other)], &archive);
    answer.problem(403, "authorization-failed");
    let answer = publisher.send_with(&intent, &[], &archive);
    answer.problem(401, "authentication-required");
    assert!(answer.header("www-authenticate").is_some());
    assert!(ground.uploads().is_empty());
    assert_eq!(publisher.send(&intent, &archive).status, 200);
}

#[test]
fn a_place_is_there_for_its_time() {
    let ground = Ground::new();
    ground.registry.expire_after(-5);
    let late = ground.announced(&lamp());
    ground.publisher().send(&late, &lamp().archive()).problem(410, "upload-expired");
    ground.registry.expire_after(2);
    let soon = ground.announced(&Release::new("@acme/lamp", "2.0.0"));
    // What is refused for another reason is refused for this one when its time is over.
    eventually("an expired upload", || {
        let fields = [("authorization", &*bearer(Publishing::TOKEN)), ("content-type", "text/plain")];
        let Instruction { client, method, target, .. } = Instruction::of(&soon);
        let answer = client.send_body(&method, &target, &fields, b"x");
        assert!(matches!(answer.status, 415 | 410), "{}", answer.text());
        (answer.status == 410).then(|| answer.problem(410, "upload-expired"))
    });
    assert!(ground.uploads().is_empty());
}

#[test]
fn an_upload_that_only_the_registry_calls_expired_is_told_so() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    ground.registry.expire_all();
    let answer = ground.publisher().send(&intent, &lamp().archive());
    assert_eq!(answer.status, 410);
    assert!(answer.text().contains("The registry says upload-expired."));
}

#[test]
fn a_place_survives_a_restart() {
    let mut ground = Ground::elsewhere();
    let intent = ground.announced(&lamp());
    ground.proxy.restart();
    let intent = again(&ground, &intent);
    let other = bearer(Publishing::OTHER_TOKEN);
    let mut bare = intent.clone();
    bare["upload"]["headers"] = serde_json::json!({});
    let fields = [("content-type", "application/gzip"), ("authorization", &*other)];
    ground.publisher().send_with(&bare, &fields, &lamp().archive()).problem(403, "authorization-failed");
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    ground.proxy.restart();
    assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
    ground.assert_taken(&lamp().archive());
    assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(ground.registry.requests(&lamp().source()), 0, "seeded before the restart");
}

#[test]
fn a_replayed_intent_keeps_its_place() {
    let ground = Ground::new();
    let publisher = ground.publisher().with_key("one");
    let first = super::granted(&publisher.announce(&lamp()));
    let again = super::granted(&publisher.announce(&lamp()));
    assert_eq!(first, again);
    assert_eq!(ground.proxy.files("uploads").len(), 1);
    assert_eq!(publisher.send(&first, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), &again).status, 201);
    assert!(ground.proxy.files("uploads").is_empty(), "a finished upload is forgotten");
    ground.publisher().send(&first, &lamp().archive()).problem(404, "not-found");
}

#[test]
fn one_upload_is_sent_once_at_a_time() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let hold = ground.registry.hold(REAL);
    thread::scope(|scope| {
        let first = scope.spawn(|| ground.publisher().send(&intent, &lamp().archive()));
        eventually("the first on its way", || (ground.registry.requests(REAL) == 1).then_some(()));
        let second = ground.publisher().send(&intent, &lamp().archive());
        second.problem(409, "invalid-upload-state");
        assert!(second.header("retry-after").is_some());
        assert_eq!(ground.registry.requests(REAL), 1);
        hold.release();
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200, "and again afterwards");
}

#[test]
fn a_place_that_leads_elsewhere_is_not_followed() {
    let (ground, elsewhere) = (Ground::new(), Upstream::start());
    for target in [format!("{}/elsewhere", elsewhere.url()), "/take/up-2?signature=signed-1".to_owned()] {
        let intent = ground.announced(&lamp());
        let upload = intent["uploadId"].as_str().unwrap().to_owned();
        let real = format!("/take/{upload}?signature={}", ground.registry.signature(&upload));
        ground.registry.befall("PUT", &real, Accident::Instead(Reply::redirect(&target)));
        let answer = ground.publisher().send(&intent, &lamp().archive());
        let problem = answer.problem(502, "about:blank");
        assert!(!problem.to_string().contains("elsewhere"), "{problem}");
        assert_eq!(answer.header("location"), None);
        assert_eq!(ground.registry.requests(&real), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_place_takes_nothing_but_put() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let Instruction { client, target, .. } = Instruction::of(&intent);
    let bearer = bearer(Publishing::TOKEN);
    for method in ["GET", "POST", "DELETE", "PATCH"] {
        let answer = client.send_body(method, &target, &[("authorization", &bearer)], b"");
        assert!(matches!(answer.status, 404 | 405), "{method}: {}", answer.status);
    }
    assert!(ground.uploads().is_empty());
}
