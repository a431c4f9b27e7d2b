//! Why the store could not do what it was asked to.
//!
//! Owns the failures that callers tell apart, and how they pass through `io::Error` unchanged. Must not know what is
//! stored.

use std::io;

use super::StorageKey;

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space or quota is left.
    #[error("the storage is full: free space where storage.url points, or adjust storage.max_size")]
    Full,
    /// The value is larger than any value may be; there may be room for others.
    #[error("the file is larger than half of storage.max_size, which is the limit for one file")]
    TooLarge,
    /// The process has no access.
    #[error("the storage refuses access: give the process, or its credentials, access to storage.url")]
    Denied,
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(Damage),
    /// A value that was there is gone, for example because it was evicted.
    #[error("{path} has just been removed from the storage; ask again")]
    Missing {
        /// Its path inside the storage.
        path: String,
    },
    /// Any other failure of the disk or the bucket.
    #[error("the storage failed")]
    Io {
        /// The error of the system or the library.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is wrong with a stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct Damage {
    /// The path inside the storage.
    pub(crate) path: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Damage {
    pub(crate) fn of(key: &StorageKey, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { path: key.path(), expected: expected.into(), found: found.into() }
    }
}

impl StoreError {
    /// The message of the underlying error, for logs.
    pub(super) fn source_text(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }

    /// The failures that an operator can act on, by the kind that the system reports.
    pub(super) fn of_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::FileTooLarge => Some(Self::TooLarge),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Self::Denied),
            _ => None,
        }
    }
}

/// The other conversion leads back to the same error, so a reader or a writer in between loses nothing.
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
