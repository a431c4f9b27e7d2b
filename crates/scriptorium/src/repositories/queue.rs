//! Who waits for commits of one repository.
//!
//! Whoever comes while a fetch is under way waits for the next one, which serves all who wait by then. Owns that order, and that who stopped
//! waiting costs nothing. Must not know how a commit is fetched.

use std::sync::Arc;

use git_delivery::{CommitId, GitObjects, GitReference};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::failure::RepositoryError;
use crate::upstream::{GitPlace, OwnedFetchContext, RegistryClient};

/// The most commits of one fetch.
const TOGETHER: usize = 32;

/// A commit with the objects that it needs.
pub(super) type CommitObjects = (CommitId, Arc<GitObjects>);

/// Somebody who waits for a commit.
pub(super) struct WantedCommit {
    pub(super) place: GitPlace,
    pub(super) reference: GitReference,
    pub(super) context: OwnedFetchContext,
    pub(super) upstream: Arc<RegistryClient>,
    pub(super) reply: oneshot::Sender<Result<CommitObjects, RepositoryError>>,
}

#[derive(Default)]
pub(super) struct RepositoryQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    waiting: Vec<WantedCommit>,
    /// Whether a task works off the queue.
    is_open: bool,
}

impl RepositoryQueue {
    /// Whether somebody waits, or a fetch is under way.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_open
    }

    /// Adds somebody who waits. True if nobody works off the queue, which the caller then must do.
    pub(super) fn join(&self, wanted: WantedCommit) -> bool {
        let mut state = self.0.lock();
        state.waiting.push(wanted);
        !std::mem::replace(&mut state.is_open, true)
    }

    /// The next who are served together; `None` once nobody waits, which ends the work.
    pub(super) fn next(&self) -> Option<Vec<WantedCommit>> {
        let mut state = self.0.lock();
        state.waiting.retain(|wanted| !wanted.reply.is_closed());
        state.is_open = !state.waiting.is_empty();
        let number = state.waiting.len().min(TOGETHER);
        state.is_open.then(|| state.waiting.drain(..number).collect())
    }

    /// The work ended before its time: who waits is told that it was lost, and who comes later starts it again.
    pub(super) fn abandon(&self) {
        let mut state = self.0.lock();
        (state.is_open, state.waiting) = (false, Vec::new());
    }
}
