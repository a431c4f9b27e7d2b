//! Writes are off unless the operator says otherwise, and an offline proxy sends none.

use serde_json::json;

use super::{Ground, lamp};
use crate::support::publisher::{announcement, volume};
use crate::support::{Answer, Client, Publisher, Publishing, Release, Setup};

/// One request for every write route.
fn every_write(publisher: &Publisher) -> Vec<(&'static str, Answer)> {
    let (trust, name) = (lamp().trust("uploads"), volume(&lamp().name));
    vec![
        ("intent", publisher.ask("POST", &name, Some(&announcement(&lamp())))),
        (
            "unscoped",
            publisher.ask("POST", &volume("lamp"), Some(&announcement(&Release::new("lamp", "1.0.0")))),
        ),
        ("finalize", publisher.ask("POST", &format!("{name}/uploads/up-1/finalize"), None)),
        ("delete", publisher.withdraw(&lamp())),
        ("trust", publisher.ask("POST", &trust, Some(&json!({})))),
        ("trust finalize", publisher.ask("POST", &format!("{trust}/up-1/finalize"), None)),
    ]
}

#[test]
fn writes_are_off_by_default_and_say_so() {
    let registry = Publishing::start();
    for setup in [Setup::before(&registry), Setup::before(&registry).set("upstream.writes", false)] {
        let proxy = setup.start();
        for (what, answer) in every_write(&Publisher::at(proxy.client())) {
            let problem = answer.problem(403, "authorization-failed");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("relays no writes") && detail.contains("writes = true"),
                "{what}: {detail}"
            );
        }
        let capabilities = proxy.client().get("/api/v1/capabilities").ok().json();
        assert_eq!(capabilities["apis"]["releaseUploads"], false, "{capabilities}");
        assert_eq!(capabilities["apis"]["trustUploads"], false, "{capabilities}");
        assert!(
            capabilities.get("uploadProfiles").is_none_or(|profiles| {
                profiles
                    .as_object()
                    .is_some_and(|profiles| profiles.values().all(|kinds| kinds == &json!([])))
            }),
            "{capabilities}"
        );
    }
    assert_eq!(registry.writes(), 0);
}

#[test]
fn a_place_is_closed_when_writes_are_turned_off() {
    let mut ground = Ground::new();
    let intent = ground.announced(&lamp());
    ground.proxy.restart_as(|setup| setup.set("upstream.writes", false));
    let mut moved = intent;
    moved["upload"]["url"] =
        format!("http://{}/uploads/{}", ground.proxy.authority(), super::place(&moved)).into();
    ground.publisher().send(&moved, &lamp().archive()).problem(403, "authorization-failed");
    assert!(ground.uploads().is_empty());
}

#[test]
fn with_writes_the_registrys_uploads_are_advertised() {
    let ground = Ground::new();
    let ours = ground.proxy.client().get("/api/v1/capabilities").ok().json();
    let theirs = Client::of(&ground.registry).get("/api/v1/capabilities").ok().json();
    for member in ["releaseUploads", "trustUploads"] {
        assert_eq!(ours["apis"][member], true);
        assert_eq!(ours["uploadProfiles"][member], theirs["uploadProfiles"][member]);
    }
}

#[test]
fn an_offline_proxy_sends_nothing() {
    let mut ground = Ground::new();
    let mut intent = ground.announced(&lamp());
    let before = ground.registry.seen().len();
    ground.proxy.restart_as(|setup| setup.set("cache.offline", true));
    for (what, answer) in every_write(&ground.publisher()) {
        let problem = answer.problem(504, "about:blank");
        assert!(problem["detail"].as_str().unwrap().contains("offline"), "{what}: {problem}");
    }
    intent["upload"]["url"] =
        format!("http://{}/uploads/{}", ground.proxy.authority(), super::place(&intent)).into();
    ground.publisher().send(&intent, &lamp().archive()).problem(504, "about:blank");
    assert_eq!(ground.registry.seen().len(), before);
}

#[test]
fn a_reload_turns_writes_on_and_off() {
    let registry = Publishing::start();
    let proxy = Setup::before(&registry).start();
    let publisher = Publisher::at(proxy.client());
    publisher.announce(&lamp()).problem(403, "authorization-failed");
    proxy.reconfigure(|setup| setup.set("upstream.writes", true));
    assert_eq!(proxy.reload().status, 200);
    let intent = super::granted(&publisher.announce(&lamp()));
    assert_eq!(proxy.client().get("/api/v1/capabilities").ok().json()["apis"]["releaseUploads"], true);
    proxy.reconfigure(|setup| setup.set("upstream.writes", true).set("limits.max_request_body", "100B"));
    assert_eq!(proxy.reload().status, 200);
    publisher.send(&intent, &lamp().archive()).problem(413, "payload-too-large");
    proxy.reconfigure(|setup| setup);
    assert_eq!(proxy.reload().status, 200);
    publisher.send(&intent, &lamp().archive()).problem(403, "authorization-failed");
    assert_eq!(proxy.client().get("/api/v1/capabilities").ok().json()["apis"]["releaseUploads"], false);
    assert_eq!(registry.writes(), 1);
}
