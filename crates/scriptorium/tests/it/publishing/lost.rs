//! Answers that are lost on the way: a key makes repeating safe, and nothing else does.

use serde_json::Value;

use super::{Ground, granted, lamp};
use crate::support::publisher::volume;
use crate::support::{Accident, Answer};

const REAL: &str = "/take/up-1?signature=signed-1";

/// A proxy that would try three times, on a connection that was used before.
fn ground() -> Ground {
    let ground = Ground::with(|setup| setup.set("upstream.retries", 2));
    ground.proxy.client().get("/api/v1/capabilities").ok();
    ground
}

fn finalize_route(intent: &Value) -> String {
    format!("{}/uploads/{}/finalize", volume(&lamp().name), intent["uploadId"].as_str().unwrap())
}

/// What may have happened is said to be unknown.
#[track_caller]
fn assert_unknown(answer: &Answer) {
    let problem = answer.problem(502, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("may have done"), "{problem}");
}

#[test]
fn an_intent_with_a_key_is_repeated_and_replayed() {
    for accident in [Accident::AnswerLost, Accident::Unread, Accident::BodyCut(10)] {
        let ground = ground();
        let target = volume(&lamp().name);
        ground.registry.befall("POST", &target, accident);
        let publisher = ground.publisher().with_key("one");
        let intent = granted(&publisher.announce(&lamp()));
        assert_eq!(ground.registry.count("POST", &target), 2);
        let asked = ground.registry.asked("POST", &target);
        assert!(asked.iter().all(|seen| seen.header("idempotency-key") == Some("one")));
        assert_eq!(intent["uploadId"], "up-1", "one upload was granted");
        assert_eq!(granted(&publisher.announce(&lamp()))["upload"]["url"], intent["upload"]["url"]);
        assert_eq!(publisher.send(&intent, &lamp().archive()).status, 200);
        assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
    }
}

#[test]
fn a_key_in_the_body_is_one_too() {
    let ground = ground();
    let target = volume(&lamp().name);
    ground.registry.befall("POST", &target, Accident::AnswerLost);
    let mut body = crate::support::publisher::announcement(&lamp());
    body["idempotencyKey"] = "one".into();
    ground.intent(&lamp(), &body);
    assert_eq!(ground.registry.count("POST", &target), 2);
}

#[test]
fn an_intent_without_a_key_is_not_repeated() {
    for accident in [Accident::AnswerLost, Accident::Unread, Accident::BodyCut(10)] {
        let ground = ground();
        let target = volume(&lamp().name);
        ground.registry.befall("POST", &target, accident);
        assert_unknown(&ground.publisher().announce(&lamp()));
        assert_eq!(ground.registry.count("POST", &target), 1);
        assert_eq!(ground.publisher().announce(&lamp()).status, 201, "its client may");
    }
}

#[test]
fn an_empty_key_makes_nothing_safe() {
    let ground = ground();
    let target = volume(&lamp().name);
    ground.registry.befall("POST", &target, Accident::AnswerLost);
    assert_unknown(&ground.publisher().with_key("").announce(&lamp()));
    assert_eq!(ground.registry.count("POST", &target), 1);
}

#[test]
fn a_finalize_without_a_key_is_not_repeated_and_its_release_is_read() {
    let ground = ground();
    ground.proxy.client().get(&lamp().exact()).problem(404, "not-found");
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    ground.registry.befall("POST", &finalize_route(&intent), Accident::AnswerLost);
    assert_unknown(&ground.publisher().finalize(&lamp(), &intent));
    assert_eq!(ground.registry.count("POST", &finalize_route(&intent)), 1);
    ground.proxy.client().get(&lamp().exact()).ok();
    assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(ground.registry.requests(&lamp().source()), 0);
    let again = ground.publisher().finalize(&lamp(), &intent);
    assert!(again.status == 409 && again.text().contains("The registry says invalid-upload-state."));
}

#[test]
fn a_finalize_with_a_key_is_repeated_and_replayed() {
    let ground = ground();
    let publisher = ground.publisher().with_key("one");
    let intent = granted(&publisher.announce(&lamp()));
    assert_eq!(publisher.send(&intent, &lamp().archive()).status, 200);
    let publisher = publisher.with_key("two");
    ground.registry.befall("POST", &finalize_route(&intent), Accident::AnswerLost);
    let first = publisher.finalize(&lamp(), &intent);
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(ground.registry.count("POST", &finalize_route(&intent)), 2);
    let again = publisher.finalize(&lamp(), &intent);
    assert_eq!((again.status, again.json()), (201, first.json()));
    assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
}

#[test]
fn a_withdrawal_without_a_key_is_not_repeated_and_is_seen() {
    let ground = ground();
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    ground.proxy.client().get(&lamp().exact()).ok();
    ground.registry.befall("DELETE", &lamp().exact(), Accident::AnswerLost);
    assert_unknown(&ground.publisher().withdraw(&lamp()));
    assert_eq!(ground.registry.count("DELETE", &lamp().exact()), 1);
    ground.proxy.client().get(&lamp().exact()).problem(404, "not-found");
}

#[test]
fn bytes_are_sent_once_and_again_by_their_client() {
    for accident in [Accident::AnswerLost, Accident::Unread, Accident::BodyCut(100)] {
        let ground = ground();
        let publisher = ground.publisher().with_key("one");
        let intent = granted(&publisher.announce(&lamp()));
        ground.registry.befall("PUT", REAL, accident);
        let lost = publisher.send_with(&intent, &[("idempotency-key", "one")], &lamp().archive());
        assert!(lost.problem(502, "about:blank")["detail"].is_string());
        assert_eq!(ground.registry.count("PUT", REAL), 1);
        assert_eq!(publisher.send(&intent, &lamp().archive()).status, 200);
        assert_eq!(ground.registry.count("PUT", REAL), 2);
        assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
        assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        assert_eq!(ground.registry.requests(&lamp().source()), 0);
    }
}

#[test]
fn a_registry_that_is_gone_was_not_asked() {
    let ground = ground();
    let intent = ground.announced(&lamp());
    ground.registry.down();
    for answer in [
        ground.publisher().announce(&lamp()),
        ground.publisher().send(&intent, &lamp().archive()),
        ground.publisher().withdraw(&lamp()),
    ] {
        answer.could_not_ask();
    }
    ground.registry.up();
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
}
