//! Bytes under keys, kept across restarts.
//!
//! Owns what may be asked of a store and how it fails. Must not know what the bytes mean (the one exception,
//! `sealed`, adds checksums to any content), when they expire, or HTTP.

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

mod allowance;
mod ceiling;
mod hold;
mod key;
pub mod ledger;
mod object;
mod quarantine;
pub mod record;
pub mod sealed;
mod staged;
mod staging;
pub mod stock;
mod tiered;
mod watched;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod faulty;

pub use ceiling::{Ceiling, Plan, Usage};
pub use hold::Hold;
pub use key::{Shelf, StorageKey};
pub use object::{Bucket, BucketError, ObjectStorage};
pub use staged::{Quota, Staged};
pub use staging::{Batch, STAGING};
pub use tiered::Tiered;
pub use watched::{Ailment, Trouble, Watched};

/// A stored value that was listed, with its size in bytes.
pub type Listed = Result<(StorageKey, u64), StoreError>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space or quota left.
    #[error("the storage is full: free space where storage.url points, or fit storage.max_size to it")]
    Full,
    /// The value alone takes more than any may; there may be room for others.
    #[error("larger than any file here may be: half of storage.max_size")]
    TooLarge,
    /// The process may not read or write there.
    #[error(
        "the storage refuses access: the process, or its credentials, must own the place storage.url names"
    )]
    Denied,
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(Damage),
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

/// What is wrong with a stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct Damage {
    /// The path inside the storage.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Damage {
    /// The damage of the value of `key`.
    #[must_use]
    pub fn of(key: &StorageKey, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { path: key.path(), expected: expected.into(), found: found.into() }
    }
}

/// Whose value a commit left in place; either is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// What was staged.
    Ours,
    /// Another process committed first, and its value stays.
    Theirs,
}

/// A staged file that could not be committed; it can still be read until it is dropped.
#[derive(Debug, thiserror::Error)]
#[error("cannot be kept")]
pub struct Uncommitted {
    /// Why not.
    #[source]
    pub error: StoreError,
    /// The file, where the failure left it.
    pub staged: Staged,
}

impl StoreError {
    /// What the medium said, for logs.
    fn source_text(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }

    /// The failures an operator can act on, by their kind.
    fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::FileTooLarge => Some(Self::TooLarge),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Self::Denied),
            _ => None,
        }
    }
}

/// Leads back to the same: what an operator can act on is not lost on the way through a reader or a writer.
impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Full => io::ErrorKind::StorageFull,
            StoreError::TooLarge => io::ErrorKind::FileTooLarge,
            StoreError::Denied => io::ErrorKind::PermissionDenied,
            StoreError::Corrupt(_) | StoreError::Missing { .. } | StoreError::Io { .. } => {
                io::ErrorKind::Other
            }
        };
        Self::new(kind, error)
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

    /// Keeps the value of `key` from being evicted until the hold is dropped, also one that comes later.
    fn hold(&self, _key: &StorageKey) -> Hold {
        Hold::default()
    }

    /// Opens a staged file. Blocks: for threads that may.
    fn stage(&self) -> Result<Staged, StoreError>;

    /// Makes what was staged the value of `key`, atomically.
    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted>;

    /// Moves a damaged value to the quarantine, with a note that says why; a missing one is fine.
    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError>;

    /// Proves that the store takes writes of `bytes` bytes.
    async fn probe(&self, bytes: usize) -> Result<(), StoreError>;

    /// What other processes staged and did not commit, be they gone or not.
    async fn staged(&self) -> Result<Vec<Batch>, StoreError>;

    /// Removes what was staged by processes that are no more.
    async fn sweep(&self);

    /// How full it is, where that is bounded.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// What is wrong with it, where that is watched.
    fn trouble(&self) -> Option<Trouble> {
        None
    }
}
