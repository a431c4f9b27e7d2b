//! The hash of a whole upload: parts in any order, restarts in between.

use futures_util::StreamExt;

use ::nullspace::UploadProgress;

use super::super::session::UploadSession;
use super::uploads::{PARTS, UPLOADS, begun, create, created, part, put, uploading};
use super::*;
use crate::domain::Sha256;
use crate::intake::{Received, take_in};
use crate::limit::Client;
use crate::relay::quarter_shares;
use crate::store::StoreError;

fn complete(whole: Option<&str>) -> Ask {
    let body = whole
        .map(|whole| format!("{{\"whole_checksum_sha256\":\"{}\"}}", Sha256::of(whole.as_bytes()).hex()));
    Ask::new("POST", format!("{UPLOADS}/u1/complete"))
        .with("idempotency-key", "k2")
        .body(body.unwrap_or_default())
}

/// Sends parts, which the registry accepts.
async fn send(desk: &Desk, numbers: &[usize]) {
    for number in numbers {
        desk.then([uploading(9)]);
        assert_eq!(desk.status(&part(*number)).await, 200);
    }
}

/// Whether a wrong whole is refused, and a right one passes.
async fn is_checked(desk: &Desk) -> bool {
    desk.asked();
    let wrong = complete(Some("wrong"));
    desk.then([says(400, "{}")]);
    let checked = match desk.ask(&wrong).await {
        Ok((status, _)) => {
            assert_eq!((status, desk.lines().len()), (400, 1));
            desk.then([says(200, "{\"published_bytes\":14}")]);
            false
        }
        Err(refused) => {
            assert!(refused.to_string().contains("whole_checksum_sha256 is"), "{refused}");
            assert!(desk.asked().is_empty(), "the registry saw no complete");
            // The step that was meant for the wrong one answers the right one.
            true
        }
    };
    let (status, _) = desk.ask(&complete(Some(&PARTS.concat()))).await.unwrap();
    assert_eq!(status, if checked { 400 } else { 200 });
    checked
}

#[tokio::test]
async fn every_order_of_parts_gives_the_hash_of_the_whole() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 3, 1]] {
        let desk = begun().await;
        send(&desk, &order).await;
        assert!(is_checked(&desk).await, "{order:?}");
    }
}

#[tokio::test]
async fn the_completion_is_compared_with_the_hash_that_the_creation_declared() {
    let declares = |whole: &str| {
        create().body(format!("{{\"whole_checksum_sha256\":\"{}\"}}", Sha256::of(whole.as_bytes()).hex()))
    };
    let desk = Desk::new([created()]);
    desk.status(&declares("wrong")).await;
    send(&desk, &[0, 1, 2, 3]).await;
    assert!(desk.refusal(&complete(None)).await.contains("whole_checksum_sha256 is"));
    desk.then([says(200, "{}")]);
    assert_eq!(desk.status(&complete(Some(&PARTS.concat()))).await, 200, "the end's own word comes first");

    let desk = begun().await;
    send(&desk, &[0, 1, 2, 3]).await;
    desk.then([says(200, "{}")]);
    assert_eq!(desk.status(&complete(None)).await, 200, "nobody declared anything");
}

#[tokio::test]
async fn the_hash_goes_on_after_a_restart() {
    let desk = begun().await;
    for number in 0..4 {
        desk.restart().await;
        send(&desk, &[number]).await;
    }
    desk.restart().await;
    assert!(is_checked(&desk).await);
}

#[tokio::test]
async fn an_out_of_order_part_is_lost_by_a_restart_unless_it_is_sent_again() {
    let early = async || {
        let desk = begun().await;
        send(&desk, &[0, 2]).await;
        desk.restart().await;
        desk
    };
    let desk = early().await;
    send(&desk, &[1, 3]).await;
    assert!(!is_checked(&desk).await);

    let desk = early().await;
    send(&desk, &[1, 3]).await;
    desk.asked();
    send(&desk, &[2]).await;
    assert_eq!(desk.lines(), [format!("GET {UPLOADS}/u1")], "a replay");
    assert!(is_checked(&desk).await, "and part 3 had waited for it");

    let desk = early().await;
    send(&desk, &[1, 2, 3]).await;
    assert!(is_checked(&desk).await);
}

#[tokio::test]
async fn a_replaced_part_that_was_hashed_makes_the_whole_unknown() {
    let desk = begun().await;
    desk.then([uploading(9)]);
    desk.status(&put(0, "AAAA")).await;
    send(&desk, &[0, 1, 2, 3]).await;
    assert!(!is_checked(&desk).await);

    let desk = begun().await;
    desk.then([uploading(9)]);
    desk.status(&put(3, "DD")).await;
    send(&desk, &[3, 2, 1, 0]).await;
    assert!(is_checked(&desk).await, "one that still waits can be replaced");
}

#[tokio::test]
async fn an_upload_with_missing_parts_is_completed_unchecked() {
    let desk = begun().await;
    send(&desk, &[0, 1, 2]).await;
    assert!(!is_checked(&desk).await);
}

#[tokio::test(start_paused = true)]
async fn a_complete_is_sent_again_with_its_key_only() {
    use crate::upstream::TransportError::Broken;
    let desk = begun().await;
    desk.then([Step::Fail(Broken), says(200, "{}")]);
    assert_eq!(desk.status(&complete(None)).await, 200);
    let asked = desk.registry.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.headers["idempotency-key"] == "k2"));
    desk.then([Step::Fail(Broken)]);
    desk.answer(&complete(None).without("idempotency-key")).await.unwrap_err();
    assert_eq!(desk.lines().len(), 1);
}

#[tokio::test]
async fn a_creation_that_is_repeated_forgets_nothing() {
    let desk = begun().await;
    send(&desk, &[0, 1]).await;
    desk.then([created()]);
    desk.status(&create()).await;
    send(&desk, &[2, 3]).await;
    assert!(is_checked(&desk).await);
}

#[tokio::test]
async fn an_idle_upload_frees_its_held_parts_and_can_be_continued() {
    let desk = begun().await;
    send(&desk, &[0, 3]).await;
    desk.registry.clock.advance(Duration::from_secs(16 * 60));
    send(&desk, &[1, 2, 3]).await;
    assert!(is_checked(&desk).await);
}

#[tokio::test]
async fn out_of_order_parts_are_held_up_to_a_number() {
    let session = "\"upload_id\":\"u1\",\"content_length\":18,\"part_size\":1,\"part_count\":18";
    let desk = Desk::new([says(201, format!("{{\"session\":{{{session}}}}}"))]);
    assert_eq!(desk.status(&create()).await, 201);
    let whole = "abcdefghijklmnopqr";
    let wrong = complete(Some("wrong"));
    for number in (0..18).rev() {
        desk.then([uploading(99)]);
        assert_eq!(desk.status(&put(number, &whole[number..=number])).await, 200);
    }
    desk.then([says(400, "{}")]);
    assert_eq!(desk.status(&wrong).await, 400, "part 1 was one too many, so the whole is not known");
    desk.then([uploading(99)]);
    assert_eq!(desk.status(&put(1, "b")).await, 200);
    assert!(desk.refusal(&wrong).await.contains(&Sha256::of(whole.as_bytes()).hex()), "now it is");
}

/// `content`, received.
async fn received(content: &'static str) -> Received {
    let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from(content))]).boxed();
    let (sealing, ()) = take_in(&store, body, 1 << 20, |_| Ok::<_, StoreError>(())).await.unwrap();
    let digest = Sha256::of(content.as_bytes());
    Received::new(sealing, digest, "").await.unwrap()
}

#[tokio::test]
async fn out_of_order_parts_of_all_uploads_share_one_bound() {
    let room = quarter_shares(1);
    let [mut one, mut other] = [(); 2].map(|()| UploadSession::new(UploadProgress::default(), room.clone()));
    let (first, second) = (received("a").await, received("b").await);
    for session in [&mut one, &mut other] {
        session.accept(1, &second, &Client::Unknown).await;
    }
    assert_eq!(room.free(), 0, "only one of them is held");
    for session in [&mut one, &mut other] {
        session.accept(0, &first, &Client::Unknown).await;
    }
    assert_eq!((one.progress.whole(2), other.progress.whole(2)), (Some(Sha256::of(b"ab")), None));
    assert_eq!(room.free(), 1, "a part that was hashed gives its room back");
    other.accept(1, &second, &Client::Unknown).await;
    assert_eq!(other.progress.whole(2), Some(Sha256::of(b"ab")));
}
