//! How bodies of writes begin and end on the wire: asked for, refused early, answered early, and never taken for
//! something else.

use serde_json::Value;

use super::{Ground, bearer, lamp};
use crate::support::publisher::{Instruction, volume};
use crate::support::sending::Announced;
use crate::support::tarball::Entry;
use crate::support::{Accident, Conversation, Publishing, Release, Reply, eventually, noise};

const REAL: &str = "/take/up-1?signature=signed-1";

fn big() -> Release {
    lamp().adding(Entry::file("data.bin", noise(3, 4 << 20)))
}

fn target(intent: &Value) -> String {
    Instruction::of(intent).target
}

/// A request's head on a connection that is to stay open.
fn head(ground: &Ground, method: &str, target: &str, length: usize, more: &str) -> Vec<u8> {
    let (host, bearer) = (ground.proxy.authority(), bearer(Publishing::TOKEN));
    format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: {bearer}\r\n\
         content-type: application/gzip\r\ncontent-length: {length}\r\n{more}\r\n"
    )
    .into_bytes()
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let ground = Ground::new();
    let (intent, archive) = (ground.announced(&lamp()), lamp().archive());
    let mut conversation = Conversation::open(ground.proxy.client().0).unwrap();
    let more = "expect: 100-continue\r\n";
    conversation.write(&head(&ground, "PUT", &target(&intent), archive.len(), more)).unwrap();
    assert_eq!(conversation.begin().unwrap().status, 100);
    conversation.write(&archive).unwrap();
    assert_eq!(conversation.answer_to("PUT").unwrap().status, 200);
    ground.assert_taken(&archive);
    assert_eq!(ground.uploads()[0].header("expect"), None, "that is between two ends of one connection");
}

#[test]
fn a_body_that_is_refused_is_not_taken_for_a_request() {
    let ground = Ground::with(|setup| setup.set("limits.header_timeout", "1s"));
    let intent = ground.announced(&lamp());
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\nx-request-id: smuggled\r\n\r\n".repeat(200);
    let routes = [
        ("PUT", format!("/uploads/{}", "0".repeat(128))),
        ("PUT", target(&intent)),
        ("POST", volume("lamp")),
        ("POST", volume("lamp") + "/uploads/up-1/finalize"),
        ("DELETE", lamp().exact()),
    ];
    for (method, target) in routes {
        let mut conversation = Conversation::open(ground.proxy.client().0).unwrap();
        conversation.write(&head(&ground, method, &target, smuggled.len(), "")).unwrap();
        conversation.write(smuggled.as_bytes()).ok();
        let first = conversation.answer_to(method).unwrap();
        assert!((400..500).contains(&first.status), "{method} {target}: {}", first.text());
        let next = conversation.answer().ok();
        let id = next.as_ref().and_then(|next| next.header("x-request-id"));
        assert_ne!(id, Some("smuggled"), "{method} {target}");
    }
    assert!(ground.uploads().is_empty());
    assert_eq!(ground.registry.requests("/smuggled"), 0);
}

#[test]
fn a_connection_goes_on_after_an_upload() {
    let ground = Ground::new();
    let (intent, archive) = (ground.announced(&lamp()), lamp().archive());
    let mut conversation = Conversation::open(ground.proxy.client().0).unwrap();
    conversation.write(&head(&ground, "PUT", &target(&intent), archive.len(), "")).unwrap();
    conversation.write(&archive).unwrap();
    assert_eq!(conversation.answer_to("PUT").unwrap().status, 200);
    let finalize = volume(&lamp().name) + "/uploads/up-1/finalize";
    conversation.write(&head(&ground, "POST", &finalize, 0, "")).unwrap();
    assert_eq!(conversation.answer_to("POST").unwrap().status, 201);
}

#[test]
fn a_place_that_refuses_before_it_has_read_is_heard() {
    let ground = Ground::new();
    let intent = ground.announced(&big());
    let problem = Reply::problem(413, "payload-too-large", "Too large", "Not that much.");
    ground.registry.befall("PUT", REAL, Accident::Early(problem));
    let answer = ground.publisher().send(&intent, &big().archive());
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!(answer.json()["detail"], "Not that much.");
    assert_eq!(ground.registry.requests(REAL), 1);
    assert_eq!(ground.publisher().send(&intent, &big().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&big(), &intent).status, 201);
}

#[test]
fn whoever_leaves_during_a_finalize_has_finalized() {
    let ground = Ground::with(|setup| setup.set("cache.index_ttl", "6h").set("cache.negative_ttl", "6h"));
    let client = ground.proxy.client();
    client.get(&lamp().exact()).problem(404, "not-found");
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    let route = volume(&lamp().name) + "/uploads/up-1/finalize";
    let hold = ground.registry.hold(&route);
    let bearer = bearer(Publishing::TOKEN);
    let fields = [("authorization", &*bearer)];
    let finalize = client.upload("POST", &route, &fields, Announced::Length(0)).unwrap();
    eventually("the finalize on its way", || (ground.registry.requests(&route) == 1).then_some(()));
    finalize.leave();
    hold.release();
    eventually("a finished upload", || ground.proxy.files("uploads").is_empty().then_some(()));
    client.get(&lamp().exact()).ok();
    assert_eq!(client.get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(ground.registry.requests(&lamp().source()), 0);
}

#[test]
fn uploads_that_stall_give_their_turns_to_others() {
    let ground = Ground::with(|setup| setup.set("limits.send_timeout", "2s"));
    let releases: Vec<_> = (0..24).map(|of| Release::new("@acme/lamp", &format!("1.{of}.0"))).collect();
    let stalled: Vec<_> = releases
        .iter()
        .map(|release| {
            let intent = ground.announced(release);
            let Instruction { client, method, target, .. } = Instruction::of(&intent);
            let bearer = bearer(Publishing::TOKEN);
            let fields = [("authorization", &*bearer), ("content-type", "application/gzip")];
            let length = release.archive().len() as u64;
            let mut upload = client.upload(&method, &target, &fields, Announced::Length(length)).unwrap();
            upload.piece(&release.archive()[..9]).unwrap();
            upload
        })
        .collect();
    let intent = ground.announced(&big());
    let last = ground.publisher().send(&intent, &big().archive());
    assert_eq!(last.status, 200, "{}", last.text());
    drop(stalled);
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
    ground.assert_taken(&big().archive());
}
