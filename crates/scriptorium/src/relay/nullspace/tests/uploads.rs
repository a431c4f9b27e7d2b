//! Parts of resumable uploads: the checks of each, and which parts are sent again.

use super::*;
use crate::domain::Sha256;
use crate::upstream::TransportError;
use crate::upstream::testing::REFUSED;

pub(super) const UPLOADS: &str = "/v1/sandboxes/s/uploads";

/// Four parts of four bytes, the last of two.
pub(super) const PARTS: [&str; 4] = ["aaaa", "bbbb", "cccc", "dd"];

/// A session as a registry says it, beginning with its state.
pub(super) fn session(says: &str) -> String {
    format!(
        "{{{says},\"upload_id\":\"u1\",\"content_length\":14,\"part_size\":4,\"part_count\":4,\
         \"expires_at\":\"1970-01-02T00:00:00.5+00:00\"}}"
    )
}

pub(super) fn uploading(next: u32) -> Step {
    says(200, session(&format!("\"status\":\"uploading\",\"next_part\":{next}")))
}

pub(super) fn created() -> Step {
    says(200, format!("{{\"session\":{}}}", session("\"status\":\"created\"")))
}

pub(super) fn create() -> Ask {
    Ask::new("POST", UPLOADS).with("idempotency-key", "k1").body("{\"whole_checksum_sha256\":null}")
}

pub(super) fn put(number: usize, content: &str) -> Ask {
    Ask::new("PUT", format!("{UPLOADS}/u1/parts/{number}"))
        .with("x-nullspace-part-sha256", &Sha256::of(content.as_bytes()).hex())
        .body(content)
}

pub(super) fn part(number: usize) -> Ask {
    put(number, PARTS[number])
}

/// A desk with an upload under way.
pub(super) async fn begun() -> Desk {
    let desk = Desk::new([created()]);
    assert_eq!(desk.status(&create()).await, 200);
    assert_eq!(desk.lines(), [format!("POST {UPLOADS}")]);
    desk
}

fn line(number: usize) -> String {
    format!("PUT {UPLOADS}/u1/parts/{number}")
}

fn asks() -> String {
    format!("GET {UPLOADS}/u1")
}

#[tokio::test]
async fn a_part_is_sent_unchanged() {
    let desk = begun().await;
    desk.then([uploading(0)]);
    let answer = session("\"status\":\"uploading\",\"next_part\":0");
    assert_eq!(desk.ask(&part(1)).await.unwrap(), (200, answer), "the registry's answer, byte for byte");
    assert_eq!(desk.asked(), [(line(1), Bytes::from("bbbb"))]);
}

#[tokio::test]
async fn a_part_of_a_wrong_size_digest_or_number_is_not_sent() {
    let desk = begun().await;
    for (ask, says) in [
        (part(0).body("aaab"), "do not hash to x-nullspace-part-sha256"),
        (part(0).with("x-nullspace-part-sha256", "A"), "64 lowercase hexadecimal digits"),
        (part(0).with("x-nullspace-part-sha256", &"A".repeat(64)), "64 lowercase hexadecimal digits"),
        (put(0, "aaa"), "the part has 3 bytes, expected 4"),
        (put(0, "aaaaa"), "the part has 5 bytes, expected 4"),
        (put(0, "aaa").announcing(None), "the part has 3 bytes, expected 4"),
        (put(0, "aaaaa").announcing(None), "the part has more bytes, expected 4"),
        (put(3, "dddd"), "the part has 4 bytes, expected 2"),
        (put(4, "e"), "the upload has 4 parts, counted from 0"),
        (part(0).body("aa").announcing(Some(4)), "broke off"),
    ] {
        let refused = desk.refusal(&ask).await;
        assert!(refused.contains(says), "{refused}");
    }
    assert!(desk.asked().is_empty(), "not a byte was sent");
}

#[tokio::test]
async fn a_part_of_an_unrecorded_upload_is_checked_against_its_digest() {
    let desk = Desk::new([uploading(0), uploading(0), uploading(0)]);
    assert!(desk.refusal(&part(0).body("b")).await.contains("do not hash to"));
    assert_eq!(desk.lines(), [asks()], "whether there is such an upload");
    let large = part(0).body(vec![0; 1 << 19]);
    assert!(desk.refusal(&large).await.contains("bodies of at most 262144 bytes"));
    assert!(desk.asked().is_empty());
    assert_eq!(desk.status(&part(0).without("x-nullspace-part-sha256").body("any")).await, 200);
    assert_eq!(desk.lines(), [asks(), line(0)]);
}

#[tokio::test]
async fn a_part_is_not_received_if_the_registry_has_no_such_upload() {
    let desk = Desk::new([says(401, "{}")]);
    // Its body never comes: a proxy that received it first would report a broken body.
    let endless = part(0).without("authorization").announcing(Some(9));
    assert_eq!(desk.status(&endless).await, 401);
    assert_eq!(desk.asked(), [(asks(), Bytes::new())]);
}

#[tokio::test]
async fn a_replay_is_answered_with_the_session_and_not_sent() {
    let desk = begun().await;
    desk.then([uploading(1), uploading(1)]);
    assert_eq!(desk.status(&part(0)).await, 200);
    let answer = session("\"status\":\"uploading\",\"next_part\":1");
    assert_eq!(desk.ask(&part(0)).await.unwrap(), (200, answer));
    assert_eq!(desk.lines(), [line(0), asks()]);

    desk.restart().await;
    desk.then([uploading(1)]);
    assert_eq!(desk.status(&part(0)).await, 200);
    assert_eq!(desk.lines(), [asks()], "also after a restart");
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_sent_when_the_registry_may_want_it() {
    let fails = || Step::Fail(REFUSED);
    for (steps, asked) in [
        (vec![says(200, session("\"status\":\"uploading\",\"next_part\":0")), uploading(1)], 2),
        (vec![says(200, session("\"status\":\"aborted\"")), says(409, "{}")], 2),
        (vec![says(404, "{}"), says(404, "{}")], 2),
        (vec![says(200, "no JSON"), uploading(1)], 2),
        (vec![fails(), fails(), uploading(1)], 3),
    ] {
        let desk = begun().await;
        desk.then([uploading(1)]);
        desk.status(&part(0)).await;
        desk.asked();
        desk.then(steps);
        desk.status(&part(0)).await;
        let lines = desk.lines();
        assert_eq!((lines.len(), &lines[asked - 1]), (asked, &line(0)));
    }
}

#[tokio::test]
async fn other_bytes_for_a_part_are_sent_and_replace_it() {
    let desk = begun().await;
    desk.then([uploading(1), uploading(1), uploading(1), uploading(1)]);
    for content in ["aaaa", "AAAA", "aaaa", "aaaa"] {
        assert_eq!(desk.status(&put(0, content)).await, 200);
    }
    assert_eq!(desk.lines(), [line(0), line(0), line(0), asks()]);

    // Lost: the registry may have either now, so neither is taken for a replay.
    let fails = || Step::Fail(REFUSED);
    desk.then([fails(), fails(), uploading(1)]);
    desk.answer(&put(0, "BBBB")).await.unwrap_err();
    assert_eq!(desk.status(&put(0, "aaaa")).await, 200);
    assert_eq!(desk.lines(), [line(0), line(0), line(0)]);
}

#[tokio::test(start_paused = true)]
async fn a_part_is_sent_again_when_its_answer_is_lost() {
    let desk = begun().await;
    desk.then([Step::Fail(TransportError::Broken), uploading(1)]);
    assert_eq!(desk.status(&part(0)).await, 200);
    assert_eq!(desk.asked(), [(line(0), Bytes::from("aaaa")), (line(0), Bytes::from("aaaa"))]);
}

#[tokio::test]
async fn a_part_that_the_registry_refused_is_sent_again() {
    let desk = begun().await;
    desk.then([says(409, "{}"), uploading(1)]);
    assert_eq!((desk.status(&part(0)).await, desk.status(&part(0)).await), (409, 200));
    assert_eq!(desk.lines(), [line(0), line(0)]);
}

#[tokio::test]
async fn the_registry_judges_what_other_clients_send_to_an_upload() {
    let desk = begun().await;
    let theirs = |content| put(0, content).with("authorization", "Bearer other");
    desk.then([uploading(1), says(403, "{}"), uploading(1), uploading(1), uploading(1), uploading(1)]);
    desk.status(&part(0)).await;
    assert_eq!(desk.status(&theirs("any length")).await, 403);
    assert_eq!(desk.status(&part(0)).await, 200);
    assert_eq!(desk.status(&theirs("any length")).await, 200);
    assert_eq!(desk.status(&part(0)).await, 200);
    let asked = [line(0), asks(), asks(), asks(), line(0), line(0)];
    assert_eq!(desk.lines(), asked, "the owner's part was forgotten");
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_for_one_part_are_sent_one_after_the_other() {
    let desk = begun().await;
    // The first waits before it tries again, and the second could overtake it.
    desk.then([Step::Fail(TransportError::Broken), uploading(1), uploading(1)]);
    let ask = part(0);
    let (one, other) = tokio::join!(desk.status(&ask), desk.status(&ask));
    assert_eq!((one, other), (200, 200));
    assert_eq!(desk.lines(), [line(0), line(0), asks()]);
}

#[tokio::test]
async fn an_upload_is_forgotten_when_it_is_over() {
    for (ask, answer) in [
        (Ask::new("DELETE", format!("{UPLOADS}/u1")), says(200, "")),
        (Ask::new("POST", format!("{UPLOADS}/u1/complete")).with("idempotency-key", "k2"), says(200, "{}")),
    ] {
        let desk = begun().await;
        desk.then([uploading(1), answer, says(409, "{}")]);
        desk.status(&part(0)).await;
        desk.status(&ask).await;
        assert_eq!(desk.status(&part(0)).await, 409, "nothing is known of it any more");
        assert_eq!(stored(&desk).await, 0);
    }
    let desk = begun().await;
    desk.then([uploading(1), uploading(1)]);
    desk.status(&part(0)).await;
    desk.registry.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    desk.asked();
    desk.then([uploading(1)]);
    assert_eq!(desk.status(&part(0)).await, 200);
    assert_eq!(desk.lines(), [asks(), line(0)], "past its time");
}

async fn stored(desk: &Desk) -> usize {
    desk.store.list(crate::store::KeyPrefix::Sessions).try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test]
async fn an_upload_whose_session_cannot_be_read_is_relayed_unchecked() {
    for answer in [
        says(200, "no JSON"),
        says(200, "{\"session\":{\"upload_id\":\"u1\"}}"),
        says(
            200,
            "{\"session\":{\"upload_id\":\"u1\",\"content_length\":9,\"part_size\":0,\"part_count\":1}}",
        ),
        says(
            200,
            "{\"session\":{\"upload_id\":\"u1\",\"content_length\":90000,\"part_size\":1,\"part_count\":90000}}",
        ),
        says(409, "{}"),
    ] {
        let desk = Desk::new([answer, uploading(1), uploading(1)]);
        desk.status(&create()).await;
        assert_eq!(stored(&desk).await, 0);
        assert_eq!(desk.status(&put(0, "any length")).await, 200);
    }
}

#[tokio::test]
async fn a_stored_record_holds_no_credential() {
    let desk = begun().await;
    let key = desk.store.list(crate::store::KeyPrefix::Sessions).try_next().await.unwrap().unwrap().0;
    let kept = desk.store.read(&key).await.unwrap().unwrap();
    assert!(!String::from_utf8(kept.to_vec()).unwrap().contains("Bearer"));
}
