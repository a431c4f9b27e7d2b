//! Grants that cannot be followed: nobody is told of a place to go to around this proxy.

use std::fmt;

use serde_json::{Value, json};

use super::{Ground, lamp};
use crate::support::publisher::volume;
use crate::support::{Accident, Reply, each};

fn grant(upload: &Value) -> Value {
    json!({ "uploadId": "up-9", "upload": upload, "expiresAt": "2099-01-02T03:04:05Z", "state": "pending-upload" })
}

/// An answer to an intent, and why it is no grant.
struct Broken(&'static str, Reply);

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn broken() -> Vec<Broken> {
    let real = "/take/secret-place";
    let mut unending = grant(&json!({ "url": real }));
    unending.as_object_mut().unwrap().remove("expiresAt");
    let answer = |upload: Value| Reply::answer(201, &grant(&upload));
    vec![
        Broken("no JSON", Reply::new(201, "application/json", "secret-place")),
        Broken("no upload", Reply::answer(201, &json!({ "uploadId": "secret-place" }))),
        Broken("no end", Reply::answer(201, &unending)),
        Broken("no PUT", answer(json!({ "url": real, "method": "DELETE" }))),
        Broken("parts", answer(json!({ "url": real, "instructionType": "multipart" }))),
        Broken("a broken field", answer(json!({ "url": real, "headers": { "a": "b\r\nsecret-place: c" } }))),
        Broken("no scheme we speak", answer(json!({ "url": "file:///etc/secret-place" }))),
        Broken("an inner address", answer(json!({ "url": "http://169.254.169.254/secret-place" }))),
        Broken("the loopback by another name", answer(json!({ "url": "http://localhost:9/secret-place" }))),
        Broken("with a password", answer(json!({ "url": "http://u:secret-place@127.0.0.1:9/" }))),
        Broken("compressed", answer(json!({ "url": real })).with("content-encoding", "gzip")),
        Broken("too long", Reply::new(201, "application/json", vec![b' '; 5 << 20])),
    ]
}

#[test]
fn a_grant_that_cannot_be_followed_is_not_passed_on() {
    each(broken(), |Broken(what, reply)| {
        let ground = Ground::with(|setup| setup.set("limits.max_document", "4MiB"));
        ground.registry.befall("POST", &volume(&lamp().name), Accident::Instead(reply));
        let answer = ground.publisher().announce(&lamp());
        let problem = answer.problem(502, "about:blank").to_string();
        assert!(!problem.contains("secret-place"), "{what}: {problem}");
        assert!(!answer.fields.iter().any(|(_, value)| value.contains("secret-place")), "{what}");
        assert!(ground.proxy.files("uploads").is_empty(), "{what}: something is remembered of it");
        assert_eq!(ground.registry.count("POST", &volume(&lamp().name)), 1, "{what}: asked again");
    });
}

#[test]
fn a_relative_place_is_the_registrys_own() {
    let ground = Ground::new();
    let url = json!({ "url": "../../../take/up-9?signature=mine", "headers": { "X-Upload-Own": "yes", "Host": "evil" } });
    ground.registry.befall(
        "POST",
        &volume(&lamp().name),
        Accident::Instead(Reply::answer(201, &grant(&url))),
    );
    ground.registry.reply_to("PUT", "/api/take/up-9", Reply::new(204, "text/plain", ""));
    let intent = ground.announced(&lamp());
    let sent = ground.publisher().send(&intent, &lamp().archive());
    let seen = ground.registry.seen().pop().unwrap();
    assert_eq!(seen.path().rsplit_once("/take/").map(|(_, rest)| rest), Some("up-9"), "{}", seen.target);
    assert!(seen.target.ends_with("?signature=mine"), "as it was given");
    assert_eq!(
        (seen.header("x-upload-own"), seen.header("host")),
        (Some("yes"), Some(&*ground.registry.authority()))
    );
    assert!(matches!(sent.status, 204 | 404), "{}", sent.text());
}

#[test]
fn what_a_registry_adds_to_a_grant_is_the_clients() {
    let ground = Ground::new();
    let mut granted = grant(&json!({ "url": "/take/up-9", "later": [1], "method": "PUT" }));
    granted["extensions"] = json!({ "acme": { "queue": 7 } });
    let reply = Reply::answer(201, &granted).with("cache-control", "max-age=600").with("set-cookie", "a=b");
    ground.registry.befall("POST", &volume(&lamp().name), Accident::Instead(reply));
    let answer = ground.publisher().announce(&lamp());
    let intent = super::granted(&answer);
    assert_eq!(intent["extensions"], granted["extensions"]);
    assert_eq!(intent["upload"]["later"], json!([1]));
    assert_eq!(intent["expiresAt"], granted["expiresAt"]);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "it opens a place");
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn no_answer_to_a_write_is_to_be_kept_whatever_the_registry_says() {
    let ground = Ground::new();
    let reply = Reply::answer(202, &json!({})).with("cache-control", "public, max-age=600");
    ground.registry.befall("DELETE", &lamp().exact(), Accident::Instead(reply));
    assert_eq!(ground.publisher().withdraw(&lamp()).header("cache-control"), Some("no-store"));
}
