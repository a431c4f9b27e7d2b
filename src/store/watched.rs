//! A store whose troubles are noticed, remembered, and forgotten when they are over.
//!
//! A write that fails says what is wrong; while something is, the store is tried every few seconds, so that the
//! trouble is over when the medium is well and not when somebody happens to write. Owns that. Must not know what is
//! done about it, nor who is told.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tracing::{error, info};

use super::{
    Batch, Committed, Damage, Hold, Listed, Shelf, Staged, StorageKey, Store, StoreError, Uncommitted, Usage,
};
use crate::clock::{Clock, Timestamp};

/// Between two tries while nothing is wrong.
const WHILE_WELL: Duration = Duration::from_secs(30);
/// Between two tries while something is.
const WHILE_ILL: Duration = Duration::from_secs(2);
/// What is written to see whether a full store has room again.
const ROOM: usize = 1 << 20;

/// How a store fails, as one of few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// No space left.
    Full,
    /// Read-only, or not this process's.
    Denied,
    /// Anything else that the medium says.
    Failing,
}

impl Ailment {
    /// Every ailment.
    pub const ALL: [Self; 3] = [Self::Full, Self::Denied, Self::Failing];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Denied => "denied",
            Self::Failing => "failing",
        }
    }

    /// What an error says of the medium; nothing where it is the value that is wrong.
    fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Full => Some(Self::Full),
            StoreError::Denied => Some(Self::Denied),
            StoreError::Io { .. } => Some(Self::Failing),
            StoreError::TooLarge | StoreError::Corrupt(_) | StoreError::Missing { .. } => None,
        }
    }
}

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In a word.
    pub ailment: Ailment,
    /// What an operator can do about it.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// A store that is watched.
#[derive(Debug)]
pub struct Watched {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    trouble: Mutex<Option<Trouble>>,
    noticed: Notify,
}

impl Watched {
    /// Watches `store`, which is held to be well.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, trouble: Mutex::new(None), noticed: Notify::new() }
    }

    /// Tries the store again and again. Never ends.
    pub async fn watch(&self) {
        loop {
            self.examine().await;
            let wait = if self.trouble().is_some() { WHILE_ILL } else { WHILE_WELL };
            // Trouble that is noticed meanwhile is looked at soon, not at the end of a long wait.
            if tokio::time::timeout(wait, self.noticed.notified()).await.is_ok() {
                tokio::time::sleep(WHILE_ILL).await;
            }
        }
    }

    /// Tries the store, and notes how it is.
    pub async fn examine(&self) {
        let full = self.trouble().is_some_and(|trouble| trouble.ailment == Ailment::Full);
        match self.store.probe(if full { ROOM } else { 1 }).await {
            Ok(()) => {
                if let Some(over) = self.set(None) {
                    info!(state = over.ailment.as_str(), "the storage is well again");
                }
            }
            Err(error) => self.note(&error),
        }
    }

    fn note(&self, error: &StoreError) {
        let Some(ailment) = Ailment::of(error) else { return };
        let before = self.trouble();
        if before.as_ref().is_some_and(|before| before.ailment == ailment) {
            return;
        }
        let since = before.map_or_else(|| self.clock.now(), |before| before.since);
        error!(state = ailment.as_str(), %error, source = error.source_text(), "the storage is in trouble");
        self.set(Some(Trouble { ailment, detail: error.to_string(), since }));
        self.noticed.notify_one();
    }

    fn set(&self, trouble: Option<Trouble>) -> Option<Trouble> {
        std::mem::replace(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }

    fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.note(error);
        }
        result
    }
}

#[async_trait]
impl Store for Watched {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.noting(self.store.read(key).await)
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.noting(self.store.write(key, bytes).await)
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.noting(self.store.create(key, bytes).await)
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.noting(self.store.remove(key).await)
    }

    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        self.noting(self.store.read_range(key, range).await)
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.noting(self.store.read_tail(key, bytes).await)
    }

    fn list(&self, shelf: Shelf) -> BoxStream<'static, Listed> {
        self.store.list(shelf)
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.store.hold(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        self.noting(self.store.stage())
    }

    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        let committed = self.store.commit(key, staged).await;
        if let Err(Uncommitted { error, .. }) = &committed {
            self.note(error);
        }
        committed
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        self.noting(self.store.set_aside(key, damage).await)
    }

    async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        self.noting(self.store.probe(bytes).await)
    }

    async fn staged(&self) -> Result<Vec<Batch>, StoreError> {
        self.noting(self.store.staged().await)
    }

    async fn sweep(&self) {
        self.store.sweep().await;
    }

    fn usage(&self) -> Option<Usage> {
        self.store.usage()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
