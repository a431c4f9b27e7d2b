//! A body that arrives in any pieces is read back unchanged, and a body that fails leaves nothing behind.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::Sha256;
use crate::store::ObjectStorage;
use crate::store::faulty::{Fault, Faulty};

type Body<S> = BoxStream<'static, Result<Bytes, S>>;

/// How a source fails here.
#[derive(Debug, PartialEq, Eq)]
struct Unplugged;

fn store() -> (TempDir, Arc<dyn Store>) {
    let root = TempDir::new().unwrap();
    let store = ObjectStorage::local(root.path(), false).unwrap();
    (root, Arc::new(store))
}

fn staged(root: &Path) -> Vec<PathBuf> {
    let Ok(runs) = root.join("staging").read_dir() else { return Vec::new() };
    let files = |run: PathBuf| fs::read_dir(run).unwrap().map(|file| file.unwrap().path());
    runs.flat_map(|run| files(run.unwrap().path())).collect()
}

async fn until_gone(root: &Path) {
    let gone = async {
        while !staged(root).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

fn body(pieces: impl IntoIterator<Item = Vec<u8>>) -> Body<Infallible> {
    let pieces: Vec<_> = pieces.into_iter().map(|piece| Ok(piece.into())).collect();
    stream::iter(pieces).boxed()
}

/// One piece, and then an error or silence.
fn breaking(end: Option<Unplugged>) -> Body<Unplugged> {
    let first = stream::iter([Ok(Bytes::from_static(&[7; 1000]))]);
    match end {
        Some(end) => first.chain(stream::iter([Err(end)])).boxed(),
        None => first.chain(stream::pending()).boxed(),
    }
}

fn read_all(arriving: &mut Arriving<'_>) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    arriving.read_to_end(&mut read).map(|_| read)
}

async fn received(store: &Arc<dyn Store>, content: &[u8]) -> Received {
    let pieces = content.chunks(100_000).map(<[u8]>::to_vec);
    let taken = take_in(store, body(pieces), u64::MAX, |_| Ok::<_, Infallible>(())).await;
    let Ok((sealing, ())) = taken else { panic!() };
    Received::new(sealing, Sha256::of(b"tree"), "it").await.unwrap()
}

async fn collected(received: &Received) -> Vec<u8> {
    let pieces: Vec<Bytes> = received.pieces().try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| (1..=1 << 20).contains(&piece.len())));
    pieces.concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_pieces_it_comes_in_it_is_given_back(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40),
        repeated in prop_oneof![Just(1_usize), Just(1), 1..40_usize],
        looked_at in prop_oneof![Just(u64::MAX), 0..5000_u64],
    ) {
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.repeat(repeated * repeated)).collect();
        let content = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (root, store) = store();
            let taken = take_in(&store, body(pieces), content.len() as u64, move |arriving| {
                let mut seen = Vec::new();
                arriving.take(looked_at).read_to_end(&mut seen).map(|_| seen)
            });
            let (sealing, seen) = taken.await.map_err(|error| error.to_string()).unwrap();
            assert!(seen == content[..content.len().min(looked_at as usize)]);
            let received = Received::new(sealing, Sha256::of(b"tree"), "it").await.unwrap();
            assert_eq!((received.length(), received.sha256()), (content.len() as u64, Sha256::of(&content)));
            assert_eq!((received.seal.known_by, received.seal.identity.as_str()), (Sha256::of(b"tree"), "it"));
            for _ in 0..2 {
                assert!(collected(&received).await == content);
            }
            drop(received);
            assert_eq!(staged(root.path()), Vec::<PathBuf>::new());
        });
    }
}

#[tokio::test]
async fn an_inspector_opens_the_staged_body_again_and_has_scratch_files() {
    let (root, store) = store();
    let taken = take_in(&store, body([b"one".to_vec(), b"two".to_vec()]), 6, |arriving| {
        let on_disk = arriving.on_disk();
        let read = read_all(arriving)?;
        let mut again = Vec::new();
        on_disk.again()?.read_to_end(&mut again)?;
        let mut scratch = on_disk.scratch()?;
        scratch.write_all(b"beside")?;
        assert_eq!((on_disk.length(), &again), (6, &read));
        Ok::<_, io::Error>(read)
    });
    let Ok((sealing, read)) = taken.await else { panic!() };
    assert_eq!(read, b"onetwo");
    assert_eq!(staged(root.path()).len(), 1, "scratch is gone");
    drop(sealing);
    assert!(staged(root.path()).is_empty());
}

#[tokio::test]
async fn one_that_is_refused_is_not_waited_for() {
    let (root, store) = store();
    let refused = take_in(&store, breaking(None), u64::MAX, |arriving| {
        let mut first = [0; 10];
        arriving.read_exact(&mut first).unwrap();
        Err::<(), _>(first)
    });
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    assert!(matches!(refused, Err(IntakeError::Inspected([7, ..]))));
    assert!(staged(root.path()).is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_whole_whatever_the_inspector_says() {
    let (root, store) = store();
    let broken = take_in(&store, breaking(Some(Unplugged)), u64::MAX, |arriving| {
        let read = read_all(arriving).map_err(|error| error.kind());
        assert_eq!(read, Err(io::ErrorKind::ConnectionAborted));
        assert!(arriving.read(&mut [0]).is_err(), "it stays broken off");
        Ok::<_, Infallible>(())
    });
    assert!(matches!(broken.await, Err(IntakeError::Source(Unplugged))));
    let unread = take_in(&store, breaking(Some(Unplugged)), u64::MAX, |_| Ok::<_, Infallible>(()));
    assert!(matches!(unread.await, Err(IntakeError::Source(Unplugged))));
    assert!(staged(root.path()).is_empty());
}

#[tokio::test]
async fn no_byte_more_than_the_limit() {
    let (root, store) = store();
    let thousand = || body([vec![1; 600], vec![2; 400]]);
    let look = |arriving: &mut Arriving<'_>| read_all(arriving);
    assert!(take_in(&store, thousand(), 1000, look).await.is_ok());
    let over = take_in(&store, thousand(), 999, look).await;
    assert!(matches!(over, Err(IntakeError::TooLarge { limit: 999 })));
    assert!(staged(root.path()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_trickles_is_not_waited_for() {
    let (root, store) = store();
    let trickle = stream::repeat(()).then(|()| async {
        tokio::time::advance(Duration::from_secs(10)).await;
        Ok::<_, Infallible>(Bytes::from_static(b"drop"))
    });
    let taken = take_in(&store, trickle.boxed(), u64::MAX, read_all).await;
    assert!(matches!(taken, Err(IntakeError::Stalled(_))));
    assert!(staged(root.path()).is_empty());
}

#[tokio::test]
async fn an_intake_that_nobody_waits_for_leaves_nothing() {
    let (root, store) = store();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let taking = take_in(&store, breaking(None), u64::MAX, move |arriving| {
        arriving.read_exact(&mut [0; 10]).unwrap();
        begun.send(()).unwrap();
        read_all(arriving)
    });
    tokio::select! {
        _ = taking => panic!("it never ends"),
        begun = has_begun => begun.unwrap(),
    }
    until_gone(root.path()).await;
}

#[tokio::test]
async fn an_inspector_that_dies_is_no_verdict() {
    let (root, store) = store();
    let look = |_: &mut Arriving<'_>| -> Result<(), Infallible> { panic!("as planned") };
    assert!(matches!(take_in(&store, body([vec![1; 10]]), 10, look).await, Err(IntakeError::Lost)));
    assert!(staged(root.path()).is_empty());
}

#[tokio::test]
async fn a_stage_that_fails_anywhere_is_the_stores_trouble_and_leaves_nothing() {
    let mut nth = 0;
    loop {
        nth += 1;
        let root = TempDir::new().unwrap();
        let faulty = Arc::new(Faulty::over(ObjectStorage::local(root.path(), false).unwrap()));
        let store: Arc<dyn Store> = faulty.clone();
        faulty.fail(nth, 1, Fault::Full);
        // Whether or not the inspector hides that reading failed.
        let hides = nth % 2 == 0;
        let taken = take_in(&store, body(vec![vec![5; 50_000]; 8]), u64::MAX, move |arriving| {
            let read = read_all(arriving).map(drop);
            if hides { Ok(()) } else { read }
        });
        let outcome = match taken.await {
            Ok((sealing, ())) => Received::new(sealing, Sha256::of(b""), "").await.map(drop),
            Err(IntakeError::Store(error)) => Err(error),
            Err(other) => panic!("{other}"),
        };
        assert!(staged(root.path()).is_empty(), "the {nth}th");
        if faulty.injected() == 0 {
            outcome.unwrap();
            break;
        }
        assert!(matches!(outcome, Err(StoreError::Full)), "the {nth}th: {outcome:?}");
    }
    assert!(nth > 6, "only {nth} operations");
}

#[tokio::test]
async fn a_body_damaged_meanwhile_is_not_read_back() {
    let (root, store) = store();
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    let received = received(&store, &content).await;
    let [file] = &staged(root.path())[..] else { panic!() };
    let at = 2_500_000;
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(&[!content[at]], at as u64).unwrap();
    let mut pieces = received.pieces();
    let mut sound = Vec::new();
    let error = loop {
        match pieces.next().await.unwrap() {
            Ok(piece) => sound.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert!(content.starts_with(&sound) && sound.len() == 2 << 20);
    assert!(matches!(StoreError::from(error), StoreError::Io { .. }));
    assert!(pieces.next().await.is_none(), "nothing after what is damaged");
    assert!(matches!(received.read(at as u64..at as u64 + 1).await, Err(StoreError::Corrupt(_))));
    assert_eq!(received.read(0..10).await.unwrap(), content[..10]);
    assert!(received.read(0..3_000_001).await.is_err());
}

#[tokio::test]
async fn the_file_is_given_away_once_nobody_reads_it() {
    let (_root, store) = store();
    let content = vec![9; 1_500_000];
    let received = received(&store, &content).await;
    let mut pieces = received.pieces();
    assert_eq!(pieces.next().await.unwrap().unwrap().len(), 1 << 20);
    let received = received.into_staged().map(drop).unwrap_err();
    assert_eq!(pieces.next().await.unwrap().unwrap().len(), 1_500_000 - (1 << 20));
    let (staged, seal) = received.into_staged().unwrap();
    assert!(pieces.next().await.is_none());
    assert!(staged.length() > seal.length, "the seal lies behind the content");
}
