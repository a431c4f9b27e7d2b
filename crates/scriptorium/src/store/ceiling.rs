//! A store that never grows beyond a size.
//!
//! A writer takes bytes from the account first. Above a high-water mark the least valuable values (`ledger`) are evicted
//! in the background, so that a request finds room. A request that finds none waits until something is evicted, and
//! fails as full if nothing may be. A staged file for which there is no room moves to scratch. Values that are being
//! read, and records that only this proxy has, are never evicted.
//!
//! The values of an earlier process are counted in the background; until then only staged files wait.
//!
//! Owns that. Must not know how bytes are kept.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::time::Instant;
use tracing::warn;

use super::ledger::Ledger;
use super::space::{FixedSpace, pages};
use super::staged::ScratchFolders;
use super::staging::Staging;
use super::{
    Committed, Damage, FileStore, KeyPrefix, ListedValue, ObjectStorage, Staged, StorageKey, StorageKeys,
    StoreError, Uncommitted, ValueStore,
};
use bounded::BoundedObjects;

mod account;
mod bounded;
mod count;
mod plan;
mod uses;

#[cfg(test)]
mod tests;

pub(crate) use account::{Usage, Vacancy};
pub(crate) use bounded::Hold;
pub(crate) use plan::EvictionPlan;

/// The wait after a failed eviction.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A crash loses the uses of at most this time.
const SAVED_EVERY: Duration = Duration::from_secs(5 * 60);

/// A bounded store.
#[derive(Debug)]
pub(crate) struct Ceiling {
    bounded: Arc<BoundedObjects>,
    scratch: Option<ScratchFolders>,
}

impl Ceiling {
    /// Keeps `objects` below `max` bytes and draws what is evicted with `rng`.
    pub(crate) fn new(objects: Arc<ObjectStorage>, max: u64, rng: fastrand::Rng) -> Self {
        let bounded = BoundedObjects::new(objects, max, Ledger::new(rng));
        Self { bounded: Arc::new(bounded), scratch: None }
    }

    /// The same, which evicts nothing. For a process beside the proxy, which alone knows what is being read.
    pub(crate) fn without_eviction(self) -> Self {
        self.bounded.account().evict_nothing();
        self
    }

    /// The same with `max` bytes of scratch in `folders`, each used after those before it failed.
    pub(crate) fn with_scratch(self, folders: Vec<PathBuf>, max: u64) -> Self {
        let quota = Arc::new(FixedSpace::of(max));
        let folders = folders.into_iter().map(|folder| Arc::new(Staging::below(folder))).collect();
        Self { scratch: Some(ScratchFolders { folders, quota }), ..self }
    }

    /// The objects without the ceiling.
    pub(crate) fn objects(&self) -> &Arc<ObjectStorage> {
        &self.bounded.objects
    }

    /// Changes the ceiling. Values above it are evicted in the background.
    pub(crate) fn resize(&self, max: u64) {
        self.bounded.account().resize(max);
        self.bounded.look();
    }

    /// Keeps `keys` from being evicted, in place of what was kept for `owner` before.
    pub(crate) fn keep_from_eviction(&self, owner: &str, keys: StorageKeys) {
        self.bounded.account().ledger.keep(owner, keys);
        self.bounded.look();
    }

    /// What the values of `keys` find.
    pub(crate) fn vacancy(&self, keys: &StorageKeys) -> Vacancy {
        self.bounded.account().vacancy(keys)
    }

    /// Waits until the values of an earlier process are counted.
    pub(crate) async fn counted(&self) {
        // It fails only if the sender is gone, which this holds.
        let _ = self.bounded.counted.subscribe().wait_for(|counted| *counted).await;
    }

    /// Whether everything is counted and nothing is stored at `key`.
    pub(crate) fn is_vacant(&self, key: &StorageKey) -> bool {
        let account = self.bounded.account();
        account.counted && account.ledger.size_of(key).is_none()
    }

    /// Some values that would be evicted soon, with their bytes.
    pub(crate) fn next_victims(&self, most: usize) -> Vec<(StorageKey, u64)> {
        self.bounded.account().ledger.next_victims(most)
    }

    pub(crate) fn usage(&self) -> Usage {
        self.bounded.account().usage()
    }

    /// Counts all stored values, then evicts whenever the store is too full. Never ends.
    pub(crate) async fn keep(&self) {
        self.count().await;
        let mut saved = Instant::now();
        loop {
            let _ = tokio::time::timeout(SAVED_EVERY, self.bounded.high.notified()).await;
            if self.bounded.account().is_high() {
                self.evict_surplus().await;
            }
            if saved.elapsed() >= SAVED_EVERY {
                saved = Instant::now();
                self.save_uses().await;
            }
        }
    }

    /// Counts the values that an earlier process stored.
    pub(crate) async fn count(&self) {
        count::count(&self.bounded).await;
    }

    async fn evict_surplus(&self) {
        loop {
            let Some(key) = self.bounded.account().surplus() else { return };
            if self.bounded.evict(&key).await.is_err() {
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }

    async fn save_uses(&self) {
        let lines = uses::lines(&self.bounded);
        if let Err(error) = self.write_behind(&StorageKey::Uses, lines.into()).await {
            warn!(%error, "the uses of stored values could not be saved");
        }
    }

    /// Plans which values to evict so that no more than the ceiling stays. The staged files of processes that are gone come
    /// first, then the quarantine if `and_quarantine`.
    pub(crate) async fn plan(&self, and_quarantine: bool) -> Result<EvictionPlan, StoreError> {
        count::count_all(&self.bounded).await?;
        plan::plan(&self.bounded, and_quarantine).await
    }

    /// Proves that `bytes` bytes can be written.
    pub(super) async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        let taken = pages(bytes as u64);
        self.bounded.room(taken).await?;
        let probed = self.objects().probe(bytes).await;
        self.bounded.account().unstage(taken);
        probed
    }

    /// Removes the staged files of processes that are gone.
    pub(super) async fn sweep(&self) {
        self.objects().sweep().await;
        for folder in self.scratch.iter().flat_map(|scratch| &scratch.folders) {
            folder.sweep().await;
        }
    }
}

#[async_trait]
impl ValueStore for Ceiling {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.bounded.account().ledger.touch(key);
        self.bounded.reading(key, self.objects().read(key)).await
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let write = async { self.objects().write(key, bytes).await.map(|()| true) };
        self.bounded.writing(key, length, write).await.map(drop)
    }

    async fn write_behind(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let write = async { self.objects().write_behind(key, bytes).await.map(|()| true) };
        self.bounded.writing(key, length, write).await.map(drop)
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.bounded.writing(key, bytes.len() as u64, self.objects().create(key, bytes)).await
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.objects().remove(key).await?;
        self.bounded.account().ledger.remove(key);
        Ok(())
    }

    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue> {
        self.objects().list(prefix)
    }

    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError> {
        self.objects().may_hold(prefixes).await
    }
}

#[async_trait]
impl FileStore for Ceiling {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        self.bounded.reading(key, self.objects().read_range(key, range)).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.bounded.reading(key, self.objects().read_tail(key, bytes)).await
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.bounded.hold_for_reading(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        let quota = self.bounded.clone();
        match (self.objects().stage(), &self.scratch) {
            (Ok(staged), None) => Ok(staged.within(quota)),
            (Ok(staged), Some(scratch)) => Ok(staged.within(quota).or_in(scratch.clone())),
            (Err(error), None) => Err(error),
            (Err(error), Some(scratch)) => Ok(Staged::in_scratch(scratch.clone(), error.into())?),
        }
    }

    async fn commit(&self, key: &StorageKey, mut staged: Staged) -> Result<Committed, Uncommitted> {
        if staged.uncommittable().is_some() {
            return self.objects().commit(key, staged).await;
        }
        let _written = self.bounded.hold_for_writing(key).await;
        let (before, handed_over) = self.bounded.count_commit(key, &mut staged);
        let mut committed = self.objects().commit(key, staged).await;
        if let Err(Uncommitted { staged, .. }) = &mut committed {
            staged.take_back_space(handed_over);
            self.bounded.account().uncommit(key, before, handed_over);
        }
        self.bounded.look();
        committed
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let (staged, note) = (self.bounded.account().stage_again(key), pages(1));
        // A store that has no room for the note needs the quarantine all the more; one page too much is tolerated.
        let noted = self.bounded.room(note).await.is_ok();
        let set_aside = self.objects().set_aside(key, damage).await;
        if let Err(error) = count::count_quarantine(&self.bounded).await {
            warn!(%error, "the quarantine could not be counted");
        }
        {
            let mut account = self.bounded.account();
            account.unstage(staged + if noted { note } else { 0 });
            if set_aside.is_err() && staged > 0 && account.ledger.size_of(key).is_none() {
                account.ledger.insert(key.clone(), staged);
            }
        }
        self.bounded.look();
        set_aside
    }
}
