//! A pull in which one operation of the store fails, or all from one on: every one of them, in every way.
//!
//! Owns the promises: what is answered is right or an honest error, documents flow whatever the disk does, and
//! when it works again everything is right, stored and pinned. Must not know what fails inside.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bibliotheca::RangeSupport;
use bytes::Bytes;
use futures_util::TryStreamExt;
use tempfile::TempDir;

use super::desk::{Proxy, Registry, Release, places};
use crate::clock::ManualClock;
use crate::consistency::Pins;
use crate::domain;
use crate::read::ReadFailure;
use crate::store::faulty::{Fault, Faulty};
use crate::store::{KeyPrefix, ObjectStorage, ValueStore};
use crate::upstream::testing::HOME;
use archive::ArchiveError;

/// Longer than anything stays fresh, shorter than it may be served stale.
const LATER: Duration = Duration::from_secs(100_000);

/// How a pull is disturbed.
#[derive(Debug, Clone, Copy)]
struct Case {
    fault: Fault,
    /// The operation that fails first, and how many after it.
    nth: u64,
    times: u64,
    /// Whether the process ends before the store works again.
    restarts: bool,
    /// Whether everything was held, and a block of the archive is damaged.
    damaged: bool,
}

/// The answers of one pull that were errors; every other one was right.
type Errors = Vec<(&'static str, ReadFailure)>;

/// An index, exact metadata, and the archive: cold, warm and a part of it.
async fn pull(proxy: &Proxy, release: &Release, registry: &Registry, case: &Case) -> Errors {
    let mut errors = Vec::new();
    let mut note = |what: &'static str, got: Result<Bytes, ReadFailure>, right: &[u8]| match got {
        Ok(bytes) => assert!(bytes == right, "{case:?}: {what} is wrong"),
        Err(failure) => errors.push((what, failure)),
    };
    for (what, key) in [("index", release.index()), ("exact", release.exact())] {
        note(what, proxy.document(&key).await, &registry.says(&key));
    }
    let whole = 0..release.archive.len() as u64;
    for (what, range) in [("cold", whole.clone()), ("warm", whole), ("part", 262_000..262_300)] {
        let held = proxy.archive(release).await;
        let read = match &held {
            Ok(held) => proxy.read(held, range.clone()).await,
            Err(failure) => Err(failure.clone()),
        };
        note(what, read, &release.archive[range.start as usize..range.end as usize]);
    }
    errors
}

/// Whether a failure says that this proxy's own storage is at fault, and nothing of the registry.
fn is_honest(failure: &ReadFailure) -> bool {
    match failure {
        ReadFailure::Storage(_) | ReadFailure::Replaced(_) | ReadFailure::PinUnknown(_) => true,
        ReadFailure::Archive(error) => matches!(**error, ArchiveError::Scratch(_)),
        _ => false,
    }
}

pub(super) fn staged(root: &Path) -> usize {
    let Ok(runs) = root.join("staging").read_dir() else { return 0 };
    runs.map(|run| run.unwrap().path().read_dir().unwrap().count()).sum()
}

/// Flips a bit in the first block of the stored archive.
async fn flip(store: &Faulty<ObjectStorage>, release: &Release) {
    let [archive, _] = places(release);
    let mut stored = store.inner().read(&archive).await.unwrap().unwrap().to_vec();
    stored[1000] ^= 1;
    store.inner().write(&archive, stored.into()).await.unwrap();
}

/// Everything one case promises. Answers with how many operations failed.
async fn hold(release: &Release, case: Case) -> u64 {
    let Case { fault, nth, times, restarts, damaged } = case;
    let root = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let registry = Registry::of(release, RangeSupport::Honoured);
    let store = Arc::new(Faulty::over(ObjectStorage::local(root.path(), false).unwrap()));
    let start = || Proxy::over(store.clone(), &registry, clock.clone());

    let mut proxy = start();
    if damaged {
        assert!(pull(&proxy, release, &registry, &case).await.is_empty());
        proxy.idle().await;
        flip(&store, release).await;
        if restarts {
            proxy = start();
        }
    }
    store.fail(nth, times, fault);
    for (what, failure) in pull(&proxy, release, &registry, &case).await {
        assert!(is_honest(&failure), "{case:?}: {what}: {failure:?}");
        assert!(what != "index", "{case:?}: {what} needs no disk: {failure:?}");
        let needs_pin = matches!(failure, ReadFailure::PinUnknown(_));
        assert!(what != "exact" || needs_pin, "{case:?}: it needs the disk for its pin only: {failure:?}");
    }
    proxy.idle().await;
    assert_eq!(staged(root.path()), 0, "{case:?}: something is left behind");
    let public = domain::Registry::new("public", HOME);
    let pinned = async || Pins::new(store.clone()).of(&public, &release.purl()).await.unwrap();
    store.clear();
    if let Some(pin) = pinned().await {
        assert_eq!(pin.integrity, release.integrity, "{case:?}");
    }

    if restarts {
        proxy = start();
    }
    let errors = pull(&proxy, release, &registry, &case).await;
    assert!(errors.is_empty(), "{case:?}: the disk works again: {errors:?}");
    assert_eq!(pinned().await.map(|pin| pin.integrity), Some(release.integrity), "{case:?}: no pin");
    if !restarts {
        // A file that was sent and could not be stored is stored by the next request.
        clock.advance(LATER);
        let errors = pull(&proxy, release, &registry, &case).await;
        assert!(errors.is_empty(), "{case:?}: later: {errors:?}");
    }
    proxy.idle().await;
    registry.cut_off();
    let errors = pull(&start(), release, &registry, &case).await;
    assert!(errors.is_empty(), "{case:?}: not all of it is stored: {errors:?}");
    assert_eq!(staged(root.path()), 0, "{case:?}");
    let aside: Vec<_> = store.list(KeyPrefix::Quarantine).try_collect().await.unwrap();
    let most = if damaged { 2 } else { 0 };
    assert!(aside.len() <= most, "{case:?}: what could not be read was taken for damaged: {aside:?}");
    store.injected()
}

/// Lets the operations of a pull fail one after the other, until a pull has no more of them.
async fn sweep(fault: Fault) {
    // Of two blocks, and of three, of which one can be mended alone.
    let (small, large) = (Release::new(300_000, Vec::new()), Release::new(600_000, Vec::new()));
    let (mut runs, mut injected) = (0, 0);
    for (restarts, damaged) in [(false, false), (true, false), (false, true), (true, true)] {
        let release = if damaged { &large } else { &small };
        for times in [1, u64::MAX] {
            let (mut nth, mut quiet) = (0, 0);
            // Background work makes the number of operations vary a little.
            while quiet < 3 {
                nth += 1;
                let failed = hold(release, Case { fault, nth, times, restarts, damaged }).await;
                quiet = if failed == 0 { quiet + 1 } else { 0 };
                (runs, injected) = (runs + 1, injected + failed);
            }
            assert!(nth > 15, "a pull of {nth} operations is none");
        }
    }
    eprintln!("{fault:?}: {injected} faults in {runs} pulls");
}

#[tokio::test]
async fn a_full_disk_anywhere_in_a_pull_costs_no_truth() {
    sweep(Fault::Full).await;
}

#[tokio::test]
async fn a_refused_access_anywhere_in_a_pull_costs_no_truth() {
    sweep(Fault::Denied).await;
}

#[tokio::test]
async fn a_failing_disk_anywhere_in_a_pull_costs_no_truth() {
    sweep(Fault::Io).await;
}

#[tokio::test]
async fn a_change_that_was_made_and_called_failed_costs_no_truth() {
    sweep(Fault::Late).await;
}

#[tokio::test]
async fn nothing_is_believed_while_its_pin_cannot_be_read() {
    let (first, second) = (Release::new(100, Vec::new()), Release::new(200, Vec::new()));
    let (clock, registry) =
        (Arc::new(ManualClock::at(1_000_000)), Registry::of(&first, RangeSupport::Honoured));
    let store = Arc::new(Faulty::over(ObjectStorage::memory().unwrap()));
    let start = || Proxy::over(store.clone(), &registry, clock.clone());
    let proxy = start();
    proxy.document(&first.exact()).await.unwrap();
    proxy.idle().await;
    registry.publish(&second);
    let proxy = start();
    store.fail_from(1, Fault::Io);
    // It may be another than was seen first, so it is nobody's to believe.
    let refused = proxy.document(&first.exact()).await;
    assert!(matches!(refused, Err(ReadFailure::PinUnknown(_))), "{refused:?}");
    proxy.idle().await;
    store.clear();
    let refused = proxy.document(&first.exact()).await;
    assert!(matches!(refused, Err(ReadFailure::Divergent(_))), "{refused:?}");
}

#[tokio::test]
async fn a_confirmed_release_counts_while_its_pin_cannot_be_read() {
    let (first, second) = (Release::new(100, Vec::new()), Release::new(200, Vec::new()));
    let (clock, registry) =
        (Arc::new(ManualClock::at(1_000_000)), Registry::of(&first, RangeSupport::Honoured));
    let store = Arc::new(Faulty::over(ObjectStorage::memory().unwrap()));
    let proxy = Proxy::over(store.clone(), &registry, clock.clone());
    proxy.document(&first.exact()).await.unwrap();
    proxy.idle().await;
    store.fail_from(1, Fault::Io);
    clock.advance(LATER);
    proxy.document(&first.exact()).await.unwrap();
    proxy.idle().await;
    registry.publish(&second);
    clock.advance(LATER);
    let refused = proxy.document(&first.exact()).await;
    assert!(matches!(refused, Err(ReadFailure::Divergent(_))), "{refused:?}");
}
