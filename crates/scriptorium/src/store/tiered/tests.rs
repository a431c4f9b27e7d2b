//! What the tiers do when one of them lacks, damages or refuses a value.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use futures_util::join;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Integrity, Sha256};
use crate::store::sealed::SealWriter;
use crate::store::{KeyPrefix, ProxyStore};

struct Tiers {
    far: Arc<ObjectStorage>,
    near: TempDir,
    away: TempDir,
    clock: Arc<ManualClock>,
    tiered: Tiered,
}

impl Tiers {
    async fn new() -> Self {
        let [near, away] = [(); 2].map(|()| TempDir::new().unwrap());
        let far = Arc::new(ObjectStorage::local(away.path(), false).unwrap());
        let clock = Arc::new(ManualClock::at(0));
        let near_folder = Arc::new(ObjectStorage::local(near.path(), false).unwrap());
        let ceiling = Ceiling::new(near_folder, 1 << 30, Rng::with_seed(1));
        ceiling.count().await;
        let tiered = Tiered::new(Arc::clone(&far), ceiling, clock.clone());
        Self { far, near, away, clock, tiered }
    }

    /// Where the near copy of `key` lies.
    fn copy(&self, key: &StorageKey) -> PathBuf {
        self.near.path().join(key.path())
    }

    fn original(&self, key: &StorageKey) -> PathBuf {
        self.away.path().join(key.path())
    }

    async fn set_aside(&self, key: &StorageKey) {
        self.tiered.set_aside(key, &Damage::of(key, "good", "bad")).await.unwrap();
    }
}

fn archive(name: &str) -> StorageKey {
    StorageKey::Archive(Integrity::new(Sha256::of(name.as_bytes())))
}

/// Stages a sealed value of some blocks, as that of `key`.
fn sealed(files: &dyn FileStore, key: &StorageKey, bytes: usize) -> Staged {
    let mut writer = SealWriter::new(files.stage().unwrap());
    std::io::Write::write_all(&mut writer, &vec![7; bytes]).unwrap();
    writer.finish(*key.sealed_as().unwrap(), "").unwrap().0
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1000] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_commit_is_far_and_near_at_once() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    let staged = sealed(&tiers.tiered, &key, 20_000_000);
    assert_eq!(tiers.tiered.commit(&key, staged).await.unwrap(), Committed::Ours);
    assert_eq!(fs::read(tiers.copy(&key)).unwrap(), fs::read(tiers.original(&key)).unwrap());
    assert_eq!(fs::read_dir(tiers.away.path().join("staging")).unwrap().count(), 0, "a draft stays");

    let staged = sealed(&tiers.tiered, &key, 9);
    assert_eq!(tiers.tiered.commit(&key, staged).await.unwrap(), Committed::Theirs);
    assert!(fs::metadata(tiers.copy(&key)).unwrap().len() > 20_000_000);
    let mut own = fs::read_dir(tiers.near.path().join("staging")).unwrap();
    assert_eq!(own.next().unwrap().unwrap().path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_far_is_not_kept_and_can_be_read() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    fs::write(tiers.away.path().join("archives"), "in the way").unwrap();
    for bytes in [1000, 20_000_000] {
        let staged = sealed(&tiers.tiered, &key, bytes);
        let Uncommitted { staged, .. } = tiers.tiered.commit(&key, staged).await.unwrap_err();
        let mut read = vec![0; bytes];
        staged.read_exact_at(&mut read, 0).unwrap();
        assert!(read == vec![7; bytes] && !tiers.copy(&key).exists());
    }
}

#[tokio::test]
async fn what_is_only_far_is_copied_once_for_all_who_ask() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    let staged = sealed(&*tiers.far, &key, 9_000_000);
    tiers.far.commit(&key, staged).await.unwrap();
    let copies = &tiers.tiered.copies;
    let another = copies.flights.join(&key, async || panic!("two copies at once"));
    let (first, second) = join!(copies.bring(&key), another);
    assert_eq!((first, second), (Copied::Near, Ok((Copied::Near, true))));
    let reads = join_all((0..50).map(|at| tiers.tiered.read_range(&key, at..at + 4))).await;
    assert!(reads.into_iter().all(|read| read.unwrap().unwrap() == vec![7; 4]));
    assert_eq!(fs::read(tiers.copy(&key)).unwrap(), fs::read(tiers.original(&key)).unwrap());

    fs::remove_file(tiers.original(&key)).unwrap();
    assert!(tiers.tiered.read_tail(&key, 1).await.unwrap().is_some(), "read far once more");
    fs::remove_file(tiers.copy(&key)).unwrap();
    assert!(tiers.tiered.read_tail(&key, 1).await.unwrap().is_none());
}

#[tokio::test]
async fn a_near_store_that_takes_nothing_is_passed_by_and_tried_again_later() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    let staged = sealed(&*tiers.far, &key, 1000);
    tiers.far.commit(&key, staged).await.unwrap();
    let ground = tiers.near.path().join("staging");
    fs::write(&ground, "in the way").unwrap();
    assert_eq!(tiers.tiered.read_range(&key, 0..4).await.unwrap().unwrap(), vec![7; 4]);

    fs::remove_file(ground).unwrap();
    tiers.clock.advance(Duration::from_secs(29));
    assert_eq!(tiers.tiered.read_range(&key, 0..4).await.unwrap().unwrap(), vec![7; 4]);
    assert!(!tiers.copy(&key).exists(), "tried at once");
    tiers.clock.advance(Duration::from_secs(2));
    assert_eq!(tiers.tiered.read_range(&key, 0..4).await.unwrap().unwrap(), vec![7; 4]);
    assert!(tiers.copy(&key).exists());
}

#[tokio::test]
async fn a_damaged_copy_does_not_condemn_the_original() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    let staged = sealed(&tiers.tiered, &key, 1000);
    tiers.tiered.commit(&key, staged).await.unwrap();
    flip(&tiers.copy(&key));
    // Two readers notice, one after the other.
    tiers.set_aside(&key).await;
    tiers.set_aside(&key).await;
    assert!(tiers.original(&key).exists() && !tiers.copy(&key).exists());
    let seal = sealed::open(&tiers.tiered, &key).await.unwrap().unwrap();
    assert_eq!(seal.read(&tiers.tiered, &key, 0..1000).await.unwrap(), vec![7; 1000]);
    assert_eq!(tiers.far.list(KeyPrefix::Quarantine).try_collect::<Vec<_>>().await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_original_goes_with_its_copy() {
    let damages: [fn(&Path); 3] =
        [flip, |path| fs::write(path, "garbage").unwrap(), |path| fs::write(path, "").unwrap()];
    for damage in damages {
        let (tiers, key) = (Tiers::new().await, archive("a"));
        let staged = sealed(&*tiers.far, &key, 1000);
        tiers.far.commit(&key, staged).await.unwrap();
        damage(&tiers.original(&key));
        assert!(tiers.tiered.read_tail(&key, 1).await.unwrap().is_some());
        tiers.set_aside(&key).await;
        assert!(tiers.tiered.read_tail(&key, 1).await.unwrap().is_none());
        assert!(!tiers.original(&key).exists() && !tiers.copy(&key).exists());
    }
}

#[tokio::test]
async fn an_original_that_is_sound_and_somebody_elses_goes_too() {
    let (tiers, key) = (Tiers::new().await, archive("a"));
    let staged = sealed(&*tiers.far, &archive("another"), 1000);
    tiers.far.commit(&key, staged).await.unwrap();
    tiers.set_aside(&key).await;
    assert!(!tiers.original(&key).exists());
}

#[tokio::test]
async fn what_processes_agree_on_is_never_near() {
    let (far, near) = (Arc::new(ObjectStorage::memory().unwrap()), TempDir::new().unwrap());
    let objects = Arc::new(ObjectStorage::local(near.path(), false).unwrap());
    let ceiling = Ceiling::new(objects, 1 << 30, Rng::with_seed(1));
    ceiling.count().await;
    let (store, key) =
        (ProxyStore::bucket(far.clone(), ceiling, Arc::new(ManualClock::at(0))), StorageKey::Invalidations);
    let copy = near.path().join(key.path());
    store.write(&key, Bytes::from("far")).await.unwrap();
    assert_eq!(store.read(&key).await.unwrap().unwrap(), "far");
    assert_eq!(store.read_tail(&key, 9).await.unwrap().unwrap(), (Bytes::from("far"), 3));
    assert!(far.read(&key).await.unwrap().is_some() && !copy.exists());
    let mut staged = store.stage().unwrap();
    std::io::Write::write_all(&mut staged, b"far").unwrap();
    store.remove(&key).await.unwrap();
    store.commit(&key, staged).await.unwrap();
    assert!(far.read(&key).await.unwrap().is_some() && !copy.exists());
}
