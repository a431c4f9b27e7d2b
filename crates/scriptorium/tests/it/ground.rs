//! The tools of the write tests themselves: what the registries see, lose and refuse, and that each of them
//! does what the protocol says when nothing stands between it and its client.

use serde_json::json;

use crate::support::catalogue::Artifact;
use crate::support::publisher::{Instruction, announcement, volume};
use crate::support::tarball::Entry;
use crate::support::wire::Framing;
use crate::support::{
    Accident, Agent, Announced, Client, Deployer, Ending, Nullspace, Publisher, Publishing, Release, Reply,
    Untrue, Upstream, eventually, hex_digest, noise,
};

fn client(upstream: &Upstream) -> Client {
    Client(upstream.authority().parse().unwrap())
}

#[test]
fn the_upstream_keeps_what_was_sent_by_either_framing() {
    let upstream = Upstream::start();
    upstream.reply("/x", Reply::answer(200, &json!("read")));
    upstream.reply_to("PUT", "/x", Reply::answer(201, &json!("taken")));
    upstream.compute("POST", "/x", |seen| Reply::answer(200, &json!(seen.sha256())));
    assert_eq!(client(&upstream).get("/x").json(), "read");
    assert_eq!(client(&upstream).send_body("PUT", "/x", &[("x-a", "b")], b"whole").status, 201);
    let mut upload = client(&upstream).upload("POST", "/x", &[], Announced::Chunked).unwrap();
    for piece in [b"in ", b"two"] {
        upload.piece(piece).unwrap();
    }
    assert_eq!(upload.finish().unwrap().json(), hex_digest(b"in two"));
    let (put, post) = (&upstream.asked("PUT", "/x")[0], &upstream.asked("POST", "/x")[0]);
    assert_eq!((&put.body[..], put.framing, put.ending), (&b"whole"[..], Framing::Length(5), Ending::Whole));
    assert_eq!((&post.body[..], post.framing, post.length), (&b"in two"[..], Framing::Chunked, 6));
    assert_eq!(put.header("x-a"), Some("b"));
    assert_eq!((upstream.requests("/x"), upstream.count("GET", "/x"), upstream.writes()), (3, 1, 2));
}

#[test]
fn a_body_that_breaks_off_is_seen_and_answered_by_nobody() {
    let upstream = Upstream::start();
    upstream.compute("PUT", "/x", |_| panic!("computed for half a body"));
    let mut left = client(&upstream).upload("PUT", "/x", &[], Announced::Length(100)).unwrap();
    left.piece(&[1; 40]).unwrap();
    eventually("the first piece", || upstream.seen().first().filter(|seen| seen.length == 40).map(drop));
    assert_eq!(upstream.seen()[0].ending, Ending::Open);
    left.leave();
    let mut lying = client(&upstream).upload("PUT", "/x", &[], Announced::Chunked).unwrap();
    lying.raw(b"ff\r\nshort").unwrap();
    assert!(lying.stop_short().is_err());
    let short = || upstream.seen().iter().filter(|seen| seen.ending == Ending::Short).count();
    eventually("two ends", || (short() == 2).then_some(()));
    assert_eq!(upstream.seen()[1].body, b"short");
}

#[test]
fn each_accident_befalls_the_request_it_was_meant_for() {
    let upstream = Upstream::start();
    upstream.reply("/x", Reply::answer(200, &json!({})));
    let put = |body: &[u8]| client(&upstream).try_send_body("PUT", "/x", &[], body);
    let body = noise(1, 4 << 20);
    for accident in [Accident::Unread, Accident::BodyCut(100_000), Accident::AnswerLost] {
        upstream.befall("PUT", "/x", accident);
        assert!(put(&body).is_err());
    }
    upstream.befall("PUT", "/x", Accident::Instead(Reply::failure(500)));
    upstream.befall("PUT", "/x", Accident::Early(Reply::failure(413)));
    assert_eq!(put(&body).unwrap().status, 500);
    let mut early = client(&upstream).upload("PUT", "/x", &[], Announced::Length(10)).unwrap();
    assert_eq!(early.answer().unwrap().status, 413);
    early.leave();
    assert_eq!((put(&body).unwrap().status, client(&upstream).get("/x").status), (200, 200));
    let seen = upstream.asked("PUT", "/x");
    let lengths: Vec<_> = seen.iter().map(|seen| seen.length).collect();
    assert_eq!(lengths, [0, 100_000, 4 << 20, 4 << 20, 0, 4 << 20]);
    upstream.befall_always("PUT", "/x", Some(Accident::AnswerLost));
    assert!(put(b"a").is_err() && put(b"b").is_err());
    upstream.befall_always("PUT", "/x", None);
    upstream.hang_up_on(1);
    assert!(put(b"c").is_err());
    assert_eq!(put(b"d").unwrap().status, 200);
    assert!(upstream.seen().iter().all(|seen| seen.body != b"c"));
}

#[test]
fn what_is_published_is_served_until_it_is_withdrawn() {
    for registry in [Publishing::start(), Publishing::start_with_uploads_elsewhere()] {
        let (release, publisher) =
            (Release::new("@acme/lamp", "1.0.0"), Publisher::at(Client::of(&registry)));
        let done = publisher.publish(&release);
        assert_eq!(done.status, 201, "{}", done.text());
        assert_eq!(done.json()["release"], release.metadata(&registry.url()));
        assert_eq!(Client::of(&registry).get(&release.exact()).ok().json(), done.json()["release"]);
        assert_eq!(Client::of(&registry).get(&release.source()).ok().body, release.archive());
        assert_eq!(
            (registry.bytes("up-1"), registry.uploads().count("PUT", "/take/up-1")),
            (Some(release.archive()), 1)
        );
        assert_eq!(publisher.announce(&release).status, 409);
        assert_eq!(publisher.withdraw(&release).status, 202);
        assert!(!registry.has("@acme/lamp", "1.0.0"));
        assert_eq!(Client::of(&registry).get(&release.exact()).status, 404);
        let row = &Client::of(&registry).get(&release.index()).ok().json()["items"][0];
        assert_eq!(row["status"]["state"], "tombstoned");
        assert_eq!(publisher.announce(&release).status, 409, "a version is never used again");
    }
}

#[test]
fn the_registry_refuses_what_the_protocol_refuses() {
    let (registry, release) = (Publishing::start(), Release::new("lamp", "1.0.0"));
    let publisher = Publisher::at(Client::of(&registry));
    registry.forbid("known");
    for (token, status, slug) in
        [("unknown", 401, "authentication-required"), ("known", 403, "authorization-failed")]
    {
        let refused = publisher.clone().with_token(token).announce(&release);
        assert_eq!(refused.status, status);
        assert!(refused.json()["type"].as_str().unwrap().ends_with(slug));
    }
    let mut wrong = announcement(&release);
    wrong["mediaType"] = "application/zip".into();
    assert_eq!(publisher.ask("POST", &volume("lamp"), Some(&wrong)).status, 415);

    let intent = publisher.announce(&release).json();
    assert_eq!(publisher.finalize(&release, &intent).status, 400, "nothing was sent");
    let unsigned = Instruction::of(&intent);
    assert_eq!(unsigned.client.send_body("PUT", &unsigned.target, &[], b"x").status, 403);
    assert_eq!(publisher.send(&intent, b"other bytes").status, 200);
    assert_eq!(publisher.finalize(&release, &intent).status, 400, "other bytes");
    let other = publisher.clone().with_token(Publishing::OTHER_TOKEN);
    assert_eq!(other.finalize(&release, &intent).status, 403);
    registry.expire_all();
    assert_eq!(publisher.finalize(&release, &intent).status, 410);
    registry.expire_after(-60);
    let intent = publisher.announce(&release).json();
    assert!(intent["expiresAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(publisher.send_with(&intent, &[], &release.archive()).status, 410);
}

#[test]
fn instructions_may_name_a_method_and_answers_may_lie() {
    let registry = Publishing::start();
    let publisher = Publisher::at(Client::of(&registry));
    registry.instruct(Some("POST"));
    for (number, untrue) in [(1, Untrue::Nowhere), (2, Untrue::Answer), (3, Untrue::Everywhere)] {
        registry.lie(untrue);
        let release = Release::new("lamp", &format!("{number}.0.0"));
        let said = publisher.publish(&release).json()["release"]["integrity"].clone();
        let served = Client::of(&registry).get(&release.exact()).ok().json()["integrity"].clone();
        assert_eq!(said == Publishing::UNTRUE, untrue != Untrue::Nowhere);
        assert_eq!(served == Publishing::UNTRUE, untrue == Untrue::Everywhere);
        let upload = format!("/take/up-{number}");
        let sent = &registry.uploads().asked("POST", &upload)[0];
        assert_eq!(sent.header("x-upload-signature"), Some(&*registry.signature(&format!("up-{number}"))));
    }
}

#[test]
fn a_key_replays_the_first_success_and_takes_no_other_request() {
    let (registry, release) = (Publishing::start(), Release::new("lamp", "1.0.0"));
    let publisher = Publisher::at(Client::of(&registry)).with_key("k1");
    registry.befall("POST", &volume("lamp"), Accident::AnswerLost);
    let lost = Client::of(&registry).try_send_body(
        "POST",
        &volume("lamp"),
        &[("authorization", &format!("Bearer {}", Publishing::TOKEN)), ("idempotency-key", "k1")],
        announcement(&release).to_string().as_bytes(),
    );
    assert!(lost.is_err());
    let intent = publisher.announce(&release).json();
    assert_eq!((&intent["uploadId"], publisher.announce(&release).json()), (&"up-1".into(), intent.clone()));
    assert_eq!(publisher.announce(&Release::new("lamp", "2.0.0")).status, 409);
    let mut body = announcement(&release);
    body["idempotencyKey"] = "k2".into();
    assert_eq!(publisher.ask("POST", &volume("lamp"), Some(&body)).status, 409, "two keys");
    publisher.send(&intent, &release.archive());
    let finalizing = publisher.with_key("k3");
    let done = finalizing.finalize(&release, &intent);
    assert_eq!((done.status, finalizing.finalize(&release, &intent).body), (201, done.body));
    let again = Publisher::at(Client::of(&registry)).finalize(&release, &intent);
    assert_eq!(again.status, 409, "done, and no key");
}

#[test]
fn attachments_are_taken_and_listed() {
    let (registry, release) = (Publishing::start(), Release::new("lamp", "1.0.0"));
    let publisher = Publisher::at(Client::of(&registry));
    let artifact = Artifact::new("sbom", "application/vnd.cyclonedx+json", "{}");
    assert_eq!(publisher.announce_trust(&release, &artifact).status, 404);
    publisher.publish(&release);
    let other = release.clone().adding(Entry::file("more", "x"));
    assert_eq!(publisher.announce_trust(&other, &artifact).status, 400, "another subject");
    let intent = publisher.announce_trust(&release, &artifact).json();
    publisher.send(&intent, &artifact.bytes);
    let done = publisher.finalize_trust(&release, &intent);
    assert_eq!(done.status, 201, "{}", done.text());
    let detail = Client::of(&registry).get(&release.trust("detail")).ok().json();
    let listed = &detail["attachments"][0];
    assert_eq!(listed["id"], done.json()["attachmentId"]);
    assert_eq!(listed["artifactDigest"], format!("sha256:{}", artifact.hex()));
    let locator =
        listed["locator"]["url"].as_str().unwrap().strip_prefix(&registry.url()).unwrap().to_owned();
    assert_eq!(Client::of(&registry).get(&locator).ok().body, artifact.bytes);
}

#[test]
fn a_bundle_is_taken_only_as_it_is_listed() {
    let (api, agent) = (Nullspace::start(), Agent::new());
    let deployer = Deployer::at(api.client(), "");
    assert_eq!(
        deployer.clone().with_key("nobody's").ask("GET", "/v1/agent-deployments", &[], b"").status,
        401
    );
    assert_eq!(deployer.create(&agent)["id"], "ver-1");
    assert_eq!(deployer.create(&agent)["id"], "ver-1", "the same keys again");
    let mut wrong = agent.clone();
    wrong.0[1] = Entry::file("agent/main.py", "print('hullo')\n");
    let target = api.bundle(1);
    assert_eq!(deployer.send_bundle(&target, &agent.digest(), &wrong.tar()).status, 400);
    assert_eq!(deployer.send_bundle(&target, &wrong.digest(), &agent.tar()).status, 400);
    wrong.0.truncate(1);
    assert_eq!(deployer.send_bundle(&target, &agent.digest(), &wrong.tar()).status, 400);
    assert_eq!(api.bundle_bytes("ver-1"), None);
    let taken = deployer.send_bundle(&target, &agent.digest(), &agent.tar()).ok();
    assert_eq!(taken.json()["status"], "building");
    assert_eq!(api.bundle_bytes("ver-1"), Some(agent.tar()));
    assert_eq!(api.version("ver-1").unwrap()["bundle_digest"], agent.digest());
}

#[test]
fn parts_come_in_any_order_and_more_than_once() {
    let api = Nullspace::start();
    api.ask_for_parts_of(1000);
    let (deployer, content) = (Deployer::at(api.client(), ""), noise(3, 2500));
    let session = deployer.begin(2500, "k");
    assert_eq!((&session["upload_id"], &session["part_count"]), (&"upl-1".into(), &3.into()));
    let parts: Vec<_> = content.chunks(1000).collect();
    let reason = |answer: &crate::support::Answer| {
        answer.json()["error"]["error_detail"]["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(reason(&deployer.send_part(&api.part(1, 2), parts[0])), "part_size_mismatch");
    assert_eq!(reason(&deployer.send_part(&api.part(1, 3), parts[0])), "part_out_of_range");
    assert_eq!(
        reason(&deployer.send_part_as(&api.part(1, 0), &hex_digest(b""), parts[0])),
        "invalid_part_checksum"
    );
    for part in [2, 0, 2] {
        deployer.send_part(&api.part(1, part), parts[part as usize]).ok();
    }
    assert_eq!(api.session(1)["next_part"], 1);
    let whole = hex_digest(&content);
    assert_eq!(reason(&deployer.complete(&api.complete(1), "c", &whole)), "missing_parts");
    deployer.send_part(&api.part(1, 1), parts[1]).ok();
    assert_eq!(
        reason(&deployer.complete(&api.complete(1), "c", &hex_digest(b""))),
        "whole_checksum_mismatch"
    );
    let done = deployer.complete(&api.complete(1), "c", &whole).ok();
    assert_eq!(deployer.complete(&api.complete(1), "c", &whole).ok().body, done.body, "the same key");
    assert_eq!(reason(&deployer.complete(&api.complete(1), "d", &whole)), "upload_already_completed");
    assert_eq!((api.uploaded(1), api.parts(1)[&2].came.len()), (Some(content), 3));
    let second = deployer.clone().with_key(Nullspace::OTHER_KEY).begin(10, "k");
    assert_eq!(second["upload_id"], "upl-2", "another's key is another key");
    api.expire_uploads();
    let (at, target) = deployer.reach(&api.part(2, 0));
    let bearer = format!("Bearer {}", Nullspace::KEY);
    assert_eq!(reason(&at.send_body("PUT", &target, &[("authorization", &bearer)], b"x")), "upload_expired");
}

#[test]
fn a_client_may_announce_nothing_and_wait_for_the_end() {
    let upstream = Upstream::start();
    let mut upload = client(&upstream).upload("PUT", "/x", &[], Announced::Nothing).unwrap();
    assert_eq!(upload.answer().unwrap().status, 404);
    upstream.befall("PUT", "/y", Accident::Unread);
    let mut cut = client(&upstream).upload("PUT", "/y", &[], Announced::Length(1)).unwrap();
    assert!(cut.is_over());
}
