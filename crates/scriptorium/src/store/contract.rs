//! The contract of a store: the same tests run against every kind of store.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::TryStreamExt;
use tempfile::TempDir;

use super::faulty::Faulty;
use super::{
    Ceiling, Committed, Damage, FileStore, KeyPrefix, ObjectStorage, ProxyStore, StorageBucket, StorageKey,
    Store, StoreError, Uncommitted, ValueStore,
};
use crate::clock::SystemClock;
use crate::domain::{Integrity, Resource, Sha256};

pub(super) mod moto;

fn document(name: &str) -> StorageKey {
    StorageKey::Document { resource: Resource::Index, name: Sha256::of(name.as_bytes()) }
}

fn pin(release: &[u8]) -> StorageKey {
    StorageKey::Pin { volume: Sha256::of(b"volume"), release: Sha256::of(release) }
}

fn damage(key: &StorageKey) -> Damage {
    Damage::of(key, "good bytes", "bad ones")
}

/// One of every kind, each at a place of its own.
fn keys() -> [StorageKey; 5] {
    let digest = Sha256::of(b"x");
    let archive = StorageKey::Archive(Integrity::new(digest));
    let pin = StorageKey::Pin { volume: digest, release: digest };
    let slot = StorageKey::Slot { resource: Resource::Search, slot: 7 };
    [document("x"), slot, pin, StorageKey::TrustArtifact(digest), archive]
}

/// Runs `test` against every kind of store.
async fn each(test: impl AsyncFn(&dyn Store)) {
    test(&Faulty::over(ObjectStorage::memory().unwrap())).await;
    for durable in [false, true] {
        let root = TempDir::new().unwrap();
        let local = ObjectStorage::local(root.path(), durable).unwrap();
        test(&local).await;
    }
    test(&bounded(ObjectStorage::memory().unwrap()).await).await;
    let folder = bounded(ObjectStorage::memory().unwrap()).await;
    test(&ProxyStore::folder(folder, Arc::new(SystemClock::default()))).await;
    each_that_sends(test).await;
}

/// Runs `test` against every kind of store in which nothing can be renamed.
async fn each_that_sends(test: impl AsyncFn(&dyn Store)) {
    test(&ObjectStorage::memory().unwrap()).await;
    let root = TempDir::new().unwrap();
    test(&tiered(ObjectStorage::memory().unwrap(), root.path()).await).await;
    let Some(endpoint) = moto::endpoint() else { return };
    let [staging, near] = [(); 2].map(|()| TempDir::new().unwrap());
    test(&ObjectStorage::s3_at(&bucket(), staging.path(), endpoint)).await;
    let far = ObjectStorage::s3_at(&bucket(), staging.path(), endpoint);
    test(&tiered(far, near.path()).await).await;
}

/// A part of the test bucket that nobody else uses.
fn bucket() -> StorageBucket {
    StorageBucket { name: moto::BUCKET.to_owned(), prefix: format!("contract/{:016x}", fastrand::u64(..)) }
}

async fn bounded(objects: ObjectStorage) -> Ceiling {
    let ceiling = Ceiling::new(Arc::new(objects), 64 << 20, Rng::with_seed(1));
    ceiling.count().await;
    ceiling
}

/// `far` with a folder for copies.
async fn tiered(far: ObjectStorage, near: &Path) -> ProxyStore {
    let near = bounded(ObjectStorage::local(near, false).unwrap()).await;
    ProxyStore::bucket(Arc::new(far), near, Arc::new(SystemClock::default()))
}

async fn local(test: impl AsyncFn(&Path, ObjectStorage)) {
    let root = TempDir::new().unwrap();
    test(root.path(), ObjectStorage::local(root.path(), true).unwrap()).await;
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[tokio::test]
async fn nothing_is_stored_until_it_is_written() {
    each(async |store| {
        for key in keys() {
            assert_eq!(store.read(&key).await.unwrap(), None);
            assert_eq!(store.read_range(&key, 0..1).await.unwrap(), None);
            assert_eq!(store.read_range(&key, 0..0).await.unwrap(), None);
            assert_eq!(store.read_tail(&key, 1).await.unwrap(), None);
            store.remove(&key).await.unwrap();
            store.set_aside(&key, &damage(&key)).await.unwrap();
            assert_eq!(store.read(&key).await.unwrap(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn writes_replace_and_keys_do_not_meet() {
    each(async |store| {
        for (at, key) in keys().iter().enumerate() {
            store.write(key, Bytes::from("a longer value that is replaced")).await.unwrap();
            store.write(key, Bytes::from(format!("value {at}"))).await.unwrap();
        }
        for (at, key) in keys().iter().enumerate() {
            assert_eq!(store.read(key).await.unwrap().unwrap(), format!("value {at}"));
        }
        store.write(&document("empty"), Bytes::new()).await.unwrap();
        assert_eq!(store.read(&document("empty")).await.unwrap(), Some(Bytes::new()));
        store.remove(&document("empty")).await.unwrap();
        assert_eq!(store.read(&document("empty")).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn only_the_first_creation_wins() {
    each(async |store| {
        let key = pin(b"release");
        assert!(store.create(&key, Bytes::from("first")).await.unwrap());
        assert!(!store.create(&key, Bytes::from("second")).await.unwrap());
        assert_eq!(store.read(&key).await.unwrap().unwrap(), "first");

        let key = pin(b"raced for");
        let attempts = (0..16).map(|at| store.create(&key, Bytes::from(vec![at])));
        let won = futures_util::future::join_all(attempts).await;
        let winners: Vec<_> = (0..16).filter(|at| *won[usize::from(*at)].as_ref().unwrap()).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(store.read(&key).await.unwrap().unwrap(), winners);
    })
    .await;
}

#[tokio::test]
async fn changes_that_race_are_all_made_and_none_twice() {
    each_that_sends(async |store| {
        let key = StorageKey::News;
        let add = async |number: u8| {
            let mut add = |stored: Option<Bytes>| {
                let mut numbers = stored.unwrap_or_default().to_vec();
                numbers.push(number);
                Some(numbers.into())
            };
            store.update(&key, &mut add).await.unwrap();
        };
        futures_util::future::join_all((0..6).map(add)).await;
        let mut numbers = store.read(&key).await.unwrap().unwrap().to_vec();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        store.update(&key, &mut |_| None).await.unwrap();
        assert_eq!(store.read(&key).await.unwrap().unwrap().len(), 6, "no change is none");
    })
    .await;
}

#[tokio::test]
async fn ranges_are_exact_or_damage() {
    each(async |store| {
        let key = document("ranges");
        store.write(&key, Bytes::from("0123456789")).await.unwrap();
        for (range, expected) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (4..4, "")] {
            assert_eq!(store.read_range(&key, range).await.unwrap().unwrap(), expected);
        }
        for range in [0..11, 9..11, 10..11, 400..500] {
            let read = store.read_range(&key, range.clone()).await;
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{range:?}: {read:?}");
        }
        for (bytes, expected) in [(1, "9"), (4, "6789"), (10, "0123456789"), (99, "0123456789")] {
            assert_eq!(store.read_tail(&key, bytes).await.unwrap().unwrap(), (Bytes::from(expected), 10));
        }
        store.write(&key, Bytes::new()).await.unwrap();
        assert_eq!(store.read_tail(&key, 4).await.unwrap().unwrap(), (Bytes::new(), 0));
    })
    .await;
}

#[tokio::test]
async fn a_commit_can_be_read_at_once_and_another_takes_its_place_or_yields() {
    each(async |store| {
        let key = StorageKey::Archive(Integrity::new(Sha256::of(b"tree")));
        let mut stays = None;
        for content in [vec![1; 20_000_000], b"small".to_vec(), vec![2; 20_000_000]] {
            let mut staged = store.stage().unwrap();
            staged.write_all(&content).unwrap();
            let mut again = Vec::new();
            staged.reopen().unwrap().read_to_end(&mut again).unwrap();
            assert!(again == content, "a reopened file starts at its first byte");
            let committed = store.commit(&key, staged).await.unwrap();
            if committed == Committed::Ours {
                stays = Some(content);
            }
            assert!(store.read(&key).await.unwrap() == stays.clone().map(Bytes::from));
        }
    })
    .await;
}

#[tokio::test]
async fn of_commits_that_race_one_wins_and_its_value_stays() {
    each_that_sends(async |store| {
        for size in [1000, 9_000_000] {
            let key = StorageKey::Archive(Integrity::new(Sha256::of(&[u8::from(size > 1000)])));
            let commits = (0..4_u8).map(|writer| {
                let mut staged = store.stage().unwrap();
                staged.write_all(&vec![writer; size]).unwrap();
                store.commit(&key, staged)
            });
            let committed = futures_util::future::join_all(commits).await;
            let committed: Vec<Committed> = committed.into_iter().map(Result::unwrap).collect();
            assert_eq!(committed.iter().filter(|one| **one == Committed::Ours).count(), 1);
            let value = store.read(&key).await.unwrap().unwrap();
            assert!(value.len() == size && value.iter().all(|byte| *byte == value[0]));
            assert_eq!(committed[usize::from(value[0])], Committed::Ours);
        }
    })
    .await;
}

#[tokio::test]
async fn a_prefix_lists_its_own_values_and_their_sizes() {
    each(async |store| {
        let listed = async |prefix| store.list(prefix).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(listed(KeyPrefix::Pins).await, [], "a prefix that nobody used is empty");
        for key in keys() {
            store.write(&key, Bytes::from("12345")).await.unwrap();
        }
        store.set_aside(&document("x"), &damage(&document("x"))).await.unwrap();
        store.write(&pin(b"another"), Bytes::from("1")).await.unwrap();
        let [_, slot, first, artifact, archive] = keys();
        assert_eq!(listed(KeyPrefix::Documents).await, [(slot, 5)]);
        assert_eq!(listed(KeyPrefix::Archives).await, [(archive, 5)]);
        assert_eq!(listed(KeyPrefix::TrustArtifacts).await, [(artifact, 5)]);
        assert_eq!(listed(KeyPrefix::Pins).await.len(), 2);
        assert_eq!(listed(KeyPrefix::PinsOf(Sha256::of(b"x"))).await, [(first, 5)]);
        assert_eq!(listed(KeyPrefix::PinsOf(Sha256::of(b"volume"))).await, [(pin(b"another"), 1)]);
    })
    .await;
}

#[tokio::test]
async fn what_is_set_aside_is_gone_and_may_come_again() {
    each(async |store| {
        let key = document("damaged");
        store.write(&key, Bytes::from("bad")).await.unwrap();
        store.set_aside(&key, &damage(&key)).await.unwrap();
        assert_eq!(store.read(&key).await.unwrap(), None);
        assert!(store.create(&key, Bytes::from("good")).await.unwrap());
        assert_eq!(store.read(&key).await.unwrap().unwrap(), "good");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stage_leaves_nothing() {
    local(async |root, store| {
        let mut staged = store.stage().unwrap();
        staged.write_all(b"half").unwrap();
        assert_eq!(files(root).len(), 1, "the staged file lies below the root");
        drop(staged);
        assert_eq!(files(root), Vec::<PathBuf>::new());

        let mut staged = store.stage().unwrap();
        staged.write_all(b"whole").unwrap();
        fs::write(root.join("archives"), "in the way").unwrap();
        let key = StorageKey::Archive(Integrity::new(Sha256::of(b"tree")));
        let Uncommitted { staged, .. } = store.commit(&key, staged).await.unwrap_err();
        assert_eq!(staged.length(), 5, "what could not be committed can still be read");
        drop(staged);
        assert_eq!(files(root), [root.join("archives")], "a failed commit leaves nothing either");
    })
    .await;
}

#[tokio::test]
async fn values_outlive_the_process_that_wrote_them() {
    local(async |root, store| {
        let mut staged = store.stage().unwrap();
        staged.write_all(b"content").unwrap();
        let [written, .., committed] = keys();
        store.write(&written, Bytes::from("document")).await.unwrap();
        store.commit(&committed, staged).await.unwrap();
        drop(store);

        let store = ObjectStorage::local(root, true).unwrap();
        assert_eq!(store.read(&written).await.unwrap().unwrap(), "document");
        assert_eq!(store.read(&committed).await.unwrap().unwrap(), "content");
        assert_eq!(files(root), [root.join(committed.path()), root.join(written.path())]);
    })
    .await;
}

#[tokio::test]
async fn quarantine_keeps_the_bytes_and_the_reason() {
    local(async |root, store| {
        let key = document("damaged");
        store.write(&key, Bytes::from("bad bytes")).await.unwrap();
        store.set_aside(&key, &damage(&key)).await.unwrap();
        let [aside, note] = files(root).try_into().unwrap();
        let kept = aside.strip_prefix(root.join("quarantine")).unwrap();
        assert_eq!(kept.with_extension("").to_str().unwrap(), key.path());
        assert_eq!(fs::read(&aside).unwrap(), b"bad bytes");
        assert_eq!(note.to_str().unwrap(), format!("{}.json", aside.display()));
        let note: serde_json::Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
        assert_eq!(note["expected"], "good bytes");
        assert_eq!(note["found"], "bad ones");
        assert_eq!(note["path"], key.path());
    })
    .await;
}

#[tokio::test]
async fn quarantine_has_a_bound() {
    let root = TempDir::new().unwrap();
    let store = ObjectStorage::local(root.path(), false).unwrap().with_max_quarantine(10_000);
    for at in 0..5 {
        let key = document(&format!("damaged {at}"));
        store.write(&key, vec![at; 4000].into()).await.unwrap();
        store.set_aside(&key, &damage(&key)).await.unwrap();
    }
    let kept: Vec<(StorageKey, u64)> = store.list(KeyPrefix::Quarantine).try_collect().await.unwrap();
    let bytes: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
    assert!((8000..=10_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn every_medium_that_takes_writes_passes_the_probe() {
    let staging = TempDir::new().unwrap();
    let mut media = vec![ObjectStorage::memory().unwrap()];
    media.extend(moto::endpoint().map(|endpoint| ObjectStorage::s3_at(&bucket(), staging.path(), endpoint)));
    for medium in media {
        let key = document("damaged");
        medium.write(&key, Bytes::from("bad")).await.unwrap();
        medium.set_aside(&key, &damage(&key)).await.unwrap();
        medium.probe(10).await.unwrap();
        bounded(medium).await.probe(10).await.unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_takes_no_writes_fails_the_probe() {
    local(async |root, store| {
        store.probe(10).await.unwrap();
        fs::remove_dir_all(root).unwrap();
        fs::write(root, "a file where the directory was").unwrap();
        assert!(matches!(store.probe(10).await, Err(StoreError::Io { .. })));
        fs::remove_file(root).unwrap();
    })
    .await;
}
