//! What the proxy remembers of an upload: across restarts and crashes, for its owner alone, and no longer than it lasts.

use serde_json::json;

use crate::support::relay::{MOUNT, Relay};
use crate::support::{Accident, Announced, Answer, Nullspace, Proxy, Reply, eventually, hex_digest, noise};

const PART: u64 = 100_000;
const SIZE: u64 = 350_000;

/// An upload of four parts, begun through a proxy.
fn begun() -> (Relay, Vec<u8>) {
    let relay = Relay::start();
    relay.api.ask_for_parts_of(PART);
    relay.deployer().begin(SIZE, "an upload");
    (relay, noise(21, SIZE as usize))
}

fn part(content: &[u8], number: u64) -> &[u8] {
    content.chunks(PART as usize).nth(number as usize).unwrap()
}

fn send(relay: &Relay, content: &[u8], number: u64) -> Answer {
    relay.deployer().send_part(&relay.api.part(1, number), part(content, number))
}

/// A checksum that is not the whole's is refused unseen, which shows that the proxy knows all of it; then the right
/// one completes.
#[track_caller]
fn assert_whole_is_checked_and_completed(relay: &Relay, content: &[u8]) {
    let (deployer, target) = (relay.deployer(), relay.api.complete(1));
    let refused = deployer.complete(&target, "c", &hex_digest(b"something else"));
    refused.upload_refused_here(400, "whole_checksum_mismatch");
    relay.assert_unseen("POST", &target);
    deployer.complete(&target, "c", &hex_digest(content)).ok();
    assert_eq!(relay.api.uploaded(1).as_deref(), Some(content));
    relay.assert_nothing_is_left();
}

#[test]
fn an_upload_goes_on_after_a_restart_or_a_crash_and_its_whole_is_still_checked() {
    for end in [Proxy::restart, Proxy::crash_and_restart] {
        let (mut relay, content) = begun();
        for number in 0..4 {
            send(&relay, &content, number).ok();
            end(&mut relay.proxy);
        }
        for number in 0..4 {
            send(&relay, &content, number).ok();
            let came = relay.api.parts(1)[&number].came.len();
            assert_eq!(came, 1, "part {number} was taken before and is not sent again");
        }
        let refused = relay.deployer().send_part(&relay.api.part(1, 0), b"short");
        refused.upload_refused_here(400, "part_size_mismatch");
        assert_whole_is_checked_and_completed(&relay, &content);
    }
}

#[test]
fn an_early_part_that_a_crash_took_is_checked_when_it_comes_again() {
    let (mut relay, content) = begun();
    for number in [0, 2, 3] {
        send(&relay, &content, number).ok();
    }
    relay.proxy.crash_and_restart();
    for number in [1, 2, 3] {
        send(&relay, &content, number).ok();
    }
    assert_whole_is_checked_and_completed(&relay, &content);
}

#[test]
fn where_not_every_part_is_known_the_api_judges_the_whole() {
    let (mut relay, content) = begun();
    for number in [0, 2, 3] {
        send(&relay, &content, number).ok();
    }
    relay.proxy.crash_and_restart();
    send(&relay, &content, 1).ok();
    let target = relay.api.complete(1);
    let judged = relay.deployer().complete(&target, "c", &hex_digest(b"something else"));
    assert_eq!(judged.json()["error"]["error_detail"]["reason"], "whole_checksum_mismatch");
    assert_eq!(relay.api.count("POST", &target), 1);
    relay.deployer().complete(&target, "c", &hex_digest(&content)).ok();
    relay.assert_nothing_is_left();
}

#[test]
fn a_part_that_was_staged_when_the_proxy_was_killed_is_swept_and_comes_again() {
    let (mut relay, content) = begun();
    send(&relay, &content, 0).ok();
    relay.assert_nothing_is_staged();
    // Taken in whole, checked, and not yet answered by the API.
    let hold = relay.api.hold(&relay.api.part(1, 1));
    let below = format!("{MOUNT}{}", relay.api.part(1, 1));
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let fields = [("authorization", bearer.as_str())];
    let announced = Announced::Length(PART);
    let mut waiting = relay.proxy.client().upload("PUT", &below, &fields, announced).unwrap();
    waiting.piece(part(&content, 1)).unwrap();
    eventually("the part at the API", || (relay.api.count("PUT", &relay.api.part(1, 1)) == 1).then_some(()));
    // Taken in by half.
    let half = format!("{MOUNT}{}", relay.api.part(1, 2));
    let mut half = relay.proxy.client().upload("PUT", &half, &fields, announced).unwrap();
    half.piece(&part(&content, 2)[..60_000]).unwrap();
    let staged = |relay: &Relay| relay.proxy.files("staging").len();
    eventually("two staged files", || (staged(&relay) >= 2).then_some(()));
    relay.proxy.crash();
    assert!(staged(&relay) >= 2, "nothing was staged, so nothing is proved");
    hold.release();
    assert!(waiting.is_over());
    relay.proxy.revive();
    relay.assert_nothing_is_staged();
    relay.assert_unseen("PUT", &relay.api.part(1, 2));
    for number in 1..4 {
        send(&relay, &content, number).ok();
    }
    assert_whole_is_checked_and_completed(&relay, &content);
}

#[test]
fn a_completion_that_a_crash_cut_off_is_repeated_under_its_key() {
    let (mut relay, content) = begun();
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    let target = relay.api.complete(1);
    let hold = relay.api.hold(&target);
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let checksum = json!({ "whole_checksum_sha256": hex_digest(&content) }).to_string();
    let fields =
        [("authorization", bearer.as_str()), ("idempotency-key", "c"), ("content-type", "application/json")];
    let announced = Announced::Length(checksum.len() as u64);
    let mut waiting =
        relay.proxy.client().upload("POST", &format!("{MOUNT}{target}"), &fields, announced).unwrap();
    waiting.piece(checksum.as_bytes()).unwrap();
    eventually("it done", || relay.api.uploaded(1).filter(|_| relay.api.session(1)["status"] == "completed"));
    relay.proxy.crash();
    hold.release();
    relay.proxy.revive();
    assert!(waiting.is_over());
    let done = relay.deployer().complete(&target, "c", &hex_digest(&content)).ok();
    assert_eq!(done.json()["session"], relay.api.session(1));
    relay.assert_nothing_is_left();
}

#[test]
fn a_client_that_leaves_while_its_part_is_sent_on_comes_again() {
    let (relay, content) = begun();
    let target = relay.api.part(1, 0);
    let hold = relay.api.hold(&target);
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let fields = [("authorization", bearer.as_str())];
    let below = format!("{MOUNT}{target}");
    let mut leaving = relay.proxy.client().upload("PUT", &below, &fields, Announced::Length(PART)).unwrap();
    leaving.piece(part(&content, 0)).unwrap();
    eventually("the part at the API", || (relay.api.count("PUT", &target) == 1).then_some(()));
    leaving.leave();
    relay.assert_nothing_is_staged();
    hold.release();
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    assert_whole_is_checked_and_completed(&relay, &content);
}

#[test]
fn a_crash_before_a_bundle_is_sent_on_leaves_nothing_of_it() {
    let mut relay = Relay::start();
    let agent = crate::support::Agent::new();
    relay.deployer().create(&agent);
    let target = relay.api.bundle(1);
    let (digest, tar) = (agent.digest(), agent.tar());
    let announced = Announced::Length(tar.len() as u64);
    let mut upload = relay.deployer().sending_bundle(&target, &digest, announced);
    upload.piece(&tar[..tar.len() - 1]).unwrap();
    eventually("a staged file", || (!relay.proxy.files("staging").is_empty()).then_some(()));
    relay.proxy.crash_and_restart();
    relay.assert_nothing_is_staged();
    relay.assert_unseen("PUT", &target);
    relay.deployer().send_bundle(&target, &digest, &tar).ok();
    assert_eq!(relay.api.bundle_bytes("ver-1"), Some(tar));
}

#[test]
fn an_upload_that_is_given_up_is_forgotten() {
    let (relay, content) = begun();
    // The last one waits for those before it.
    for number in [0, 3] {
        send(&relay, &content, number).ok();
    }
    assert_eq!(relay.proxy.files("sessions").len(), 1);
    let aborted = relay.deployer().ask("DELETE", &relay.api.upload(1), &[], b"").ok();
    assert_eq!(aborted.json(), relay.api.session(1), "the API's own answer");
    relay.assert_nothing_is_left();
    let late = send(&relay, &content, 1);
    assert_eq!(late.json()["error"]["error_detail"]["reason"], "upload_aborted", "the API's own word");
}

#[test]
fn an_upload_that_the_api_lets_expire_is_forgotten_when_it_says_so() {
    let (relay, content) = begun();
    for number in [0, 3] {
        send(&relay, &content, number).ok();
    }
    relay.api.expire_uploads();
    let late = send(&relay, &content, 1);
    assert_eq!(
        (late.status, &late.json()["error"]["error_detail"]["reason"]),
        (410, &"upload_expired".into())
    );
    relay.assert_nothing_is_left();
}

#[test]
fn an_upload_past_its_time_is_forgotten_when_the_next_one_begins() {
    let (mut relay, content) = begun();
    let mut session = relay.api.session(1);
    session["expires_at"] = "2020-01-01T00:00:00Z".into();
    session["upload_id"] = "upl-2".into();
    let uploads = format!("/v1/sandboxes/{}/uploads", Nullspace::SANDBOX);
    let begin = Accident::Instead(Reply::answer(200, &json!({ "session": session })));
    relay.api.befall("POST", &uploads, begin);
    relay.deployer().begin(SIZE, "another upload");
    // Nothing is known of it any more, so the API is asked before its bytes are taken in.
    let target = relay.api.part(2, 0);
    let other = relay.deployer().send_part(&target, &content[..5]);
    assert_eq!((other.status, relay.api.count("PUT", &target)), (404, 0));
    send(&relay, &content, 0).ok();
    assert_eq!(relay.proxy.files("sessions").len(), 1, "the one that lasts");
    relay.proxy.restart();
    for number in 1..4 {
        send(&relay, &content, number).ok();
    }
    assert_whole_is_checked_and_completed(&relay, &content);
}

#[test]
fn anothers_upload_is_relayed_without_what_is_known_of_it() {
    let (relay, content) = begun();
    send(&relay, &content, 0).ok();
    let other = relay.deployer().with_key(Nullspace::OTHER_KEY);
    // This API lets it pass; it is not this proxy's to judge by what the owner said.
    for (number, bytes) in [(0, &content[..10]), (7, part(&content, 0))] {
        let target = relay.api.part(1, number);
        let before = relay.api.count("PUT", &target);
        let answer = other.send_part(&target, bytes);
        assert_eq!((answer.status, relay.api.count("PUT", &target)), (400, before + 1), "{}", answer.text());
        assert!(answer.text().contains("The upload was refused"), "the API's own words: {}", answer.text());
    }
    let identical = other.send_part(&relay.api.part(1, 0), part(&content, 0)).ok();
    assert_eq!(identical.json(), relay.api.session(1));
    let count = relay.api.count("PUT", &relay.api.part(1, 0));
    assert_eq!(count, 3, "a replay of the owner's is no replay of another's");
    let seen = relay.api.asked("PUT", &relay.api.part(1, 0));
    assert_eq!(seen[2].bearer(), Some(Nullspace::OTHER_KEY));
    let judged = other.complete(&relay.api.complete(1), "c", &hex_digest(b"x"));
    assert_eq!(judged.json()["error"]["error_detail"]["reason"], "missing_parts");
    assert_eq!(relay.proxy.files("sessions").len(), 1, "the owner's upload goes on");
    for number in 0..4 {
        send(&relay, &content, number).ok();
    }
    relay.deployer().complete(&relay.api.complete(1), "d", &hex_digest(&content)).ok();
    relay.assert_nothing_is_left();
}

#[test]
fn no_key_stands_in_what_is_kept_or_written_down() {
    let (mut relay, content) = begun();
    send(&relay, &content, 0).ok();
    assert_eq!(relay.proxy.files("sessions").len(), 1);
    assert_eq!(relay.proxy.files_holding(Nullspace::KEY.as_bytes()).len(), 0);
    assert!(!relay.proxy.whole_log().contains(Nullspace::KEY));
}

#[test]
fn an_upload_that_was_not_begun_here_is_relayed_and_its_parts_are_held_to_their_digests() {
    let (relay, content) = begun();
    let direct = crate::support::Deployer::at(relay.api.client(), "");
    direct.begin(SIZE, "elsewhere");
    let target = relay.api.part(2, 1);
    let wrong = relay.deployer().send_part_as(&target, &hex_digest(b"else"), part(&content, 1));
    wrong.upload_refused_here(400, "invalid_part_checksum");
    relay.assert_unseen("PUT", &target);
    for number in 0..4 {
        relay.deployer().send_part(&relay.api.part(2, number), part(&content, number)).ok();
    }
    relay.deployer().complete(&relay.api.complete(2), "c", &hex_digest(&content)).ok();
    assert_eq!(relay.api.uploaded(2), Some(content));
}
