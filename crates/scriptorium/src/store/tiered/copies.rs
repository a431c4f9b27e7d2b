//! Copying files from the bucket to the folder here: once for all who ask, and a bounded number at once.
//!
//! Owns that, and for how long a file that could not be copied is not tried again. Must not know why a file is wanted,
//! nor whether it is sound: its reader finds out.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::clock::Clock;
use crate::flight::Flights;
use crate::store::{Ceiling, FileStore, ObjectStorage, StorageKey, StoreError, Uncommitted};

/// Bytes copied at a time.
const PIECE: u64 = 4 << 20;
/// Copies at once; each holds a piece in memory.
const AT_ONCE: usize = 8;
/// How long the bucket is read, after a copy failed, before another try.
const PAUSE: Duration = Duration::from_secs(30);
/// How many failures are remembered.
const FAILURES: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    Near,
    /// The bucket has no such file.
    Absent,
    /// It cannot be read in the bucket, or not be kept here.
    Failed,
}

#[derive(Debug)]
pub(super) struct Copies {
    pub(super) far: Arc<ObjectStorage>,
    pub(super) near: Arc<Ceiling>,
    pub(super) flights: Arc<Flights<StorageKey, Copied>>,
    slots: Semaphore,
    /// When a copy failed, by the clock's monotonic time.
    failed: Cache<StorageKey, Duration>,
    clock: Arc<dyn Clock>,
}

impl Copies {
    pub(super) fn new(far: Arc<ObjectStorage>, near: Ceiling, clock: Arc<dyn Clock>) -> Self {
        let (near, slots, failed) = (Arc::new(near), Semaphore::new(AT_ONCE), Cache::new(FAILURES));
        Self { far, near, flights: Arc::default(), slots, failed, clock }
    }

    /// Copies the file of `key`. The copy goes on when its caller does not.
    pub(super) async fn bring(self: &Arc<Self>, key: &StorageKey) -> Copied {
        let copy = || {
            let (copies, key) = (Arc::clone(self), key.clone());
            async move { copies.copy(&key).await }
        };
        self.flights.join(key, copy).await.map_or(Copied::Failed, |(copied, _)| copied)
    }

    async fn copy(&self, key: &StorageKey) -> Copied {
        let recently = |failed: Duration| self.clock.monotonic().saturating_sub(failed) < PAUSE;
        if self.failed.get(key).is_some_and(recently) {
            return Copied::Failed;
        }
        let Ok(_slot) = self.slots.acquire().await else { return Copied::Failed };
        self.stream(key).await.unwrap_or_else(|error| {
            warn!(%error, path = key.path(), "a file cannot be copied here; the bucket is read");
            self.failed.insert(key.clone(), self.clock.monotonic());
            Copied::Failed
        })
    }

    async fn stream(&self, key: &StorageKey) -> Result<Copied, StoreError> {
        // An earlier caller may just have copied it.
        if self.near.read_tail(key, 1).await?.is_some() {
            return Ok(Copied::Near);
        }
        let Some((_, size)) = self.far.read_tail(key, 1).await? else { return Ok(Copied::Absent) };
        let near = Arc::clone(&self.near);
        let mut staged = blocking(move || near.stage()).await?;
        let mut at = 0;
        while at < size {
            let end = (at + PIECE).min(size);
            let Some(piece) = self.far.read_range(key, at..end).await? else { return Ok(Copied::Absent) };
            staged = blocking(move || {
                staged.write_all(&piece)?;
                // A file that moved to scratch cannot be committed.
                staged.uncommittable().map_or(Ok(staged), Err)
            })
            .await?;
            at = end;
        }
        match self.near.commit(key, staged).await {
            Ok(_) => Ok(Copied::Near),
            Err(Uncommitted { error, .. }) => Err(error),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::from)?
}
