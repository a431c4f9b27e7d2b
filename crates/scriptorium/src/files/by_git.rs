//! An archive that Git delivers: made of the commit that the release names, and then taken in like a download.
//!
//! The canonical writer makes the archive, so every proxy makes the same bytes. They are verified like those of a stranger: what Git keeps is
//! not trusted more than a registry. Owns that, and what a failure of a repository or a tree means for the archive. Must not know how commits
//! are fetched.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use git_delivery::{GitExcess, ObjectError, TreeError};
use tracing::warn;

use super::expected::ExpectedFile;
use super::ingest::{ArrivingFile, Bounds, IngestError, ingest};
use super::sealed_file::BroughtFile;
use super::stored::StoredFiles;
use crate::consistency::PinnedCommit;
use crate::consistency::refusals::OtherTree;
use crate::read::ReadFailure;
use crate::repositories::{DeliveredCommit, PackedCommit, Repositories, RepositoryError};
use crate::upstream::{CouldNotAsk, FetchContext, RegistryClient};
use archive::{ArchiveError, Excess};

/// Where the commit is.
pub(super) struct GitDelivery<'a> {
    pub(super) repositories: &'a Repositories,
    pub(super) upstream: &'a Arc<RegistryClient>,
    pub(super) repository: &'a str,
    pub(super) reference: &'a str,
}

impl GitDelivery<'_> {
    /// Makes the archive, verifies it as `expected` and stores it. What is kept of the repository and turns out to be damaged is fetched once
    /// more.
    pub(super) async fn bring(
        &self,
        stored: &StoredFiles,
        expected: &ExpectedFile,
        bounds: &Bounds,
        context: FetchContext<'_>,
    ) -> Result<(BroughtFile, PinnedCommit), IngestError> {
        match self.bring_once(stored, expected, bounds, context).await {
            Err(IngestError::KeptRepository) => {
                warn!(file = %expected, request_id = context.id, "a kept Git repository is damaged and fetched again");
                self.repositories.clear(self.upstream, self.repository).await;
                self.bring_once(stored, expected, bounds, context).await
            }
            brought => brought,
        }
    }

    async fn bring_once(
        &self,
        stored: &StoredFiles,
        expected: &ExpectedFile,
        bounds: &Bounds,
        context: FetchContext<'_>,
    ) -> Result<(BroughtFile, PinnedCommit), IngestError> {
        let fetched =
            self.repositories.fetch(self.upstream, (self.repository, self.reference), context).await?;
        let PackedCommit { bytes, delivered } = fetched.pack(bounds.limits);
        let bytes = bytes.map_err(IngestError::from).boxed();
        let file = ArrivingFile { length: None, bytes, recipe: archive::RECIPE };
        let brought = ingest(stored, file, expected, bounds).await;
        let Ok(DeliveredCommit { commit, tree }) = delivered.await else {
            return Err(brought.err().unwrap_or(IngestError::Lost));
        };
        match brought {
            Err(IngestError::Archive(error @ ArchiveError::Digest { found, .. })) => {
                // People are shown it.
                let reference = self.reference.replace(|one: char| !one.is_ascii_graphic(), "?");
                let tree = OtherTree { reference, commit, integrity: found };
                Err(IngestError::OtherTree { tree: Box::new(tree), error })
            }
            brought => Ok((brought?, PinnedCommit::of(commit, tree))),
        }
    }
}

impl From<TreeError> for IngestError {
    fn from(error: TreeError) -> Self {
        let text = error.to_string();
        match error {
            TreeError::Archive(error) => error.into(),
            TreeError::EntryType { .. } | TreeError::Name(_) => Self::Tree(text),
            TreeError::Object(ObjectError::Malformed(_) | ObjectError::Kind { .. }) => Self::Tree(text),
            TreeError::Object(ObjectError::Exceeded(GitExcess::File(limit))) => {
                ArchiveError::TooLarge(Excess::Unpacked(limit)).into()
            }
            TreeError::Object(ObjectError::NoCommit | ObjectError::Exceeded(_)) => {
                RepositoryError::Server(text).into()
            }
            TreeError::Object(ObjectError::Missing(_) | ObjectError::Damaged(_)) => Self::KeptRepository,
            TreeError::Object(ObjectError::Storage(error)) => Self::Store(error.into()),
        }
    }
}

impl From<RepositoryError> for ReadFailure {
    fn from(error: RepositoryError) -> Self {
        use CouldNotAsk::{BadLocator, Busy, Forbidden, OverBudget, Recalled};
        let why = error.to_string();
        match error {
            // A release's host is asked within its registry's bounds, and it is the registry that names it.
            RepositoryError::Ask(
                reason @ (OverBudget { .. } | Busy | Recalled | Forbidden { .. } | BadLocator),
            )
            | RepositoryError::Cut(reason @ (OverBudget { .. } | Busy | Recalled)) => reason.into(),
            RepositoryError::Ask(reason) | RepositoryError::Cut(reason) => Self::GitHost(reason),
            RepositoryError::TooLarge { limit } => {
                Self::Archive(Arc::new(ArchiveError::TooLarge(Excess::Unpacked(limit))))
            }
            // The release may name another one by now.
            RepositoryError::Reference | RepositoryError::NoReference => {
                Self::Repository { why, is_gone: true }
            }
            RepositoryError::Server(_) => Self::Repository { why, is_gone: false },
            RepositoryError::NoTurn { registry } => Self::NoSlot { registry },
            RepositoryError::Store(error) => Self::Storage(error),
            RepositoryError::Lost => Self::Lost,
        }
    }
}
