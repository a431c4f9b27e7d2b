//! A document's body is waited for as long as it moves.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;

/// `pieces` of so many bytes, each after a pause.
fn coming(pieces: usize, bytes: usize, pause: Duration) -> BoxStream<'static, Result<Bytes, CouldNotAsk>> {
    let piece = move |_| tokio::time::sleep(pause).map(move |()| Ok(Bytes::from(vec![b' '; bytes])));
    stream::iter(0..pieces).then(piece).boxed()
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_not_cut_however_long_it_takes() {
    let slow = coming(512, 8 << 10, Duration::from_secs(1));
    assert_eq!(
        read_whole(slow, None, 32 << 20, &mut DocumentSlot::none()).await.unwrap().len(),
        4 << 20,
        "8 KB/s for eight minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn what_trickles_is_cut() {
    let began = tokio::time::Instant::now();
    let trickle = coming(100_000, 1 << 10, Duration::from_secs(1));
    assert_eq!(
        read_whole(trickle, None, 32 << 20, &mut DocumentSlot::none()).await,
        Err(CouldNotAsk::TimedOut)
    );
    assert!(began.elapsed() < Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_is_cut_though_it_moves() {
    let long = coming(10, 100, Duration::ZERO);
    assert_eq!(
        read_whole(long, None, 250, &mut DocumentSlot::none()).await,
        Err(CouldNotAsk::TooLarge { limit: 250 })
    );
}
