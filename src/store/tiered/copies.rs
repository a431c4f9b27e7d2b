//! Copies of far values on their way near: one for all who ask, a bounded number at once.
//!
//! Owns that, and for how long a value that did not fit is not tried again. Must not know why it is wanted, nor
//! whether it is sound: who reads it finds out.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tracing::warn;

use super::super::{ObjectStorage, StorageKey, Store, StoreError, Uncommitted};
use crate::clock::Clock;

/// Bytes copied at a time.
const PIECE: u64 = 4 << 20;
/// Copies at once; each holds a piece in memory.
const AT_ONCE: usize = 8;
/// How long what could not be brought near is read far before another try.
const PAUSE: Duration = Duration::from_secs(30);
/// Values whose failure is remembered.
const FAILURES: u64 = 10_000;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// It is near.
    Near,
    /// There is nothing to copy.
    Absent,
    /// It cannot be brought near, or it cannot be read.
    Not,
}

type UnderWay = Shared<BoxFuture<'static, Copied>>;

/// The copies under way.
pub(super) struct Copies {
    far: Arc<ObjectStorage>,
    near: Arc<dyn Store>,
    under_way: Mutex<HashMap<StorageKey, UnderWay>>,
    places: Semaphore,
    /// When a copy failed, by the clock's monotonic time.
    failed: Cache<StorageKey, Duration>,
    clock: Arc<dyn Clock>,
}

impl Copies {
    pub(super) fn new(far: Arc<ObjectStorage>, near: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (places, failed) = (Semaphore::new(AT_ONCE), Cache::new(FAILURES));
        Self { far, near, under_way: Mutex::default(), places, failed, clock }
    }

    /// Joins the copy of `key`, or starts it. It goes on when whoever asked does not.
    pub(super) fn bring(self: &Arc<Self>, key: &StorageKey) -> UnderWay {
        let mut under_way = self.under_way();
        if let Some(copy) = under_way.get(key) {
            return copy.clone();
        }
        let (arrival, key) = (Arrival { copies: Arc::clone(self), key: key.clone() }, key.clone());
        let task = tokio::spawn(async move { arrival.copies.copy(&arrival.key).await });
        let copy = task.map(|copied| copied.unwrap_or(Copied::Not)).boxed().shared();
        under_way.insert(key, copy.clone());
        copy
    }

    async fn copy(&self, key: &StorageKey) -> Copied {
        let recently = |failed: Duration| self.clock.monotonic().saturating_sub(failed) < PAUSE;
        if self.failed.get(key).is_some_and(recently) {
            return Copied::Not;
        }
        let copied = match self.places.acquire().await {
            Ok(_place) => self.stream(key).await,
            Err(_closed) => return Copied::Not,
        };
        copied.unwrap_or_else(|error| {
            warn!(%error, path = key.path(), "a value cannot be copied near; it is read far");
            self.failed.insert(key.clone(), self.clock.monotonic());
            Copied::Not
        })
    }

    async fn stream(&self, key: &StorageKey) -> Result<Copied, StoreError> {
        // Whoever came just before may have brought it.
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
                // A copy that only fits elsewhere is none.
                staged.is_away().map_or(Ok(staged), Err)
            })
            .await?;
            at = end;
        }
        match self.near.commit(key, staged).await {
            Ok(_) => Ok(Copied::Near),
            Err(Uncommitted { error, .. }) => Err(error),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<StorageKey, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("under_way", &self.under_way().len()).finish_non_exhaustive()
    }
}

/// Frees a copy's place among those under way, however it ends.
struct Arrival {
    copies: Arc<Copies>,
    key: StorageKey,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.copies.under_way().remove(&self.key);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::from)?
}
