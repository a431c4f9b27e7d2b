//! One request has one key, and what the registry says of a write is what the client is told.

use serde_json::json;

use super::{Ground, lamp};
use crate::support::publisher::{announcement, volume};
use crate::support::{Accident, Answer, Client, Publisher, Release, Reply};

#[test]
fn two_keys_in_one_request_are_a_conflict_before_the_registry_is_bothered() {
    let ground = Ground::new();
    let publisher = ground.publisher().with_key("one");
    let mut body = announcement(&lamp());
    body["idempotencyKey"] = "two".into();
    let other = json!({ "idempotencyKey": "two" });
    let finalize = format!("{}/uploads/up-1/finalize", volume(&lamp().name));
    for (method, target, body) in [
        ("POST", volume(&lamp().name), &body),
        ("POST", finalize, &other),
        ("DELETE", lamp().exact(), &other),
        ("POST", lamp().trust("uploads"), &other),
        ("POST", lamp().trust("uploads/up-1/finalize"), &other),
    ] {
        let answer = publisher.ask(method, &target, Some(body));
        let problem = answer.problem(409, "idempotency-conflict");
        assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{target}: {problem}");
    }
    assert_eq!(ground.registry.seen().len(), 0);
}

#[test]
fn the_same_key_twice_is_one_key() {
    let ground = Ground::new();
    let mut body = announcement(&lamp());
    body["idempotencyKey"] = "one".into();
    let ask = |publisher: &Publisher| publisher.ask("POST", &volume(&lamp().name), Some(&body));
    let first = super::granted(&ask(&ground.publisher().with_key("one")));
    let again = super::granted(&ask(&ground.publisher()));
    assert_eq!(first["upload"]["url"], again["upload"]["url"]);
    let seen = ground.registry.asked("POST", &volume(&lamp().name));
    assert_eq!(seen[0].header("idempotency-key"), Some("one"));
    assert_eq!(seen[0].json(), body, "the body goes on as it came");
    // Whether a key was used for something else, the registry knows.
    body["declaredSize"] = 7.into();
    let other = ground.publisher().with_key("one").ask("POST", &volume(&lamp().name), Some(&body));
    assert_eq!(other.status, 409);
    assert!(other.text().contains("idempotency-conflict"));
}

/// The same asked of the proxy and of the registry itself.
fn both(ground: &Ground, ask: impl Fn(&Publisher) -> Answer) -> [Answer; 2] {
    [ask(&ground.publisher()), ask(&Publisher::at(Client::of(&ground.registry)))]
}

#[track_caller]
fn assert_untouched([ours, theirs]: [Answer; 2], status: u16) {
    assert_eq!((ours.status, theirs.status), (status, status), "{}", ours.text());
    assert_eq!(ours.body, theirs.body);
    for field in ["content-type", "retry-after", "www-authenticate"] {
        assert_eq!(ours.header(field), theirs.header(field), "{field}");
    }
    assert_eq!(ours.header("cache-control"), Some("no-store"));
    assert_eq!(ours.header("cache-status"), Some(&*format!("scriptorium; fwd=method; fwd-status={status}")));
}

#[test]
fn what_the_registry_refuses_is_refused_in_its_words() {
    let ground = Ground::new();
    ground.registry.forbid("known");
    assert_untouched(both(&ground, |by| by.clone().with_token("unknown").announce(&lamp())), 401);
    assert_untouched(both(&ground, |by| by.clone().with_token("known").announce(&lamp())), 403);
    assert_untouched(both(&ground, |by| by.withdraw(&lamp())), 404);
    assert_untouched(both(&ground, |by| by.clone().with_token("unknown").withdraw(&lamp())), 401);
    let none = json!({ "uploadId": "up-99" });
    assert_untouched(both(&ground, |by| by.finalize(&lamp(), &none)), 404);
    assert_eq!(Publisher::at(Client::of(&ground.registry)).publish(&lamp()).status, 201);
    assert_untouched(both(&ground, |by| by.announce(&lamp())), 409);
    let next = Release::new("@acme/lamp", "2.0.0");
    let intent = ground.announced(&next);
    assert_untouched(both(&ground, |by| by.finalize(&next, &intent)), 400);
}

#[test]
fn a_busy_or_broken_registry_is_told_as_it_is_and_asked_once() {
    for (status, reply) in [
        (429, Reply::problem(429, "rate-limited", "Slow down", "Later.").with("retry-after", "17")),
        (500, Reply::problem(500, "oops", "Broken", "It broke.")),
        (503, Reply::failure(503).with("retry-after", "3")),
        (418, Reply::new(418, "text/plain", "short and stout")),
    ] {
        let ground = Ground::with(|setup| setup.set("upstream.retries", 2));
        for (method, target) in [("POST", volume(&lamp().name)), ("DELETE", lamp().exact())] {
            ground.registry.befall(method, &target, Accident::Instead(reply.clone()));
            ground.registry.befall(method, &target, Accident::Instead(reply.clone()));
        }
        let ours = ground.publisher().with_key("one").announce(&lamp());
        let theirs = Publisher::at(Client::of(&ground.registry)).announce(&lamp());
        assert_untouched([ours, theirs], status);
        assert_eq!(ground.registry.count("POST", &volume(&lamp().name)), 2, "one of them direct");
        if status != 429 && status != 503 {
            let ours = ground.publisher().withdraw(&lamp());
            assert_untouched([ours, Publisher::at(Client::of(&ground.registry)).withdraw(&lamp())], status);
        }
    }
}

#[test]
fn what_the_place_says_is_told_too() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let place = "/take/up-1?signature=signed-1";
    let problem = Reply::problem(409, "invalid-upload-state", "No", "Not now.");
    ground.registry.befall("PUT", place, Accident::Instead(problem));
    let refused = ground.publisher().send(&intent, &lamp().archive());
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["detail"], "Not now.");
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
}

#[test]
fn what_one_writer_is_told_keeps_nobody_else_from_the_registry() {
    let ground = Ground::new();
    for reply in [
        Reply::problem(429, "rate-limited", "Slow down", "Later.").with("retry-after", "600"),
        Reply::failure(500),
        Reply::failure(503).with("retry-after", "600"),
    ] {
        for _ in 0..6 {
            ground.registry.befall("DELETE", &lamp().exact(), Accident::Instead(reply.clone()));
            ground.publisher().withdraw(&lamp());
        }
    }
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    ground.proxy.client().get(&lamp().index()).ok();
    ground.proxy.client().get(&lamp().exact()).ok();
}
