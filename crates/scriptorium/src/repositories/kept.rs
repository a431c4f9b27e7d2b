//! The repositories that are kept: which, where, and within which bounds.
//!
//! Owns the folder of each, what goes when there are too many bytes or repositories, and how much of the work on them one registry gets at once.
//! Must not know how anything comes into a folder.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use git_delivery::{GitLimits, RepositoryFolder};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::failure::RepositoryError;
use super::folder::{GitFolder, bytes_below};
use super::queue::RepositoryQueue;
use crate::domain::Registry;

/// The most repositories that are kept.
const MOST: usize = 256;

/// Archives that are made at once, of each registry. Each takes up to 100 MB if a server wants that.
const AT_ONCE: usize = 2;

/// The longest wait for one of these.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What Git may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GitBounds {
    pub(crate) limits: GitLimits,
    /// The most bytes of all repositories.
    pub(crate) max_kept: u64,
}

#[cfg(test)]
impl GitBounds {
    /// Nothing is fetched, and nothing is kept.
    pub(super) const NOTHING: Self = Self {
        limits: GitLimits {
            max_time: Duration::ZERO,
            max_pack: 0,
            max_objects: 0,
            max_file: 0,
            max_held: 0,
            max_inflated: 0,
            max_delta_depth: 0,
            max_tree_depth: 0,
            max_listing: 0,
        },
        max_kept: 0,
    };
}

/// A repository, and the registry that names it.
type RepositoryKey = (Registry, String);

pub(super) struct KeptRepositories {
    folder: GitFolder,
    bounds: ArcSwap<GitBounds>,
    all: Mutex<HashMap<RepositoryKey, Arc<KeptRepository>>>,
    packings: Mutex<HashMap<Registry, Arc<Semaphore>>>,
    uses: AtomicU64,
}

/// One repository.
pub(super) struct KeptRepository {
    pub(super) queue: RepositoryQueue,
    /// Its place below the folder of this process.
    name: String,
    /// When it was last used, counted in uses of all.
    used: AtomicU64,
}

impl KeptRepositories {
    pub(super) fn new(folder: GitFolder, bounds: GitBounds) -> Self {
        let (all, packings, uses) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self { folder, bounds: ArcSwap::from_pointee(bounds), all, packings, uses }
    }

    pub(super) fn reload(&self, bounds: GitBounds) {
        self.bounds.store(Arc::new(bounds));
    }

    pub(super) fn limits(&self) -> GitLimits {
        self.bounds.load().limits
    }

    /// The repository that a registry calls so.
    pub(super) fn repository(&self, registry: &Registry, repository: &str) -> Arc<KeptRepository> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        let made = || {
            // Who has a repository that was removed goes on reading it, so no name is used twice.
            let (queue, name) = (RepositoryQueue::default(), format!("{used:016x}"));
            Arc::new(KeptRepository { queue, name, used: AtomicU64::new(used) })
        };
        let key = (registry.clone(), repository.to_owned());
        let repository = Arc::clone(self.all.lock().entry(key).or_insert_with(made));
        repository.used.store(used, Ordering::Relaxed);
        repository
    }

    /// A turn to make an archive, waited for as long as a download would wait for its slot.
    pub(super) async fn packing(&self, registry: &Registry) -> Result<OwnedSemaphorePermit, RepositoryError> {
        let made = || Arc::new(Semaphore::new(AT_ONCE));
        let turns = Arc::clone(self.packings.lock().entry(registry.clone()).or_insert_with(made));
        let turn = tokio::time::timeout(LONGEST_WAIT, turns.acquire_owned()).await;
        let no_turn = || RepositoryError::NoTurn { registry: registry.name().to_owned() };
        turn.ok().and_then(Result::ok).ok_or_else(no_turn)
    }

    /// The folder of a repository, and that in which packs are staged. Blocks.
    pub(super) fn open(
        &self,
        repository: &KeptRepository,
    ) -> Result<(RepositoryFolder, PathBuf), RepositoryError> {
        let staging = self.folder.own().map_err(RepositoryError::storage)?;
        let folder = RepositoryFolder::open(&staging.join(&repository.name), self.bounds.load().max_kept);
        Ok((folder.map_err(RepositoryError::storage)?, staging))
    }

    /// Empties a repository, because what is kept of it is damaged. Blocks.
    pub(super) fn clear(&self, repository: &KeptRepository) {
        let cleared = self
            .open(repository)
            .and_then(|(folder, staging)| folder.clear(&staging).map_err(RepositoryError::storage));
        if let Err(error) = cleared {
            warn!(%error, "a damaged Git repository cannot be cleared");
        }
    }

    /// Removes what was used longest ago, until the rest is within the bounds. What is in use stays; whoever reads from what is removed
    /// goes on reading it. Blocks.
    pub(super) fn shrink(&self) {
        let Ok(own) = self.folder.own() else { return };
        let max_kept = self.bounds.load().max_kept;
        let all = self.all.lock().iter().map(|(key, kept)| (key.clone(), Arc::clone(kept))).collect();
        let mut all: Vec<(RepositoryKey, Arc<KeptRepository>)> = all;
        all.sort_by_key(|(_, kept)| Reverse(kept.used.load(Ordering::Relaxed)));
        let mut bytes: u64 = 0;
        for (at, (key, repository)) in all.into_iter().enumerate() {
            let place = own.join(&repository.name);
            bytes = bytes.saturating_add(bytes_below(&place));
            if (at < MOST && bytes <= max_kept) || !self.drop_idle(&key, &repository) {
                continue;
            }
            match fs::remove_dir_all(&place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(%error, "a Git repository that is kept no longer cannot be removed");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Forgets a repository that nobody uses.
    fn drop_idle(&self, key: &RepositoryKey, repository: &Arc<KeptRepository>) -> bool {
        let mut all = self.all.lock();
        // Whoever uses it holds it, beside this list and the caller's.
        let is_idle = Arc::strong_count(repository) <= 2 && !repository.queue.is_open();
        is_idle && all.remove(key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_repositories_are_kept_than_the_bound_and_what_is_in_use_stays() {
        let home = tempfile::tempdir().unwrap();
        let folder = GitFolder::in_one_of(vec![home.path().join("git")]);
        let kept = KeptRepositories::new(folder, GitBounds::NOTHING);
        let registry = Registry::new("public", "https://registry.example");
        let named = |number: usize| kept.repository(&registry, &format!("https://git.example/{number}"));
        let in_use = named(0);
        (1..=MOST + 1).for_each(|number| drop(named(number)));
        kept.shrink();
        let has = |number: usize| {
            let key = (registry.clone(), format!("https://git.example/{number}"));
            kept.all.lock().contains_key(&key)
        };
        assert_eq!((has(0), has(1), has(2), has(MOST + 1)), (true, false, true, true));
        drop(in_use);
        kept.shrink();
        assert_eq!((has(0), kept.all.lock().len()), (false, MOST));
    }
}
