//! Bytes under keys, kept across restarts.
//!
//! Owns what may be asked of a store and how it fails. Must not know what the bytes mean (the one exception,
//! `sealed`, adds checksums to any content), when they expire, or HTTP.

use std::fs::File;
use std::io;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

mod key;
mod object;
pub mod sealed;
mod staged;

#[cfg(test)]
mod contract;

pub use key::{Shelf, StorageKey};
pub use object::ObjectStorage;
pub use staged::Staged;

/// A stored value that was listed, with its size in bytes.
pub type Listed = Result<(StorageKey, u64), StoreError>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space or quota left.
    #[error("the storage is full: free space at storage.url or lower storage.max_size")]
    Full,
    /// The process may not read or write there.
    #[error("the storage refuses access: the process must own the place storage.url names")]
    Denied,
    /// What is stored is not what was written.
    #[error("stored data is damaged: {what}")]
    Corrupt {
        /// Where, what was expected and what was found.
        what: String,
    },
    /// Something that was there is gone, as after an eviction.
    #[error("expected {path} in the storage, where it was a moment ago; ask again")]
    Missing {
        /// The path inside the storage.
        path: String,
    },
    /// Any other failure of the medium.
    #[error("the storage failed")]
    Io {
        /// What the medium said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The failures an operator can act on, by their kind.
    fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Self::Denied),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::of_kind(error.kind()).unwrap_or_else(|| Self::Io { source: error.into() })
    }
}

/// Whole values under keys. A reader sees a value as it was written or not at all.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Reads a whole value; `None` when there is none.
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError>;

    /// Puts a value in place of whatever was there, atomically.
    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError>;

    /// Puts a value where there is none; `false` when one was there, which then stays.
    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError>;

    /// Removes a value; a missing one is fine.
    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError>;

    /// Reads exactly `range`; a value that ends before it is [`StoreError::Corrupt`].
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError>;

    /// Reads the last `bytes` bytes, or all of a shorter value, and says how long the value is.
    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError>;

    /// Every value on `shelf`, in no particular order; values written meanwhile may be missed.
    fn list(&self, shelf: Shelf) -> BoxStream<'static, Listed>;

    /// Opens a staged file. Blocks: for threads that may.
    fn stage(&self) -> Result<Staged, StoreError>;

    /// An unnamed file beside the staged ones, gone with its last handle. Blocks: for threads that may.
    fn scratch(&self) -> io::Result<File>;

    /// Makes what was staged the value of `key`, atomically.
    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<(), StoreError>;

    /// Moves a damaged value out of the way, with a note that says why; a missing one is fine.
    async fn set_aside(&self, key: &StorageKey, why: &str) -> Result<(), StoreError>;

    /// Proves that the store takes writes.
    async fn probe(&self) -> Result<(), StoreError>;
}
