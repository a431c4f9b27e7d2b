//! One fetch of a repository, for all who wait together.
//!
//! It asks for one list of references and for one pack, without what is kept. A commit that is known by its own name and kept needs no request.
//! If a server refuses several commits together, each is asked for alone, so that one release cannot spoil the others. Owns that. Must not know
//! how a pack is read, nor who waits.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use git_delivery::{
    CommitId, FetchError, GitAllowance, GitObjects, GitReference, ObjectError, RemoteRepository,
};
use tokio::runtime::Handle;
use tracing::warn;

use super::failure::RepositoryError;
use super::kept::{KeptRepositories, KeptRepository};
use super::queue::{CommitObjects, WantedCommit};
use super::transport::GuardedTransport;

type Fetched = Result<CommitObjects, RepositoryError>;

/// Serves those who wait together. Blocks.
pub(super) fn serve(
    kept: &KeptRepositories,
    repository: &KeptRepository,
    runtime: &Handle,
    batch: Vec<WantedCommit>,
) {
    let fetch = BatchFetch { kept, repository, runtime };
    let mut outcome = fetch.fetch(&batch);
    if batch.len() > 1 && outcome.as_ref().is_err_and(RepositoryError::is_of_answer) {
        outcome = Ok(batch.chunks(1).map(|alone| fetch.fetch(alone).and_then(only)).collect());
    }
    match outcome {
        Ok(found) => {
            batch.into_iter().zip(found).for_each(|(wanted, found)| drop(wanted.reply.send(found)));
        }
        Err(error) => batch.into_iter().for_each(|wanted| drop(wanted.reply.send(Err(error.clone())))),
    }
}

fn only(found: Vec<Fetched>) -> Fetched {
    found.into_iter().next().unwrap_or(Err(RepositoryError::Lost))
}

/// Fetches of one repository.
struct BatchFetch<'a> {
    kept: &'a KeptRepositories,
    repository: &'a KeptRepository,
    runtime: &'a Handle,
}

impl BatchFetch<'_> {
    /// What is wanted, in its order.
    fn fetch(&self, batch: &[WantedCommit]) -> Result<Vec<Fetched>, RepositoryError> {
        let limits = self.kept.limits();
        let (folder, staging) = self.kept.open(self.repository)?;
        let held = Arc::new(folder.objects(&limits).map_err(unreadable)?);
        let Some(WantedCommit { place, context, upstream, .. }) = batch.first() else {
            return Ok(Vec::new());
        };
        let references: Vec<GitReference> = batch.iter().map(|wanted| wanted.reference.clone()).collect();
        if let Some(known) = references.iter().map(|reference| known(reference, &held)).collect() {
            return Ok(known);
        }
        let is_left = || batch.iter().all(|wanted| wanted.reply.is_closed());
        let mut transport = GuardedTransport {
            runtime: self.runtime.clone(),
            upstream,
            place: place.clone(),
            context,
            is_left: &is_left,
        };
        let now = Instant::now;
        let allowance = GitAllowance::new(&limits, &now);
        let mut remote = RemoteRepository::connect(&mut transport, &allowance).map_err(told)?;
        let commits = remote.resolve(&references).map_err(told)?;
        let lacking: BTreeSet<CommitId> =
            commits.iter().flatten().copied().filter(|commit| !held.holds(*commit)).collect();
        let lacking: Vec<CommitId> = lacking.into_iter().collect();
        let came = match lacking.is_empty() {
            true => None,
            false => Some(Arc::new(remote.fetch(&lacking, &folder, &staging).map_err(told)?)),
        };
        let found = |commit: CommitId| match &came {
            Some(came) if !held.holds(commit) => (commit, Arc::clone(came)),
            Some(_) | None => (commit, Arc::clone(&held)),
        };
        Ok(commits.into_iter().map(|commit| commit.map(found).ok_or(RepositoryError::NoReference)).collect())
    }
}

/// A commit that is kept and known by its own name.
fn known(reference: &GitReference, held: &Arc<GitObjects>) -> Option<Fetched> {
    match reference {
        GitReference::Commit(commit) if held.holds(*commit) => Some(Ok((*commit, Arc::clone(held)))),
        GitReference::Commit(_) | GitReference::Name(_) => None,
    }
}

/// What a server says is for the log.
fn told(error: FetchError) -> RepositoryError {
    if let FetchError::Refused(said) = &error {
        warn!(%said, "a Git server refuses a request");
    }
    error.into()
}

/// What is kept cannot be opened. A pack alone that is none is passed over by the folder.
fn unreadable(error: ObjectError) -> RepositoryError {
    match error {
        ObjectError::Storage(error) => RepositoryError::storage(error),
        error => RepositoryError::storage(io::Error::other(error)),
    }
}
