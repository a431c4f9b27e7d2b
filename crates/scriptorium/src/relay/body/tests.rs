//! A client's body at its bounds, on a clock that advances while all tasks wait.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;

use futures_util::TryStreamExt;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Pieces of these lengths, each after a pause.
fn sending(
    pieces: impl IntoIterator<Item = (Duration, usize), IntoIter: Send + 'static>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
    StreamBody::new(stream::iter(pieces).then(|(pause, length)| async move {
        sleep(pause).await;
        Ok(Frame::data(vec![7; length].into()))
    }))
}

fn client<B: Body<Data = Bytes> + Send + 'static>(body: B, announced: Option<u64>) -> ClientBody {
    ClientBody::new(any_body(body), announced, PATIENCE)
}

/// All of it, put together.
async fn whole(body: ClientBody, limit: u64) -> Result<Bytes, BodyError> {
    let pieces: Result<Vec<Bytes>, _> = body.pieces(limit).try_collect().await;
    pieces.map(|pieces| pieces.concat().into())
}

async fn read(body: impl Fn() -> ClientBody, limit: u64) -> Result<Bytes, BodyError> {
    whole(body(), limit).await
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn a_body_longer_than_the_limit_is_refused() {
    let body = |announced| move || client(sending([(NOW, 600), (NOW, 0), (NOW, 400)]), announced);
    for announced in [None, Some(1000)] {
        assert_eq!(read(body(announced), 1000).await.unwrap().len(), 1000);
        assert_eq!(read(body(announced), 999).await, Err(BodyError::TooLarge { limit: 999 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_refused_at_once() {
    let started = Instant::now();
    let body = || client(sending([(Duration::from_secs(10), 1)]), Some(11));
    assert_eq!(body().fits(10), Err(BodyError::TooLarge { limit: 10 }));
    assert_eq!(body().fits(11), Ok(()));
    assert_eq!(read(body, 10).await, Err(BodyError::TooLarge { limit: 10 }));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_length_than_announced_is_broken() {
    for announced in [0, 9, 11] {
        let body = || client(sending([(NOW, 4), (NOW, 6)]), Some(announced));
        assert_eq!(read(body, 100).await, Err(BodyError::Broken), "{announced}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_stalled_after_its_patience() {
    let slow = || client(sending(vec![(PATIENCE - Duration::from_secs(1), 1 << 20); 4]), None);
    assert_eq!(read(slow, 1 << 30).await.unwrap().len(), 4 << 20);
    let silent = || client(sending([(NOW, 1), (PATIENCE + Duration::from_secs(1), 1)]), None);
    assert_eq!(read(silent, 1 << 30).await, Err(BodyError::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_is_stalled() {
    for length in [0, 1, 1000] {
        let started = Instant::now();
        let trickle = sending(std::iter::repeat((Duration::from_secs(5), length)));
        assert_eq!(whole(client(trickle, None), 1 << 30).await, Err(BodyError::Stalled), "{length}");
        assert!(started.elapsed() <= Duration::from_secs(66), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_held_in_memory_must_come_faster() {
    // 20 KiB a second: fast enough for what is staged, too slow for what is held.
    let steady = || client(sending(vec![(Duration::from_secs(1), 20 << 10); 120]), None);
    assert_eq!(read(steady, 1 << 30).await.unwrap().len(), 120 * (20 << 10));
    assert_eq!(read(|| steady().in_memory(), 1 << 30).await, Err(BodyError::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_count_against_the_client() {
    let mut pieces = client(sending(vec![(Duration::from_secs(1), 10); 20]), None).pieces(1000);
    let mut received = 0;
    while let Some(piece) = pieces.try_next().await.unwrap() {
        received += piece.len();
        sleep(Duration::from_secs(100)).await;
    }
    assert_eq!(received, 200);
}

#[tokio::test]
async fn broken_framing_is_an_error_and_trailers_are_dropped() {
    let frames = |last| stream::iter([Ok(Frame::data(Bytes::from_static(b"some"))), last]);
    let broken = || client(StreamBody::new(frames(Err(io::Error::other("reset")))), None);
    assert_eq!(read(broken, 100).await, Err(BodyError::Broken));
    let trailed = || client(StreamBody::new(frames(Ok(Frame::trailers(HeaderMap::new())))), None);
    assert_eq!(read(trailed, 100).await.unwrap(), "some");
}

#[tokio::test]
async fn no_body_is_empty() {
    assert!(ClientBody::none().is_empty());
    assert_eq!(read(ClientBody::none, 0).await.unwrap(), "");
    assert!(client(Full::new(Bytes::new()), None).is_empty());
    let unknown = client(sending([]), None);
    assert!(!unknown.is_empty(), "its length is not known yet");
    assert_eq!(whole(unknown, 0).await.unwrap(), "");
}

#[test]
fn an_empty_body_costs_no_allocation() {
    let measured = allocation_counter::measure(|| {
        let body = client(Full::new(Bytes::new()), Some(0));
        black_box((body.announced(), body.is_empty(), body.fits(10).is_ok()));
        black_box(&body);
    });
    assert_eq!(measured.count_total, 0);
}

proptest! {
    #[test]
    fn the_content_does_not_depend_on_its_pieces(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
        announces in any::<bool>(),
    ) {
        let content = pieces.concat();
        let length = content.len() as u64;
        let frames: Vec<_> = pieces.into_iter().map(Bytes::from).collect();
        let body = || {
            let frames: Vec<_> = frames.iter().cloned().map(Frame::data).map(Ok::<_, Infallible>).collect();
            client(StreamBody::new(stream::iter(frames)), announces.then_some(length))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        prop_assert_eq!(runtime.block_on(read(body, length)).unwrap(), content);
    }
}
