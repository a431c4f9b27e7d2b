//! A bundle goes to the API byte for byte if it is what its version's manifest says, and not at all otherwise.

use serde_json::{Value, json};
use tar::EntryType;

use crate::support::nullspace::digest;
use crate::support::relay::Relay;
use crate::support::tarball::{Entry, tar};
use crate::support::{Accident, Agent, Announced, Answer, Ending, Nullspace, each, hex_digest, noise};

/// Header fields of a request.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// A change of what an agent's project holds.
type Change = fn(&mut Vec<Entry>);

/// A proxy through which a version for this agent was made.
fn created(agent: &Agent) -> (Relay, String) {
    let relay = Relay::start();
    assert_eq!(relay.deployer().create(agent)["id"], "ver-1");
    let target = relay.api.bundle(1);
    (relay, target)
}

#[track_caller]
fn assert_taken(relay: &Relay, answer: Answer, tar: &[u8]) {
    assert_eq!(answer.ok().json()["status"], "building");
    assert_eq!(relay.api.bundle_bytes("ver-1").as_deref(), Some(tar));
}

#[test]
fn a_sound_bundle_goes_through_byte_for_byte() {
    let (mut agent, longest) = (Agent::new(), "a".repeat(90));
    agent.0.push(Entry::file("zz/empty", ""));
    agent.0.push(Entry::file(&format!("zz/{longest}"), noise(3, 3 << 20)));
    let (relay, target) = created(&agent);
    let mut tar = agent.tar();
    tar.resize(tar.len().next_multiple_of(10_240), 0);
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &tar);
    assert_taken(&relay, answer, &tar);
    let seen = relay.api.asked("PUT", &target);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("content-length"), Some(tar.len().to_string().as_str()));
    assert_eq!(seen[0].header("content-type"), Some("application/x-tar"));
    assert_eq!(seen[0].header("x-nullspace-bundle-digest"), Some(agent.digest().as_str()));
    assert_eq!(seen[0].header("idempotency-key"), Some("a bundle"));
    assert_eq!(seen[0].bearer(), Some(Nullspace::KEY));
    let asked = relay.api.count("GET", "/v1/agent-deployments/dep-1/versions/ver-1");
    assert_eq!(asked, 0, "the manifest was learnt when the version was made");
    relay.assert_nothing_is_staged();
}

#[test]
fn a_bundle_in_chunks_goes_on_with_its_length() {
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    let tar = agent.tar();
    let mut upload = relay.deployer().sending_bundle(&target, &agent.digest(), Announced::Chunked);
    tar.chunks(700).for_each(|piece| upload.piece(piece).unwrap());
    assert_taken(&relay, upload.finish().unwrap(), &tar);
}

#[test]
fn each_single_deviation_from_the_manifest_is_refused_and_the_api_sees_no_bundle() {
    let deviations: [(&str, &str, Change); 13] = [
        ("another byte", "agent/main.py", |all| all[1].content[0] ^= 1),
        ("a byte more", "agent/main.py", |all| all[1].content.push(b'\n')),
        ("fewer bytes", "agent/main.py", |all| all[1].content.truncate(4)),
        ("executable", "agent/main.py", |all| all[1].executable = true),
        ("not executable", "run.sh", |all| all[3].executable = false),
        ("a missing file", "agent/main.py", |all| drop(all.remove(1))),
        ("a missing folder", "agent", |all| drop(all.remove(0))),
        ("a missing link", "agent/same.py", |all| drop(all.remove(2))),
        ("one more", "extra", |all| all.push(Entry::file("extra", "x"))),
        ("one that was excluded", ".env", |all| all.push(Entry::file(".env", "SECRET=1\n"))),
        ("one twice", "run.sh", |all| all.push(all[3].clone())),
        ("a link elsewhere", "agent/same.py", |all| all[2].target = "../run.sh".to_owned()),
        ("a hard link", "agent/same.py", |all| all[2].kind = EntryType::Link),
    ];
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    each(deviations, |(what, path, deviate)| {
        let mut wrong = agent.clone();
        deviate(&mut wrong.0);
        let answer = relay.deployer().send_bundle(&target, &agent.digest(), &wrong.tar());
        let code = if what == "a hard link" { "invalid_bundle" } else { "bundle_mismatch" };
        let error = answer.refused_here(400, code);
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(&format!("`{path}`")), "{what}: {said}");
    });
    relay.assert_unseen("PUT", &target);
    let refused = relay.sample("scriptorium_integrity_failures_total", &["upload"]);
    assert_eq!(refused, 13.0);
    relay.assert_nothing_is_staged();
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &agent.tar());
    assert_taken(&relay, answer, &agent.tar());
}

#[test]
fn a_bundle_that_can_be_read_in_no_way_or_in_two_is_refused() {
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    let whole = agent.tar();
    let mut trailing = whole.clone();
    trailing.extend(tar(&[Entry::file("behind", "the end")]));
    let mut checksum = whole.clone();
    checksum[0] ^= 1;
    let zipped = crate::support::tarball::gzip(&whole);
    let absolute = tar(&[Entry::file("/agent/main.py", "print('hello')\n")]);
    let bad: [(&str, Vec<u8>, &[&str]); 7] = [
        ("noise", noise(1, 5000), &["invalid_bundle"]),
        ("short", whole[..1300].to_vec(), &["invalid_bundle"]),
        ("something behind the end", trailing, &["invalid_bundle"]),
        ("a wrong checksum", checksum, &["invalid_bundle"]),
        ("a gzip", zipped, &["invalid_bundle"]),
        ("an absolute path", absolute, &["bundle_mismatch", "invalid_bundle"]),
        ("nothing", Vec::new(), &["bundle_mismatch", "invalid_bundle"]),
    ];
    for (what, bytes, codes) in bad {
        let answer = relay.deployer().send_bundle(&target, &agent.digest(), &bytes);
        let code = answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert!(codes.contains(&code.as_str()), "{what}: {}", answer.text());
        answer.refused_here(400, &code);
    }
    relay.assert_unseen("PUT", &target);
    relay.assert_nothing_is_staged();
}

#[test]
fn what_the_request_says_of_a_bundle_must_be_there_and_true() {
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    let (tar, digest, other) = (agent.tar(), agent.digest(), hex_digest(b"another"));
    relay.deployer().send_bundle(&target, &other, &tar).refused_here(400, "bundle_mismatch");
    let key = ("idempotency-key", "a bundle");
    let kind = ("content-type", "application/x-tar");
    let said = ("x-nullspace-bundle-digest", digest.as_str());
    let coded = ("content-encoding", "deflate");
    let cases: [(Fields<'_>, u16, &str); 6] = [
        (&[key, kind, said, coded], 415, "unsupported_media_type"),
        (&[kind, said], 400, "invalid_request"),
        (&[key, kind], 400, "invalid_request"),
        (&[key, kind, said, said], 400, "invalid_request"),
        (&[key, said], 415, "unsupported_media_type"),
        (&[key, said, ("content-type", "application/gzip")], 415, "unsupported_media_type"),
    ];
    for (fields, status, code) in cases {
        relay.deployer().ask("PUT", &target, fields, &tar).refused_here(status, code);
    }
    relay.assert_unseen("PUT", &target);
}

/// A version whose manifest says `digest` of itself, made at an API that does not look.
fn made_carelessly(manifest: &Value) -> (Relay, String) {
    let relay = Relay::start();
    let (version, manifest) = ("/v1/agent-deployments/dep-1/versions", manifest.clone());
    relay.api.compute("POST", version, move |_| {
        crate::support::Reply::answer(201, &json!({ "id": "ver-1", "deployment_id": "dep-1" }))
    });
    let body =
        json!({ "bundle_digest": manifest["bundle_digest"], "bundle_manifest": manifest, "config": {} });
    assert_eq!(relay.deployer().post(version, "k", &body).status, 201);
    let target = relay.api.bundle(1);
    (relay, target)
}

#[test]
fn modes_are_compared_as_the_apis_client_packs_them() {
    let agent = Agent::new();
    // Of a folder's the permissions go into the tar, and a file that has none gets the usual ones.
    for (entry, mode, packed) in [(0, 0o2644, true), (1, 0, true), (1, 0o600, false), (3, 0, false)] {
        let relay = Relay::start();
        let mut manifest = agent.manifest();
        manifest["entries"][entry]["mode"] = mode.into();
        let digest = digest(&manifest);
        let version = json!({ "bundle_digest": digest, "bundle_manifest": manifest, "config": {} });
        relay.deployer().post("/v1/agent-deployments", "d", &json!({ "name": "x", "mode": "job" }));
        let made = relay.deployer().post("/v1/agent-deployments/dep-1/versions", "v", &version);
        assert_eq!(made.status, 201, "{}", made.text());
        let answer = relay.deployer().send_bundle(&relay.api.bundle(1), &digest, &agent.tar());
        if packed {
            assert_taken(&relay, answer, &agent.tar());
        } else {
            answer.refused_here(400, "bundle_mismatch");
            relay.assert_unseen("PUT", &relay.api.bundle(1));
        }
    }
}

#[test]
fn a_manifest_that_belies_its_own_digest_takes_no_bundle() {
    let agent = Agent::new();
    let mut manifest = agent.manifest();
    manifest["bundle_digest"] = hex_digest(b"something else").into();
    let (relay, target) = made_carelessly(&manifest);
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &agent.tar());
    answer.refused_here(400, "bundle_mismatch");
    relay.assert_unseen("PUT", &target);
}

#[test]
fn after_a_restart_the_manifest_is_asked_for_with_the_clients_own_key() {
    let (agent, document) = (Agent::new(), "/v1/agent-deployments/dep-1/versions/ver-1");
    let (mut relay, target) = created(&agent);
    relay.proxy.crash_and_restart();
    let mut wrong = agent.clone();
    wrong.0[1].content[0] ^= 1;
    let refused = relay.deployer().send_bundle(&target, &agent.digest(), &wrong.tar());
    refused.refused_here(400, "bundle_mismatch");
    relay.assert_unseen("PUT", &target);
    let asked = relay.api.asked("GET", document);
    assert_eq!((asked.len(), asked[0].bearer()), (1, Some(Nullspace::KEY)));
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &agent.tar());
    assert_taken(&relay, answer, &agent.tar());
}

#[test]
fn who_may_not_see_the_version_is_told_what_the_api_says() {
    let agent = Agent::new();
    let (mut relay, target) = created(&agent);
    relay.proxy.restart();
    let refused = relay.deployer().with_key("nobody's").send_bundle(&target, &agent.digest(), &agent.tar());
    assert_eq!((refused.status, &refused.json()["error"]["request_id"]), (401, &"req-of-nullspace".into()));
    relay.assert_unseen("PUT", &target);
    let elsewhere = "/v1/agent-deployments/dep-1/versions/ver-9/bundle";
    let unknown = relay.deployer().send_bundle(elsewhere, &agent.digest(), &agent.tar());
    assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &"not_found".into()));
    relay.assert_unseen("PUT", elsewhere);
}

#[test]
fn what_another_made_is_asked_for_and_not_taken_from_memory() {
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    let other = relay.deployer().with_key(Nullspace::OTHER_KEY);
    assert_eq!(other.send_bundle(&target, &agent.digest(), &agent.tar()).status, 200, "as the API allows it");
    let asked = relay.api.asked("GET", "/v1/agent-deployments/dep-1/versions/ver-1");
    assert_eq!((asked.len(), asked[0].bearer()), (1, Some(Nullspace::OTHER_KEY)));
}

#[test]
fn a_version_without_a_manifest_takes_no_bundle() {
    let agent = Agent::new();
    let (mut relay, target) = created(&agent);
    relay.proxy.restart();
    let bare = json!({ "id": "ver-1", "deployment_id": "dep-1", "bundle_manifest": null });
    let document = "/v1/agent-deployments/dep-1/versions/ver-1";
    relay.api.reply_to("GET", document, crate::support::Reply::answer(200, &bare));
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &agent.tar());
    answer.refused_here(409, "conflict");
    relay.assert_unseen("PUT", &target);
}

#[test]
fn a_bundle_whose_answer_is_lost_is_sent_again_under_its_key() {
    let agent = Agent::new();
    let (relay, target) = created(&agent);
    relay.api.befall("PUT", &target, Accident::AnswerLost);
    relay.api.befall("PUT", &target, Accident::BodyCut(600));
    let answer = relay.deployer().send_bundle(&target, &agent.digest(), &agent.tar());
    assert_taken(&relay, answer, &agent.tar());
    let asked = relay.api.asked("PUT", &target);
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|seen| seen.header("idempotency-key") == Some("a bundle")));
    assert_eq!((asked[0].ending, asked[2].ending), (Ending::Whole, Ending::Whole));
    assert_eq!(asked[0].body, asked[2].body);
}
