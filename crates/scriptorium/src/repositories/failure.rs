//! Why a repository gives no archive.
//!
//! Owns the difference between a server that could not be asked, one whose answer cannot be used, a reference that is not there, and
//! trouble of this proxy. Must not know HTTP, nor what a client is told.

use std::io;
use std::sync::Arc;

use git_delivery::{FetchError, GitExcess};

use super::transport::CutBody;
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;

/// Why there is no archive. Shared by everybody who waited.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error(transparent)]
    Ask(#[from] CouldNotAsk),
    /// Its answer broke off.
    #[error("{0}")]
    Cut(CouldNotAsk),
    /// The release names no reference that Git could have.
    #[error("the release names a reference that Git does not allow")]
    Reference,
    /// The server does not have the reference.
    #[error("the server does not have the reference that the release names")]
    NoReference,
    /// A file is larger than this proxy takes.
    #[error("a file has more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// What the server said cannot be used.
    #[error("{0}")]
    Server(String),
    /// All turns of the registry were taken for too long.
    #[error("all turns of {registry} were taken for too long")]
    NoTurn {
        /// Its name in the configuration.
        registry: String,
    },
    /// This proxy's disk.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The work died.
    #[error("the work died")]
    Lost,
}

impl RepositoryError {
    pub(super) fn storage(error: io::Error) -> Self {
        Self::Store(Arc::new(error.into()))
    }

    /// Whether another fetch would only end the same, as long as neither the release nor the repository changes.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Server(_) | Self::TooLarge { .. } | Self::Reference | Self::NoReference => true,
            Self::Ask(_) | Self::Cut(_) | Self::NoTurn { .. } | Self::Store(_) | Self::Lost => false,
        }
    }

    /// Whether it is due to the answer of the server, of which one of several commits may be the cause.
    pub(crate) fn is_of_answer(&self) -> bool {
        match self {
            Self::Server(_) | Self::TooLarge { .. } => true,
            Self::Ask(_)
            | Self::Cut(_)
            | Self::Reference
            | Self::NoReference
            | Self::NoTurn { .. }
            | Self::Store(_)
            | Self::Lost => false,
        }
    }
}

impl From<FetchError> for RepositoryError {
    fn from(error: FetchError) -> Self {
        let text = error.to_string();
        match error {
            FetchError::Transport(error) => {
                let cut = |error: io::Error| match error.downcast::<CutBody>() {
                    Ok(CutBody(why)) => Self::Cut(why),
                    Err(_) => Self::Cut(CouldNotAsk::BrokenBody),
                };
                error.downcast::<CouldNotAsk>().map_or_else(cut, Self::Ask)
            }
            FetchError::Storage(error) => Self::storage(error),
            FetchError::Exceeded(GitExcess::File(limit)) => Self::TooLarge { limit },
            FetchError::Refused(_)
            | FetchError::Unsupported(_)
            | FetchError::Malformed(_)
            | FetchError::Pack(_)
            | FetchError::Exceeded(_) => Self::Server(text),
        }
    }
}
