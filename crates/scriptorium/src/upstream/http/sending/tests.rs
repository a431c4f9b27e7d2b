//! How long is waited, by a clock that the tests turn.

use tokio::time::sleep;

use super::*;

const WAIT: Duration = Duration::from_secs(30);

fn streamed(length: usize, pieces: BoxStream<'static, io::Result<Bytes>>) -> (Sending, OutgoingPieces) {
    send(OutgoingBody::Stream { length: Some(length as u64), pieces }).unwrap()
}

/// Takes each piece after a pause, and answers after another.
async fn take(mut pieces: OutgoingPieces, pause: Duration) -> usize {
    let mut taken = 0;
    while let Some(piece) = pieces.next().await {
        taken += piece.unwrap().len();
        sleep(pause).await;
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_waited_for() {
    let (sending, pieces) = send(OutgoingBody::Whole(vec![0; 10 * PIECE].into())).unwrap();
    let started = Instant::now();
    assert_eq!(within(WAIT, Some(&sending), take(pieces, Duration::from_secs(29))).await, Ok(10 * PIECE));
    assert_eq!(started.elapsed().as_secs(), 290);
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_is_nobodys_fault_there() {
    let late = stream::once(async {
        sleep(WAIT * 10).await;
        Ok(Bytes::from_static(b"x"))
    });
    let (sending, pieces) = streamed(1, late.boxed());
    assert_eq!(within(WAIT, Some(&sending), take(pieces, Duration::ZERO)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn who_took_little_and_stops_is_waited_for_once() {
    for taken in [0, 1] {
        let (sending, mut pieces) = send(OutgoingBody::Whole(vec![0; 2 * PIECE - 1].into())).unwrap();
        let started = Instant::now();
        let stops = async {
            sleep(Duration::from_secs(20)).await;
            for _ in 0..taken {
                pieces.next().await.unwrap().unwrap();
            }
            std::future::pending::<()>().await;
        };
        assert_eq!(within(WAIT, Some(&sending), stops).await, Err(TransportError::Timeout));
        let expected = if taken == 0 { 30.0 } else { 20.0 + 30.0 + 30.0 / 16.0 };
        assert!((started.elapsed().as_secs_f64() - expected).abs() < 0.1, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_buffers_hide_is_granted_time_up_to_a_bound() {
    for (taken, waited) in [(1 << 20, 60), (4 << 20, 150), (64 << 20, 150)] {
        let (sending, pieces) = send(OutgoingBody::Whole(vec![0; taken].into())).unwrap();
        let started = Instant::now();
        let stops = async {
            take(pieces, Duration::ZERO).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(within(WAIT, Some(&sending), stops).await, Err(TransportError::Timeout));
        assert_eq!(started.elapsed().as_secs(), waited, "{taken} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_begins_early_may_go_on_when_all_is_sent() {
    let (sending, pieces) = send(OutgoingBody::Whole(vec![0; 10 * PIECE].into())).unwrap();
    let answer = stream::once(async {
        take(pieces, Duration::from_secs(29)).await;
        Ok(Bytes::from_static(b"x"))
    });
    let received = receive(Box::pin(answer), WAIT, Some(sending)).collect::<Vec<_>>().await;
    assert_eq!(received, [Ok(Bytes::from_static(b"x"))]);
}

#[tokio::test(start_paused = true)]
async fn silence_after_all_is_sent_ends_an_answer() {
    let (sending, mut pieces) = send(OutgoingBody::Whole(vec![0; 64 * PIECE].into())).unwrap();
    while pieces.next().await.is_some() {}
    let started = Instant::now();
    let received = receive(stream::pending(), WAIT, Some(sending)).collect::<Vec<_>>().await;
    assert_eq!((received, started.elapsed().as_secs()), (vec![Err(TransportError::Timeout)], 30));
}

#[tokio::test]
async fn pieces_are_small_and_as_many_as_announced() {
    let source = |lengths: &[usize]| {
        let pieces: Vec<_> = lengths.iter().map(|length| Ok(Bytes::from(vec![0; *length]))).collect();
        stream::iter(pieces).boxed()
    };
    for (lengths, announced, sent) in [
        (vec![2 * PIECE + 1, 0, 1], 2 * PIECE + 2, vec![Some(PIECE), Some(PIECE), Some(1), Some(1)]),
        (vec![3], 4, vec![Some(3), None]),
        (vec![3, 3], 4, vec![Some(3), None]),
    ] {
        let (sending, pieces) = streamed(announced, source(&lengths));
        let pieces = pieces.take(sent.len()).map(|piece| piece.ok().map(|piece| piece.len()));
        assert_eq!(pieces.collect::<Vec<_>>().await, sent);
        let unsent = sending.blame(TransportError::Broken) == TransportError::Unsent;
        assert_eq!(unsent, sent.contains(&None));
    }
}
