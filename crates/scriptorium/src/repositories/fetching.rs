//! Fetching commits of repositories, each repository once at a time.
//!
//! Owns the order: a queue for each repository, the fetch on a thread that may block, and a turn to make the archive. How many repositories are
//! fetched at once is the business of whoever asks. Must not know what a fetch does.

use std::fmt;
use std::sync::Arc;

use git_delivery::GitReference;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{Instrument, Span, warn};

use super::batch::serve;
use super::failure::RepositoryError;
use super::folder::GitFolder;
use super::kept::{GitBounds, KeptRepositories, KeptRepository};
use super::packed::FetchedCommit;
use super::queue::{RepositoryQueue, WantedCommit};
use crate::upstream::{FetchContext, RegistryClient};

/// The repositories of every registry.
pub(crate) struct Repositories(Arc<KeptRepositories>);

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repositories").finish_non_exhaustive()
    }
}

impl Repositories {
    /// Repositories that are kept in `folder`.
    pub(crate) fn new(folder: GitFolder, bounds: GitBounds) -> Self {
        Self(Arc::new(KeptRepositories::new(folder, bounds)))
    }

    /// Repositories without a folder, of which nothing can be fetched.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self::new(GitFolder::in_one_of(Vec::new()), GitBounds::NOTHING)
    }

    /// Bounds what begins from now on.
    pub(crate) fn reload(&self, bounds: GitBounds) {
        self.0.reload(bounds);
    }

    /// The commit that `reference` names in `repository`, with its objects. The server is asked for what is not kept.
    ///
    /// # Errors
    /// [`RepositoryError`].
    pub(crate) async fn fetch(
        &self,
        upstream: &Arc<RegistryClient>,
        (repository, reference): (&str, &str),
        context: FetchContext<'_>,
    ) -> Result<FetchedCommit, RepositoryError> {
        let Self(kept) = self;
        let place = upstream.repository(repository)?;
        let reference: GitReference = reference.parse().map_err(|_| RepositoryError::Reference)?;
        let repository = kept.repository(upstream.registry(), repository);
        let (reply, replied) = oneshot::channel();
        let (context, asked) = (context.owned(), Arc::clone(upstream));
        if repository.queue.join(WantedCommit { place, reference, context, upstream: asked, reply }) {
            let work = work_off(Arc::clone(kept), Arc::clone(&repository));
            tokio::spawn(work.in_current_span());
        }
        let (commit, objects) = replied.await.map_err(|_| RepositoryError::Lost)??;
        let turn = kept.packing(upstream.registry()).await?;
        Ok(FetchedCommit { commit, objects, limits: kept.limits(), turn })
    }

    /// Forgets what is kept of `repository`, because it is damaged.
    pub(crate) async fn clear(&self, upstream: &RegistryClient, repository: &str) {
        let (kept, repository) = (Arc::clone(&self.0), self.0.repository(upstream.registry(), repository));
        if let Err(error) = tokio::task::spawn_blocking(move || kept.clear(&repository)).await {
            warn!(%error, "the clearing of a Git repository died");
        }
    }
}

/// A queue whose work may end before its time.
struct OpenQueue<'a> {
    queue: &'a RepositoryQueue,
    is_done: bool,
}

impl Drop for OpenQueue<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.queue.abandon();
        }
    }
}

/// Fetches until nobody waits, and then removes what is beyond the bounds.
async fn work_off(kept: Arc<KeptRepositories>, repository: Arc<KeptRepository>) {
    fetch_all(&kept, &repository).await;
    // Idle from now on, so that it can go as well if it is larger than all may be.
    drop(repository);
    if let Err(error) = tokio::task::spawn_blocking(move || kept.shrink()).await {
        warn!(%error, "the removal of Git repositories died");
    }
}

async fn fetch_all(kept: &Arc<KeptRepositories>, repository: &Arc<KeptRepository>) {
    let mut open = OpenQueue { queue: &repository.queue, is_done: false };
    while let Some(batch) = open.queue.next() {
        let (kept, repository) = (Arc::clone(kept), Arc::clone(repository));
        let (runtime, span) = (Handle::current(), Span::current());
        let served = tokio::task::spawn_blocking(move || {
            span.in_scope(|| serve(&kept, &repository, &runtime, batch));
        });
        if let Err(error) = served.await {
            warn!(%error, "a fetch from a Git repository died");
        }
    }
    open.is_done = true;
}
