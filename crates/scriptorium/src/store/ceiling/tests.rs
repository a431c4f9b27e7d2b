//! The ceiling holds, and what goes is what may.

use std::io::Write;

use fastrand::Rng;
use tempfile::TempDir;

use futures_util::TryStreamExt;

use super::*;
use crate::domain::{Integrity, Resource, Sha256};
use crate::store::inventory::PREFIXES;

const MIB: u64 = 1 << 20;

fn archive(name: u64) -> StorageKey {
    StorageKey::Archive(Integrity::new(Sha256::of(&name.to_le_bytes())))
}

fn document(name: u64) -> StorageKey {
    StorageKey::Document { resource: Resource::Index, name: Sha256::of(&name.to_le_bytes()) }
}

fn pin(name: u64) -> StorageKey {
    let name = Sha256::of(&name.to_le_bytes());
    StorageKey::Pin { volume: name, release: name }
}

async fn counted(store: Arc<ObjectStorage>, max: u64) -> Arc<Ceiling> {
    let ceiling = Arc::new(Ceiling::new(store, max, Rng::with_seed(7)));
    ceiling.count().await;
    ceiling
}

async fn below(max: u64) -> Arc<Ceiling> {
    counted(Arc::new(ObjectStorage::memory().unwrap()), max).await
}

/// Stages so many bytes on a thread that may block, and commits them.
async fn bring(ceiling: &Arc<Ceiling>, name: u64, bytes: usize) -> Result<Committed, StoreError> {
    let staging = Arc::clone(ceiling);
    let staged = tokio::task::spawn_blocking(move || {
        let mut staged = staging.stage()?;
        staged.write_all(&vec![name as u8; bytes])?;
        Ok::<_, StoreError>(staged)
    });
    let staged = staged.await.unwrap()?;
    ceiling.commit(&archive(name), staged).await.map_err(|uncommitted| uncommitted.error)
}

/// Bytes that are really there.
async fn stored(ceiling: &Ceiling) -> u64 {
    let mut bytes = 0;
    for prefix in PREFIXES.into_iter().chain([KeyPrefix::Quarantine]) {
        let listed: Vec<_> = ceiling.list(prefix).try_collect().await.unwrap();
        bytes += listed.iter().map(|(_, size)| pages(*size)).sum::<u64>();
    }
    bytes
}

async fn holds(ceiling: &Ceiling, key: &StorageKey) -> bool {
    ceiling.objects().read(key).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_makes_room_and_never_exceeds_the_ceiling() {
    let ceiling = below(10 * MIB).await;
    for name in 0..40 {
        bring(&ceiling, name, 900_000).await.unwrap();
        let usage = ceiling.usage();
        assert!(usage.used <= usage.max && usage.staged == 0, "{usage:?}");
        assert_eq!(usage.used, stored(&ceiling).await, "the account is what is there");
        assert!(holds(&ceiling, &archive(name)).await);
    }
    assert!(ceiling.usage().evicted.values >= 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_stay_below_the_ceiling_too() {
    let ceiling = below(4 * MIB).await;
    let brought = (0..64).map(|name| {
        let ceiling = Arc::clone(&ceiling);
        tokio::spawn(async move { bring(&ceiling, name, 300_000 + name as usize).await })
    });
    for brought in futures_util::future::join_all(brought).await {
        // With all room taken by others' staged files, one may be told that there is none.
        assert!(matches!(brought.unwrap(), Ok(Committed::Ours) | Err(StoreError::Full)));
    }
    let usage = ceiling.usage();
    assert_eq!((usage.staged, usage.used), (0, stored(&ceiling).await));
    assert!(usage.used <= usage.max);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_go_before_documents_and_pins_never() {
    let ceiling = below(MIB).await;
    for name in 0..20 {
        ceiling.write(&document(name), vec![1; 4000].into()).await.unwrap();
        assert!(ceiling.create(&pin(name), vec![1; 100].into()).await.unwrap());
    }
    bring(&ceiling, 1, 400_000).await.unwrap();
    for name in 100..240 {
        ceiling.write(&document(name), vec![1; 4000].into()).await.unwrap();
    }
    assert!(!holds(&ceiling, &archive(1)).await, "the archive went first");
    assert!(holds(&ceiling, &document(0)).await, "and no document before it was needed");
    for name in 240..600 {
        ceiling.write(&document(name), vec![1; 4000].into()).await.unwrap();
    }
    for name in 0..20 {
        assert!(holds(&ceiling, &pin(name)).await);
    }
    assert!(ceiling.usage().used <= MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_seen_pushes_nothing_out_and_is_bounded() {
    let ceiling = below(4 * MIB).await;
    for name in 0..3 {
        bring(&ceiling, name, 1_000_000).await.unwrap();
        assert!(ceiling.create(&pin(name), vec![1; 100].into()).await.unwrap());
    }
    for name in 0..3_000 {
        let release = Sha256::of(&u64::to_le_bytes(name));
        let sighting = StorageKey::Sighting { volume: Sha256::of(b"x"), release };
        assert!(ceiling.create(&sighting, vec![1; 100].into()).await.unwrap());
    }
    for name in 0..3 {
        assert!(holds(&ceiling, &archive(name)).await && holds(&ceiling, &pin(name)).await);
    }
    // What is left of room is theirs as long as nobody needs it.
    bring(&ceiling, 4, 700_000).await.unwrap();
    for name in 0..3 {
        assert!(holds(&ceiling, &archive(name)).await, "they go for it, not what is larger");
    }
    let usage = ceiling.usage();
    assert!(usage.used <= usage.max && usage.used == stored(&ceiling).await, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_first_is_not_evicted_for_the_margin() {
    let ceiling = below(4 * MIB).await;
    let sighting = StorageKey::Sighting { volume: Sha256::of(b"x"), release: Sha256::of(b"y") };
    assert!(ceiling.create(&sighting, vec![1; 100].into()).await.unwrap());
    ceiling.keep_from_eviction("a mirror", (0..4).map(archive).collect::<Vec<_>>().iter().collect());
    for name in 0..4 {
        bring(&ceiling, name, 1_000_000).await.unwrap();
    }
    assert!(ceiling.bounded.account().is_high());
    ceiling.evict_surplus().await;
    assert!(holds(&ceiling, &sighting).await, "it would make next to no room");
    // A value that needs the room gets it.
    let left = ceiling.usage().max - ceiling.usage().used;
    ceiling.write(&document(1), vec![1; left as usize].into()).await.unwrap();
    ceiling.write(&document(2), vec![1; 100].into()).await.unwrap();
    assert!(!holds(&ceiling, &document(1)).await && holds(&ceiling, &sighting).await);
    assert_eq!(ceiling.usage().evicted.values, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_stays_and_what_was_read_may_go() {
    let ceiling = below(4 * MIB).await;
    bring(&ceiling, 1, 1_500_000).await.unwrap();
    let hold = ceiling.hold(&archive(1));
    for name in 2..12 {
        bring(&ceiling, name, 1_500_000).await.unwrap();
        assert!(holds(&ceiling, &archive(1)).await);
    }
    drop(hold);
    for name in 12..40 {
        bring(&ceiling, name, 1_500_000).await.unwrap();
    }
    assert!(!holds(&ceiling, &archive(1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_for_what_would_never_fit() {
    let ceiling = below(4 * MIB).await;
    bring(&ceiling, 1, 1_000_000).await.unwrap();
    assert!(matches!(bring(&ceiling, 2, 5_000_000).await, Err(StoreError::TooLarge)));
    assert!(matches!(
        ceiling.write(&document(1), vec![0; 3_000_000].into()).await,
        Err(StoreError::TooLarge)
    ));
    assert!(holds(&ceiling, &archive(1)).await);
    assert_eq!(ceiling.usage().staged, 0, "what was taken is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_goes_on_in_the_scratch_space() {
    let scratch = TempDir::new().unwrap();
    let store = Arc::new(ObjectStorage::memory().unwrap());
    let ceiling =
        Ceiling::new(store, MIB, Rng::with_seed(7)).with_scratch(vec![scratch.path().join("own")], 8 * MIB);
    ceiling.count().await;
    let ceiling = Arc::new(ceiling);
    let staging = Arc::clone(&ceiling);
    let write = move |bytes: usize| {
        let mut staged = staging.stage()?;
        staged.write_all(&vec![1; bytes]).map(|()| staged).map_err(StoreError::from)
    };
    let writing = write.clone();
    let staged = tokio::task::spawn_blocking(move || writing(3_000_000)).await.unwrap().unwrap();
    let Uncommitted { error, staged } = ceiling.commit(&archive(1), staged).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge));
    assert_eq!((staged.length(), ceiling.usage().used), (3_000_000, 0));
    let second = tokio::task::spawn_blocking(move || write(6_000_000)).await.unwrap();
    assert!(matches!(second, Err(StoreError::Full)), "the scratch space has a bound of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_freed_behind_requests() {
    let ceiling = below(10 * MIB).await;
    let keeping = Arc::clone(&ceiling);
    let keeper = tokio::spawn(async move { keeping.keep().await });
    for name in 0..10 {
        bring(&ceiling, name, 1_000_000).await.unwrap();
    }
    while ceiling.usage().used > 10 * MIB / 100 * 90 {
        tokio::task::yield_now().await;
    }
    keeper.abort();
    assert!(ceiling.usage().used >= 8 * MIB, "and no more than that");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_process_left_is_counted_with_its_uses() {
    let store: Arc<ObjectStorage> = Arc::new(ObjectStorage::memory().unwrap());
    let before = counted(Arc::clone(&store), 10 * MIB).await;
    for name in 0..8 {
        bring(&before, name, 1_000_000).await.unwrap();
    }
    for _ in 0..50 {
        drop(before.hold(&archive(3)));
    }
    before.set_aside(&archive(7), &Damage::of(&archive(7), "a", "b")).await.unwrap();
    before.save_uses().await;

    let after = Arc::new(Ceiling::new(store, 10 * MIB, Rng::with_seed(8)));
    after.write(&document(1), "written before the count".into()).await.unwrap();
    after.count().await;
    let (before, now) = (before.usage(), after.usage());
    assert_eq!((now.archives, now.quarantined), (before.archives, before.quarantined));
    assert_eq!(now.documents.values, 1);
    for name in 100..160 {
        bring(&after, name, 1_000_000).await.unwrap();
    }
    assert!(holds(&after, &archive(3)).await, "the one that is used stays, for sixty that are used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_files_wait_for_the_count_and_documents_do_not() {
    let store: Arc<ObjectStorage> = Arc::new(ObjectStorage::memory().unwrap());
    let ceiling = Arc::new(Ceiling::new(store, MIB, Rng::with_seed(7)));
    ceiling.write(&document(1), "at once".into()).await.unwrap();
    let bringing = Arc::clone(&ceiling);
    let mut brought = tokio::spawn(async move { bring(&bringing, 1, 1000).await });
    tokio::select! {
        _ = &mut brought => panic!("a staged file must wait"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    ceiling.count().await;
    brought.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_counts_like_what_is_kept() {
    let ceiling = below(4 * MIB).await;
    for name in 1..=4 {
        bring(&ceiling, name, 900_000).await.unwrap();
    }
    let damage = Damage::of(&archive(1), "a", "b");
    ceiling.set_aside(&archive(1), &damage).await.unwrap();
    ceiling.set_aside(&archive(1), &damage).await.unwrap();
    let usage = ceiling.usage();
    assert_eq!((usage.used, usage.staged), (stored(&ceiling).await, 0));
    assert!(usage.used <= usage.max && usage.quarantined > 900_000);
    bring(&ceiling, 5, 1_800_000).await.unwrap();
    let usage = ceiling.usage();
    assert_eq!((usage.used, usage.staged), (stored(&ceiling).await, 0));
    assert!(usage.used <= usage.max);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanished_is_not_counted_for_ever() {
    let ceiling = below(MIB).await;
    bring(&ceiling, 1, 100_000).await.unwrap();
    ceiling.objects().remove(&archive(1)).await.unwrap();
    assert!(ceiling.read_tail(&archive(1), 10).await.unwrap().is_none());
    assert_eq!(ceiling.usage().used, 0);
}

/// A plan for what lies in the ceiling's store, by a process beside its own.
async fn planned(ceiling: &Ceiling, to: u64, and_quarantine: bool) -> EvictionPlan {
    let beside = Ceiling::new(Arc::clone(ceiling.objects()), to, Rng::with_seed(1));
    beside.plan(and_quarantine).await.unwrap()
}

fn names(plan: &EvictionPlan) -> Vec<String> {
    plan.values.iter().map(|(key, _)| key.path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_takes_archives_by_use_then_documents_and_no_more_than_it_must() {
    let ceiling = below(100 * MIB).await;
    for name in 0..6 {
        bring(&ceiling, name, 1_000_000).await.unwrap();
        ceiling.write(&document(name), vec![1; 4000].into()).await.unwrap();
        assert!(ceiling.create(&pin(name), vec![1; 100].into()).await.unwrap());
    }
    for (name, uses) in [(0, 5), (1, 4), (2, 3), (4, 2), (5, 1)] {
        (0..uses).for_each(|_| drop(ceiling.hold(&archive(name))));
    }
    ceiling.save_uses().await;
    let all = stored(&ceiling).await + pages(1);
    let whole = planned(&ceiling, all, true).await;
    assert_eq!((whole.before, whole.after, whole.values.len()), (all, all, 0), "the uses are a page, too");

    let archives = [3, 5, 4, 2, 1, 0].map(|name| archive(name).path());
    let two = planned(&ceiling, all - pages(1_000_000) - 1, true).await;
    assert_eq!(names(&two), archives[..2]);
    assert_eq!(two.after, all - 2 * pages(1_000_000));
    let least = 7 * pages(1);
    let one_stays = planned(&ceiling, least + pages(4000), true).await;
    assert_eq!(names(&one_stays)[..6], archives);
    assert_eq!((one_stays.values.len(), one_stays.after), (11, least + pages(4000)));
    let none = planned(&ceiling, 1, true).await;
    assert_eq!((none.least, none.after, none.values.len()), (least, least, 12), "pins never go");
    assert_eq!(stored(&ceiling).await + pages(1), all, "a plan removes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_takes_the_quarantine_where_that_is_asked_for() {
    let ceiling = below(100 * MIB).await;
    for name in 0..2 {
        bring(&ceiling, name, 1_000_000).await.unwrap();
    }
    ceiling.set_aside(&archive(0), &Damage::of(&archive(0), "a", "b")).await.unwrap();
    let (set_aside, note) = (pages(1_000_000), pages(1));
    let without = planned(&ceiling, 1, false).await;
    assert_eq!((without.least, names(&without)), (set_aside + note, vec![archive(1).path()]));
    let with = planned(&ceiling, set_aside, true).await;
    assert_eq!((with.least, with.after, with.values.len()), (0, pages(1_000_000), 2));
    assert!(names(&with).iter().all(|path| path.starts_with("quarantine/")), "no archive had to go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_what_is_staged_and_takes_what_is_abandoned() {
    let folder = TempDir::new().unwrap();
    let store = || Arc::new(ObjectStorage::local(folder.path(), false).unwrap());
    let running = store();
    let mut staged = running.stage().unwrap();
    staged.write_all(&[1; 9000]).unwrap();
    std::fs::create_dir(folder.path().join("staging/run-gone")).unwrap();
    std::fs::write(folder.path().join("staging/run-gone/staged-1"), [1; 5000]).unwrap();
    let beside = Ceiling::new(store(), 1, Rng::with_seed(1));
    let plan = beside.plan(false).await.unwrap();
    assert_eq!((plan.before, plan.after, plan.least), (pages(9000) + pages(5000), pages(9000), pages(9000)));
    let [abandoned] = &*plan.abandoned else { panic!("{plan:?}") };
    assert_eq!((&*abandoned.path, abandoned.tally.bytes), ("staging/run-gone", pages(5000)));
    beside.sweep().await;
    assert_eq!(beside.plan(false).await.unwrap().abandoned, []);
    drop(staged);
}
