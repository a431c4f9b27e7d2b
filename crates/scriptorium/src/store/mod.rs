//! Bytes under keys that outlive the process.
//!
//! Small values and files are two traits: values (documents, pins, other records) are written whole in one place that
//! all processes share; files (archives, trust artifacts) are staged, sealed, committed, read in parts, and may have
//! copies nearer. `proxy` puts the store of a running proxy together.
//!
//! A value is written *first* if a client is told something that must still hold after a power cut, and *follows* if it
//! can be asked for again:
//!
//! | what | how | after a power cut |
//! |---|---|---|
//! | pins, refusals of a registry, divergences, refused archives, invalidations, histories, uploads, mirrors | first | is there |
//! | a document in place of another | first, by itself | is there, or the other is until somebody was told |
//! | a document of which nothing was stored | follows | is there, or asked for again |
//! | a sealed file | its content first, its name follows | is there whole, or fetched again |
//! | uses of values, notes in the quarantine | follows | may be missing |
//! | a removal | first; an eviction follows | is done |
//!
//! What follows takes names that are free and no others. So it can undo nothing that was written first, whatever a cut
//! leaves of it. A flush reaches everything before it, so what is first never stands on something that is lost. Every
//! record has a checksum over all of it, so a torn one is a miss.
//!
//! Owns what may be asked of a store. Must not know what the bytes mean (only `sealed` adds checksums, to any
//! content), when they expire, or HTTP.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

mod ceiling;
mod error;
mod health;
mod inventory;
mod key;
mod keys;
pub(crate) mod ledger;
mod object;
mod proxy;
mod quarantine;
pub(crate) mod record;
pub(crate) mod sealed;
mod space;
mod staged;
mod staging;
pub(crate) mod stats;
mod tiered;
mod unwritten;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod power;

pub(crate) use ceiling::{Ceiling, EvictionPlan, Hold, Usage, Vacancy};
pub(crate) use error::{Damage, StoreError};
pub(crate) use health::{StoreTrouble, TroubleKind};
pub(crate) use key::KeyPrefix;
pub(crate) use key::StorageKey;
pub(crate) use keys::StorageKeys;
pub(crate) use object::ObjectStorage;
pub(crate) use object::{BucketError, StorageBucket};
pub(crate) use proxy::ProxyStore;
pub(crate) use space::{Tally, pages};
pub(crate) use staged::Staged;
pub(crate) use staging::{STAGING, StagedBatch};
pub(crate) use unwritten::UnwrittenStore;

/// A stored value with its size in bytes, or why it could not be listed.
pub(crate) type ListedValue = Result<(StorageKey, u64), StoreError>;

/// What becomes of a value, if there is one.
pub(crate) type ValueChange<'a> = &'a mut (dyn FnMut(Option<Bytes>) -> Option<Bytes> + Send);

/// Whose file is stored after a commit. Either is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Ours.
    Ours,
    /// Another process committed first, and its file stays.
    Theirs,
}

/// A staged file that could not be committed. It can be read until it is dropped.
#[derive(Debug, thiserror::Error)]
#[error("the file cannot be kept")]
pub(crate) struct Uncommitted {
    #[source]
    pub(crate) error: StoreError,
    pub(crate) staged: Staged,
}

/// Small values, read and written whole. A reader sees a value as it was written or not at all.
#[async_trait]
pub(crate) trait ValueStore: Debug + Send + Sync {
    /// Reads the value, if there is one.
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError>;

    /// Replaces the value, atomically. It is written *first*.
    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError>;

    /// The same for a value that *follows*.
    async fn write_behind(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError>;

    /// Writes the value *first* if there is none; `false` if there is one, which then stays.
    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError>;

    /// Replaces the value by what `change` makes of it, *first*; nothing is written if that is `None`. What another process
    /// writes meanwhile is not lost: `change` is then called again. Callers of one process take turns.
    async fn update(&self, key: &StorageKey, change: ValueChange<'_>) -> Result<(), StoreError> {
        match change(self.read(key).await?) {
            Some(bytes) => self.write(key, bytes).await,
            None => Ok(()),
        }
    }

    /// Writes `bytes`, which *follows*. What another process wrote to the same key is not lost: where there may be others, the
    /// value becomes what `join` makes of theirs. A folder has one process, which knows its value, and reads nothing for this.
    async fn join_behind(
        &self,
        key: &StorageKey,
        bytes: Bytes,
        _join: ValueChange<'_>,
    ) -> Result<(), StoreError> {
        self.write_behind(key, bytes).await
    }

    /// Removes the value *first*; a missing one is fine.
    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError>;

    /// Lists all keys with `prefix`, in no particular order; values that are written meanwhile may be missed.
    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue>;

    /// Whether there may be a key with one of `prefixes`; cheaper than to list them.
    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError>;
}

/// Files of any size, and parts of anything that is stored.
#[async_trait]
pub(crate) trait FileStore: Debug + Send + Sync {
    /// Reads exactly `range`; a file that ends before it is `StoreError::Corrupt`.
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError>;

    /// Reads the last `bytes` bytes, or all of a shorter file, and returns the file's length with them.
    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError>;

    /// Keeps the file of `key` from being evicted until the hold is dropped, even if the file arrives later.
    fn hold(&self, _key: &StorageKey) -> Hold {
        Hold::default()
    }

    /// Opens a staged file. Blocks: call it on a thread that may block.
    fn stage(&self) -> Result<Staged, StoreError>;

    /// Makes the staged file the file of `key`, atomically.
    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted>;

    /// Moves what is stored under `key`, which is damaged, to the quarantine, with a note; a missing one is fine.
    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError>;
}

/// Both, as the other rooms see a store.
pub(crate) trait Store: ValueStore + FileStore {}

impl<S: ValueStore + FileStore> Store for S {}
