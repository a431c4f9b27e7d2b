//! What is looked at of an upload before the registry sees a byte of it, and how each fault is told.

use serde_json::{Value, json};
use tar::EntryType;

use super::{Ground, bearer, lamp};
use crate::support::publisher::{Instruction, announcement};
use crate::support::sending::Announced;
use crate::support::tarball::{Entry, tar_gz};
use crate::support::{Answer, Publishing, Release, each, eventually, hex_digest};

/// An announcement of these bytes.
fn announcing(bytes: &[u8]) -> Value {
    let mut body = announcement(&lamp());
    body["declaredDigest"] = format!("sha256:{}", hex_digest(bytes)).into();
    body["declaredSize"] = bytes.len().into();
    body
}

/// An announcement that declares nothing.
fn undeclared() -> Value {
    json!({ "version": "1.1.0", "mediaType": "application/gzip" })
}

/// Sends bytes in a framing of the test's choice.
fn send(intent: &Value, announced: Announced, media_type: &str, bytes: &[u8]) -> Answer {
    let Instruction { client, method, target, .. } = Instruction::of(intent);
    let bearer = bearer(Publishing::TOKEN);
    let fields = [("authorization", &*bearer), ("content-type", media_type)];
    let mut upload = client.upload(&method, &target, &fields, announced).unwrap();
    upload.piece(bytes).ok();
    upload.finish().unwrap()
}

#[track_caller]
fn assert_refused(ground: &Ground, answer: &Answer, status: u16, slug: &str) {
    let problem = answer.problem(status, slug);
    assert!(ground.uploads().is_empty(), "the registry saw some of it");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    // What was staged goes behind the answer.
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
    assert!(ground.proxy.files("archives").is_empty());
}

/// The upload may still be completed with what was declared.
#[track_caller]
fn assert_still_open(ground: &Ground, intent: &Value) {
    assert_eq!(ground.publisher().send(intent, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), intent).status, 201);
    ground.assert_taken(&lamp().archive());
}

#[test]
fn other_bytes_than_were_declared_are_refused() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let mut other = lamp().archive();
    other[40] ^= 1;
    assert_refused(&ground, &ground.publisher().send(&intent, &other), 400, "digest-mismatch");
    assert_still_open(&ground, &intent);
}

#[test]
fn another_good_archive_than_was_declared_is_refused() {
    let ground = Ground::new();
    let mut body = announcement(&lamp());
    body.as_object_mut().unwrap().remove("declaredSize");
    let intent = ground.intent(&lamp(), &body);
    let other = lamp().adding(Entry::file("docs/more.md", "more"));
    assert_refused(&ground, &ground.publisher().send(&intent, &other.archive()), 400, "digest-mismatch");
    assert_still_open(&ground, &intent);
}

#[test]
fn a_bare_digest_is_a_declared_one() {
    let ground = Ground::new();
    let mut body = announcement(&lamp());
    body["declaredDigest"] = hex_digest(b"something else").into();
    let answer = ground.publisher().ask("POST", "/api/v1/volumes/@acme/lamp", Some(&body));
    // Either it is understood, and then held against the bytes, or refused as it comes.
    match answer.status {
        201 => {
            let sent = ground.publisher().send(&answer.json(), &lamp().archive());
            assert_refused(&ground, &sent, 400, "digest-mismatch");
        }
        _ => assert_refused(&ground, &answer, 400, "validation-failed"),
    }
}

#[test]
fn more_bytes_than_were_declared_are_too_many_announced_or_not() {
    let archive = lamp().archive();
    let long = [&archive[..], &[0; 1]].concat();
    for announced in [Announced::Length(long.len() as u64), Announced::Chunked] {
        let ground = Ground::new();
        let intent = ground.announced(&lamp());
        let answer = send(&intent, announced, "application/gzip", &long);
        assert_refused(&ground, &answer, 413, "payload-too-large");
        assert_still_open(&ground, &intent);
    }
}

#[test]
fn fewer_bytes_than_were_declared_are_other_bytes() {
    let archive = lamp().archive();
    let short = &archive[..archive.len() - 1];
    for announced in [Announced::Length(short.len() as u64), Announced::Chunked] {
        let ground = Ground::new();
        let intent = ground.announced(&lamp());
        let answer = send(&intent, announced, "application/gzip", short);
        assert_refused(&ground, &answer, 400, "digest-mismatch");
        assert_still_open(&ground, &intent);
    }
}

#[test]
fn chunks_are_as_good_as_a_length() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let answer = send(&intent, Announced::Chunked, "application/gzip; x=y", &lamp().archive());
    assert_eq!(answer.status, 200, "{}", answer.text());
    ground.assert_taken(&lamp().archive());
}

#[test]
fn another_media_type_is_refused() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    let archive = lamp().archive();
    for media_type in ["application/zip", "text/plain", "application/gzip, text/plain"] {
        let answer = send(&intent, Announced::Length(archive.len() as u64), media_type, &archive);
        assert_refused(&ground, &answer, 415, "unsupported-media-type");
    }
    assert_still_open(&ground, &intent);
}

/// An upload that the registry itself would have refused, and how the proxy does.
#[derive(Debug)]
struct Fault(&'static str, Vec<u8>, u16, &'static str);

fn faults() -> Vec<Fault> {
    let with = |entry: Entry| tar_gz(&lamp().adding(entry).entries);
    let manifest = |from: &str, to: &str| {
        let text = crate::support::catalogue::manifest("@acme/lamp", "1.1.0");
        assert!(text.contains(from));
        lamp().manifest(&text.replace(from, to)).archive()
    };
    let escalating = "entrypoint = \"docs/guide.md\"\npermissions = { network = \"read\" }";
    let mut cut = lamp().archive();
    cut.truncate(cut.len() / 2);
    vec![
        Fault("traversal", with(Entry::file("../evil", "x")), 400, "invalid-archive"),
        Fault("absolute", with(Entry::file("/etc/evil", "x")), 400, "invalid-archive"),
        Fault(
            "symlink",
            with(Entry::special("link", EntryType::Symlink, "volume.toml")),
            400,
            "invalid-archive",
        ),
        Fault(
            "hardlink",
            with(Entry::special("link", EntryType::Link, "volume.toml")),
            400,
            "invalid-archive",
        ),
        Fault("twice", with(Entry::file("docs/guide.md", "again")), 400, "invalid-archive"),
        Fault("no gzip", b"not a gzip at all".to_vec(), 400, "invalid-archive"),
        Fault("half", cut, 400, "invalid-archive"),
        Fault("nothing", Vec::new(), 400, "invalid-archive"),
        Fault("no manifest", tar_gz(&[Entry::file("docs/guide.md", "x")]), 400, "invalid-manifest"),
        Fault("bad manifest", lamp().manifest("[volume").archive(), 400, "invalid-manifest"),
        Fault("other name", Release::new("@acme/desk", "1.1.0").archive(), 409, "identity-mismatch"),
        Fault("no scope", Release::new("lamp", "1.1.0").archive(), 409, "identity-mismatch"),
        Fault("other version", Release::new("@acme/lamp", "1.1.1").archive(), 409, "identity-mismatch"),
        Fault(
            "escalation",
            manifest("entrypoint = \"docs/guide.md\"", escalating),
            400,
            "permission-escalation",
        ),
    ]
}

#[test]
fn an_archive_that_may_not_be_published_is_not_sent() {
    each(faults(), |Fault(what, bytes, status, slug)| {
        for body in [announcing(&bytes), undeclared()] {
            let ground = Ground::new();
            let intent = ground.intent(&lamp(), &body);
            let answer = ground.publisher().send(&intent, &bytes);
            assert_refused(&ground, &answer, status, slug);
            let failures = ground.proxy.metric("scriptorium_integrity_failures_total{stage=\"upload\"}");
            assert_eq!(failures, 1.0, "{what}");
        }
    });
}

#[test]
fn a_bomb_is_refused_without_being_unpacked() {
    let bomb = crate::support::tarball::bomb(1, 64);
    let ground = Ground::with(|setup| setup.set("limits.max_unpacked", "8MiB"));
    let intent = ground.intent(&lamp(), &announcing(&bomb));
    let answer = ground.publisher().send(&intent, &bomb);
    assert_refused(&ground, &answer, 400, "invalid-archive");
}

#[test]
fn an_intent_that_is_none_is_refused_as_it_comes() {
    let ground = Ground::new();
    let ask = |body: &Value| ground.publisher().ask("POST", "/api/v1/volumes/@acme/lamp", Some(body));
    let with = |member: &str, value: Value| {
        let mut body = announcement(&lamp());
        body[member] = value;
        body
    };
    ask(&with("version", "one".into())).problem(400, "validation-failed");
    ask(&with("declaredDigest", "md5:x".into())).problem(400, "validation-failed");
    ask(&with("declaredSize", (-1).into())).problem(400, "validation-failed");
    ask(&with("mediaType", "application/zip".into())).problem(415, "unsupported-media-type");
    ask(&with("declaredSize", (1_u64 << 40).into())).problem(413, "payload-too-large");
    assert_eq!(ground.registry.seen().len(), 0);
}

#[test]
fn where_only_sizes_are_checked_all_else_is_the_registrys_to_judge() {
    for Fault(what, bytes, _, _) in faults() {
        if bytes.is_empty() {
            continue;
        }
        let ground = Ground::with(|setup| setup.set("upstream.writes_check", "relay"));
        let intent = ground.intent(&lamp(), &announcing(&lamp().archive()));
        let room = lamp().archive().len();
        let answer = ground.publisher().send(&intent, &bytes);
        if bytes.len() > room {
            assert_refused(&ground, &answer, 413, "payload-too-large");
            continue;
        }
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        ground.assert_taken(&bytes);
        assert!(ground.proxy.files("archives").is_empty(), "{what}: unchecked bytes are kept for readers");
    }
}

#[test]
fn sizes_are_checked_also_where_nothing_else_is() {
    for check in ["relay", "strict"] {
        let limits = [("limits.max_request_body", 200_u64), ("limits.max_archive", 200)];
        for (limit, bytes) in limits {
            let ground = Ground::with(|setup| {
                setup.set("upstream.writes_check", check).set(limit, format!("{bytes}B"))
            });
            let intent = ground.intent(&lamp(), &undeclared());
            for announced in [Announced::Length(201), Announced::Chunked] {
                let answer = send(&intent, announced, "application/gzip", &[7; 201]);
                assert_refused(&ground, &answer, 413, "payload-too-large");
            }
        }
        let ground = Ground::with(|setup| setup.set("upstream.writes_check", check));
        let intent = ground.intent(&lamp(), &announcing(&[7; 200]));
        for announced in [Announced::Length(201), Announced::Chunked] {
            let answer = send(&intent, announced, "application/gzip", &[7; 201]);
            assert_refused(&ground, &answer, 413, "payload-too-large");
        }
    }
}

#[test]
fn no_request_is_longer_than_the_operator_allows() {
    let ground = Ground::with(|setup| setup.set("limits.max_request_body", "4KiB"));
    let mut body = announcement(&lamp());
    body["later"] = "x".repeat(5000).into();
    let answer = ground.publisher().ask("POST", "/api/v1/volumes/@acme/lamp", Some(&body));
    answer.problem(413, "payload-too-large");
    assert_eq!(ground.registry.seen().len(), 0);
}
