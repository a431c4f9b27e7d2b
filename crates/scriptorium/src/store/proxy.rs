//! The store of a running proxy: a folder below a ceiling, or a bucket with a folder for copies of files. Its health is
//! watched, and its work has spans.
//!
//! Owns which part of that does what, and that every failure is noted. Must not know what is stored.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::health::StoreHealth;
use super::tiered::Tiered;
use super::{
    Ceiling, Committed, Damage, FileStore, Hold, KeyPrefix, ListedValue, ObjectStorage, Staged, StorageKey,
    StorageKeys, StoreError, StoreTrouble, Uncommitted, Usage, Vacancy, ValueChange, ValueStore,
};
use crate::clock::Clock;
use crate::spans::span;

#[derive(Debug)]
pub(crate) struct ProxyStore {
    layout: StoreLayout,
    health: StoreHealth,
}

#[derive(Debug)]
enum StoreLayout {
    /// Everything is in one folder, or in memory.
    Folder(Ceiling),
    /// Everything is in a bucket, and copies of files are in a folder.
    Bucket(Tiered),
}

impl ProxyStore {
    /// A store that keeps everything below `ceiling`.
    pub(crate) fn folder(ceiling: Ceiling, clock: Arc<dyn Clock>) -> Self {
        Self { layout: StoreLayout::Folder(ceiling), health: StoreHealth::new(clock) }
    }

    /// A store that keeps everything in `bucket`, with copies of files below `ceiling`.
    pub(crate) fn bucket(bucket: Arc<ObjectStorage>, ceiling: Ceiling, clock: Arc<dyn Clock>) -> Self {
        let tiered = Tiered::new(bucket, ceiling, Arc::clone(&clock));
        Self { layout: StoreLayout::Bucket(tiered), health: StoreHealth::new(clock) }
    }

    /// Where everything is kept, without a ceiling or copies: what an audit reads.
    pub(crate) fn objects(&self) -> &Arc<ObjectStorage> {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling.objects(),
            StoreLayout::Bucket(tiered) => tiered.far(),
        }
    }

    /// What keeps the disk of this machine below `storage.max_size`.
    pub(crate) fn ceiling(&self) -> &Ceiling {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling,
            StoreLayout::Bucket(tiered) => tiered.near(),
        }
    }

    fn values(&self) -> &dyn ValueStore {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling,
            StoreLayout::Bucket(tiered) => &**tiered.far(),
        }
    }

    fn files(&self) -> &dyn FileStore {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling,
            StoreLayout::Bucket(tiered) => tiered,
        }
    }

    /// How full the disk of this machine is.
    pub(crate) fn usage(&self) -> Usage {
        self.ceiling().usage()
    }

    /// Counts what another process stored.
    pub(crate) async fn recount(&self) {
        self.ceiling().count().await;
    }

    /// Keeps `keys` from being evicted, in place of what was kept for `owner` before. Nothing is evicted from a bucket.
    pub(crate) fn keep_from_eviction(&self, owner: &str, keys: StorageKeys) {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling.keep_from_eviction(owner, keys),
            StoreLayout::Bucket(_) => {}
        }
    }

    /// Whether everything is on a disk of this machine, where reading costs no requests.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.layout, StoreLayout::Folder(_))
    }

    /// What the values of `keys` find; a bucket holds whatever comes.
    pub(crate) fn vacancy(&self, keys: &StorageKeys) -> Option<Vacancy> {
        match &self.layout {
            StoreLayout::Folder(ceiling) => Some(ceiling.vacancy(keys)),
            StoreLayout::Bucket(_) => None,
        }
    }

    /// Waits until it is known what is stored, where that is ever known: while it is [kept](Self::keep).
    pub(crate) async fn counted(&self) {
        if let StoreLayout::Folder(ceiling) = &self.layout {
            ceiling.counted().await;
        }
    }

    /// Whether nothing is stored at `key`, where that is known without a look. What another process stored may not be known yet.
    pub(crate) fn is_vacant(&self, key: &StorageKey) -> bool {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling.is_vacant(key),
            StoreLayout::Bucket(_) => false,
        }
    }

    /// What is wrong with the storage.
    pub(crate) fn trouble(&self) -> Option<StoreTrouble> {
        self.health.trouble()
    }

    /// Sweeps, counts, evicts, watches, and flushes what follows. Never ends.
    pub(crate) async fn keep(&self) {
        let sweep = async {
            if let StoreLayout::Bucket(tiered) = &self.layout {
                tiered.far().sweep().await;
            }
            self.ceiling().sweep().await;
        };
        futures_util::join!(
            sweep,
            self.health.watch(|bytes| self.probe(bytes)),
            self.ceiling().keep(),
            self.ceiling().objects().keep_up()
        );
    }

    /// The outcome of `work`, noted if it failed.
    async fn noting<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
        what: &'static str,
        key: &StorageKey,
    ) -> Result<T, StoreError> {
        let span = storing(what, key);
        let done = work.instrument(span.clone()).await;
        if done.is_err() {
            span.record("otel.status_code", "error");
        }
        self.health.noting(done)
    }

    async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        match &self.layout {
            StoreLayout::Folder(ceiling) => ceiling.probe(bytes).await,
            StoreLayout::Bucket(tiered) => tiered.far().probe(bytes).await,
        }
    }
}

/// The span of work with the value or file of `key`.
fn storing(what: &'static str, key: &StorageKey) -> Span {
    span!("storage", operation = what, kind = key.kind(), otel.status_code = Empty)
}

#[async_trait]
impl ValueStore for ProxyStore {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.noting(self.values().read(key), "read", key).await
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.noting(self.values().write(key, bytes), "write", key).await
    }

    async fn write_behind(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.noting(self.values().write_behind(key, bytes), "write_behind", key).await
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.noting(self.values().create(key, bytes), "create", key).await
    }

    async fn update(&self, key: &StorageKey, change: ValueChange<'_>) -> Result<(), StoreError> {
        self.health.noting(self.values().update(key, change).await)
    }

    async fn join_behind(
        &self,
        key: &StorageKey,
        bytes: Bytes,
        join: ValueChange<'_>,
    ) -> Result<(), StoreError> {
        self.noting(self.values().join_behind(key, bytes, join), "join_behind", key).await
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.noting(self.values().remove(key), "remove", key).await
    }

    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue> {
        self.values().list(prefix)
    }

    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError> {
        self.health.noting(self.values().may_hold(prefixes).await)
    }
}

#[async_trait]
impl FileStore for ProxyStore {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        self.noting(self.files().read_range(key, range), "read_range", key).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.noting(self.files().read_tail(key, bytes), "read_tail", key).await
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.files().hold(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        self.health.noting(self.files().stage())
    }

    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        let committed = self.files().commit(key, staged).instrument(storing("commit", key)).await;
        committed.inspect_err(|Uncommitted { error, .. }| self.health.note(error))
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        self.noting(self.files().set_aside(key, damage), "set_aside", key).await
    }
}
