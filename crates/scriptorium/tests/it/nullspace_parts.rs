//! An upload in parts: what is checked of each part and of the whole, and what gets lost on the way without the client
//! noticing.

use serde_json::{Value, json};

use crate::support::relay::{MOUNT, Relay};
use crate::support::{Accident, Announced, Answer, Ending, Nullspace, Reply, each, hex_digest, noise};

const PART: u64 = 1000;
const SIZE: u64 = 3500;

/// An upload of four parts, the last one shorter, begun through a proxy.
fn begun() -> (Relay, Vec<u8>) {
    let relay = Relay::start();
    relay.api.ask_for_parts_of(PART);
    let session = relay.deployer().begin(SIZE, "an upload");
    assert_eq!((&session["upload_id"], &session["part_count"]), (&"upl-1".into(), &4.into()));
    assert_eq!(session, relay.api.session(1), "the session is the API's, member by member");
    (relay, noise(11, SIZE as usize))
}

fn part(content: &[u8], number: u64) -> &[u8] {
    content.chunks(PART as usize).nth(number as usize).unwrap()
}

fn send(relay: &Relay, content: &[u8], number: u64) -> Answer {
    relay.deployer().send_part(&relay.api.part(1, number), part(content, number))
}

fn complete(relay: &Relay, checksum: &str) -> Answer {
    relay.deployer().complete(&relay.api.complete(1), "a completion", checksum)
}

#[track_caller]
fn assert_completed(relay: &Relay, content: &[u8]) {
    let done = complete(relay, &hex_digest(content)).ok().json();
    assert_eq!((&done["session"], &done["published_bytes"]), (&relay.api.session(1), &SIZE.into()));
    assert_eq!(relay.api.uploaded(1).as_deref(), Some(content));
    relay.assert_nothing_is_left();
}

#[test]
fn an_upload_goes_through_part_by_part_and_leaves_nothing() {
    let (relay, content) = begun();
    for number in 0..4 {
        let said = send(&relay, &content, number).ok();
        assert_eq!(said.json(), relay.api.session(1), "part {number}");
        let seen = relay.api.asked("PUT", &relay.api.part(1, number)).pop().unwrap();
        assert_eq!((seen.body.as_slice(), seen.ending), (part(&content, number), Ending::Whole));
        assert_eq!(seen.header("x-nullspace-part-sha256"), Some(seen.sha256().as_str()));
        assert_eq!(seen.header("content-length"), Some(seen.length.to_string().as_str()));
        assert_eq!(seen.header("content-type"), Some("application/octet-stream"));
        assert_eq!(seen.bearer(), Some(Nullspace::KEY));
    }
    assert_eq!(relay.proxy.files("sessions").len(), 1);
    assert_completed(&relay, &content);
    let finish = relay.api.asked("POST", &relay.api.complete(1));
    assert_eq!((finish.len(), finish[0].header("idempotency-key")), (1, Some("a completion")));
    assert_eq!(finish[0].json(), json!({ "whole_checksum_sha256": hex_digest(&content) }));
}

#[test]
fn a_part_that_is_not_what_it_says_is_refused_unseen() {
    let (relay, content) = begun();
    let (target, bytes, deployer) = (relay.api.part(1, 1), part(&content, 1), relay.deployer());
    let wrong = deployer.send_part_as(&target, &hex_digest(b"something else"), bytes);
    let detail = wrong.upload_refused_here(400, "invalid_part_checksum");
    assert_eq!((&detail["upload_id"], &detail["part_number"]), (&"upl-1".into(), &1.into()));
    for spelt in ["", "abc", &hex_digest(bytes)[..63], &format!("{}z", &hex_digest(bytes)[..63])] {
        deployer.send_part_as(&target, spelt, bytes).upload_refused_here(400, "invalid_part_checksum");
    }
    for length in [0, 1, 999] {
        let short = deployer.send_part(&target, &bytes[..length]);
        short.upload_refused_here(400, "part_size_mismatch");
    }
    deployer.send_part(&target, &content[..1001]).upload_refused_here(400, "part_size_mismatch");
    let coded = deployer.ask("PUT", &target, &[("content-encoding", "gzip")], bytes);
    coded.refused_here(415, "unsupported_media_type");
    let last = relay.api.part(1, 3);
    deployer.send_part(&last, bytes).upload_refused_here(400, "part_size_mismatch");
    relay.assert_unseen("PUT", &target);
    relay.assert_unseen("PUT", &last);
    for number in ["4", "10000", "4000000000"] {
        let beyond = format!("{}/parts/{number}", relay.api.upload(1));
        deployer.send_part(&beyond, bytes).upload_refused_here(400, "part_out_of_range");
        relay.assert_unseen("PUT", &beyond);
    }
    relay.assert_nothing_is_staged();
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    assert_completed(&relay, &content);
}

#[test]
fn a_part_in_chunks_is_held_to_its_size_as_well() {
    let (relay, content) = begun();
    let (client, target) = (relay.proxy.client(), relay.api.part(1, 0));
    let below = format!("{MOUNT}{target}");
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let send = |bytes: &[u8]| {
        let fields = [("authorization", bearer.as_str())];
        let mut upload = client.upload("PUT", &below, &fields, Announced::Chunked).unwrap();
        bytes.chunks(300).for_each(|piece| drop(upload.piece(piece)));
        upload.finish().unwrap()
    };
    for length in [0, 999, 1001, 3000] {
        send(&content[..length]).upload_refused_here(400, "part_size_mismatch");
    }
    relay.assert_unseen("PUT", &target);
    send(&content[..1000]).ok();
    assert_eq!(relay.api.parts(1)[&0].kept.as_deref(), Some(&content[..1000]));
}

#[test]
fn a_part_that_comes_again_is_answered_without_being_sent_again() {
    let (relay, content) = begun();
    for number in [1, 0] {
        send(&relay, &content, number).ok();
    }
    for number in [0, 1, 0] {
        let again = send(&relay, &content, number).ok();
        let registry = relay.api.client().get_with(
            &relay.api.upload(1),
            "authorization",
            &format!("Bearer {}", Nullspace::KEY),
        );
        assert_eq!(again.body, registry.body, "byte for byte what the API says of the upload");
        assert_eq!(again.header("content-type"), registry.header("content-type"));
    }
    for number in 0..2 {
        assert_eq!(relay.api.count("PUT", &relay.api.part(1, number)), 1, "part {number} was sent again");
    }
    for number in 2..4 {
        send(&relay, &content, number).ok();
    }
    assert_completed(&relay, &content);
}

#[test]
fn a_part_that_the_api_forgot_is_sent_again() {
    let (relay, content) = begun();
    send(&relay, &content, 0).ok();
    let mut session = relay.api.session(1);
    session["next_part"] = 0.into();
    relay.api.reply_to("GET", &relay.api.upload(1), Reply::answer(200, &session));
    send(&relay, &content, 0).ok();
    assert_eq!(relay.api.parts(1)[&0].came.len(), 2);
    relay.api.befall("GET", &relay.api.upload(1), Accident::Instead(Reply::failure(500)));
    send(&relay, &content, 0).ok();
    assert_eq!(relay.api.parts(1)[&0].came.len(), 3, "who cannot be asked is sent it");
}

#[test]
fn other_bytes_for_a_part_go_to_the_api_which_judges_them() {
    let (relay, content) = begun();
    send(&relay, &content, 0).ok();
    let other = noise(12, PART as usize);
    let target = relay.api.part(1, 0);
    let judged = relay.deployer().send_part(&target, &other);
    assert_eq!((judged.status, &judged.json()["error"]["code"]), (409, &"conflict".into()));
    assert_eq!(relay.api.parts(1)[&0].came, [hex_digest(&content[..1000]), hex_digest(&other)]);
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    assert_completed(&relay, &content);
}

#[test]
fn lost_answers_to_parts_are_fetched_again_and_nobody_notices() {
    let (relay, content) = begun();
    relay.api.lose_part_answer(1, 0);
    relay.api.cut_part(1, 1, 500);
    relay.api.cut_part(1, 1, 0);
    relay.api.befall("PUT", &relay.api.part(1, 2), Accident::Unread);
    relay.api.befall("PUT", &relay.api.part(1, 2), Accident::AnswerLost);
    for number in 0..4 {
        let said = send(&relay, &content, number).ok();
        assert_eq!(said.json(), relay.api.session(1), "part {number}");
    }
    let tries: Vec<_> = (0..4).map(|number| relay.api.count("PUT", &relay.api.part(1, number))).collect();
    assert_eq!(tries, [2, 3, 3, 1]);
    for (number, part) in relay.api.parts(1) {
        assert!(part.came.iter().all(|digest| *digest == part.came[0]), "part {number}: {:?}", part.came);
    }
    assert_completed(&relay, &content);
}

#[test]
fn an_answer_to_a_part_that_breaks_off_is_not_handed_on_as_whole() {
    let (relay, content) = begun();
    let session = relay.api.session(1);
    relay.api.befall("PUT", &relay.api.part(1, 0), Accident::Instead(Reply::answer(200, &session).halved()));
    let target = format!("{MOUNT}{}", relay.api.part(1, 0));
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let fields = [("authorization", bearer.as_str())];
    let answer = relay.proxy.client().try_send_body("PUT", &target, &fields, part(&content, 0));
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.whole));
}

#[test]
fn a_part_is_tried_a_few_times_and_no_more() {
    let (relay, content) = begun();
    let target = relay.api.part(1, 0);
    relay.api.befall_always("PUT", &target, Some(Accident::BodyCut(10)));
    let answer = send(&relay, &content, 0);
    answer.refused_here(answer.status, "upstream_unavailable");
    assert!((502..=504).contains(&answer.status), "{}", answer.status);
    assert_eq!(relay.api.count("PUT", &target), 3);
    relay.api.befall_always("PUT", &target, None);
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    assert_completed(&relay, &content);
}

#[test]
fn a_lost_completion_is_asked_for_again_under_its_key() {
    let (relay, content) = begun();
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    relay.api.lose_complete_answer(1);
    relay.api.befall("POST", &relay.api.complete(1), Accident::Unread);
    assert_completed(&relay, &content);
    let asked = relay.api.asked("POST", &relay.api.complete(1));
    assert_eq!(asked.len(), 3);
    for seen in &asked {
        assert_eq!(seen.header("idempotency-key"), Some("a completion"));
    }
    assert_eq!(asked[0].body, asked[2].body);
}

#[test]
fn a_completion_without_a_key_is_sent_once() {
    let (relay, content) = begun();
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    relay.api.lose_complete_answer(1);
    let answer = relay.deployer().ask("POST", &relay.api.complete(1), &[], b"");
    answer.refused_here(502, "upstream_unavailable");
    assert_eq!(relay.api.count("POST", &relay.api.complete(1)), 1);
}

#[test]
fn a_whole_that_is_not_what_was_declared_is_not_completed() {
    let orders: [&[u64]; 3] = [&[0, 1, 2, 3], &[3, 2, 1, 0], &[2, 0, 0, 3, 1, 2]];
    each(orders, |order| {
        let (relay, content) = begun();
        for number in order {
            send(&relay, &content, *number).ok();
        }
        let refused = complete(&relay, &hex_digest(b"something else"));
        let detail = refused.upload_refused_here(400, "whole_checksum_mismatch");
        assert_eq!(detail["upload_id"], "upl-1");
        assert!(refused.text().contains(&hex_digest(&content)), "{order:?}: {}", refused.text());
        relay.assert_unseen("POST", &relay.api.complete(1));
        assert_completed(&relay, &content);
    });
}

#[test]
fn a_checksum_declared_at_the_start_counts_at_the_end() {
    let (relay, content) = (Relay::start(), noise(5, 1500));
    relay.api.ask_for_parts_of(PART);
    let begin = |checksum: &str, key: &str| {
        let body = json!({
            "kind": "directory_tar", "source_kind": "directory_archive", "target_path": "/workspace",
            "content_length": 1500, "conflict": "merge", "archive_format": "tar",
            "checksum_algorithm": "sha256", "whole_checksum_sha256": checksum, "metadata": {},
        });
        relay.deployer().post("/v1/volumes/vol-1/uploads", key, &body).ok().json()["session"].clone()
    };
    let send = |upload: &Value| {
        let base = format!("/v1/volumes/vol-1/uploads/{}", upload["upload_id"].as_str().unwrap());
        for (number, part) in content.chunks(PART as usize).enumerate() {
            relay.deployer().send_part(&format!("{base}/parts/{number}"), part).ok();
        }
        base + "/complete"
    };
    let finish = |target: &str| relay.deployer().ask("POST", target, &[("idempotency-key", target)], b"");
    let wrong = send(&begin(&hex_digest(b"else"), "one"));
    finish(&wrong).upload_refused_here(400, "whole_checksum_mismatch");
    relay.assert_unseen("POST", &wrong);
    let sound = send(&begin(&hex_digest(&content), "two"));
    finish(&sound).ok();
    assert_eq!(relay.api.uploaded(2), Some(content.clone()));
}

#[test]
fn parts_may_come_all_at_once() {
    let (relay, content) = begun();
    each([3, 1, 2, 0, 1, 3], |number| {
        send(&relay, &content, number).ok();
    });
    assert_completed(&relay, &content);
}

#[test]
fn an_empty_upload_is_completed() {
    let relay = Relay::start();
    relay.deployer().begin(0, "k");
    relay
        .deployer()
        .complete(&relay.api.complete(1), "c", &hex_digest(b"else"))
        .upload_refused_here(400, "whole_checksum_mismatch");
    relay.assert_unseen("POST", &relay.api.complete(1));
    relay.deployer().complete(&relay.api.complete(1), "c", &hex_digest(b"")).ok();
    relay.assert_nothing_is_left();
}
