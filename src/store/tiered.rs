//! A store far away that several processes share, and a near one that saves the way.
//!
//! Sealed values are read near, where they are copied whole, once for all who ask, the first time they are wanted.
//! `near` is only a cache: it may lose a value at any time, take none or fail, and reads then go far. Everything that
//! processes must agree on (documents, pins, histories, what was declared) is asked of `far` alone, and a commit counts
//! once `far` has it.
//!
//! Who sets a value aside saw damage in what a read gave, which may be either store's. So the near copy goes, and the
//! far one is judged by itself: read through, it stays if it is what its seal says and under its own key, and is set
//! aside if not. A sound one is copied again, a damaged one can be brought in anew, so the damage ends either way.
//!
//! Owns that. Must not know what is sealed.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tracing::{debug, warn};

use super::sealed;
use super::{
    Batch, Committed, Damage, Hold, Listed, ObjectStorage, Shelf, Staged, StorageKey, Store, StoreError,
    Uncommitted, Usage,
};
use crate::clock::Clock;
use copies::{Copied, Copies};

mod copies;

#[cfg(test)]
mod tests;

/// The two stores as one.
#[derive(Debug)]
pub struct Tiered {
    far: Arc<ObjectStorage>,
    near: Arc<dyn Store>,
    copies: Arc<Copies>,
}

type Answer<T> = Result<Option<T>, StoreError>;

impl Tiered {
    /// What is in `far`, with sealed values also in `near`.
    #[must_use]
    pub fn new(far: Arc<ObjectStorage>, near: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let copies = Arc::new(Copies::new(Arc::clone(&far), Arc::clone(&near), clock));
        Self { far, near, copies }
    }

    /// Reads a sealed value near, where it is brought first, or far, where it cannot be.
    async fn through<'a, T>(
        &'a self,
        key: &'a StorageKey,
        read: impl Fn(&'a dyn Store) -> BoxFuture<'a, Answer<T>> + Send + Sync,
    ) -> Answer<T> {
        if key.sealed_as().is_none() {
            return read(&*self.far).await;
        }
        match read(&*self.near).await {
            Ok(None) => {}
            // A value that is shorter than its seal says is damage as any other.
            found @ (Ok(Some(_)) | Err(StoreError::Corrupt(_))) => return found,
            Err(error) => {
                warn!(%error, path = key.path(), "the near store cannot be read; the far one is");
                return read(&*self.far).await;
            }
        }
        let _stays = self.near.hold(key);
        match Copies::bring(&self.copies, key).await {
            Copied::Absent => Ok(None),
            Copied::Not => read(&*self.far).await,
            Copied::Near => match read(&*self.near).await {
                Ok(None) | Err(StoreError::Io { .. }) => read(&*self.far).await,
                found => found,
            },
        }
    }

    /// Whether what lies far under `key` is what its seal says, and belongs there.
    async fn is_sound(&self, key: &StorageKey, digest: &crate::domain::Sha256) -> Result<bool, StoreError> {
        let sound = async {
            let Some(seal) = sealed::open(&*self.far, key).await? else { return Ok(true) };
            for step in sealed::steps(0..seal.length) {
                seal.read(&*self.far, key, step).await?;
            }
            Ok(seal.known_by == *digest)
        };
        match sound.await {
            Err(StoreError::Corrupt(_)) => Ok(false),
            Err(StoreError::Missing { .. }) => Ok(true),
            sound => sound,
        }
    }
}

#[async_trait]
impl Store for Tiered {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.through(key, |store| store.read(key)).await
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.far.write(key, bytes).await?;
        self.forget(key).await
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.far.create(key, bytes).await
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.far.remove(key).await?;
        self.forget(key).await
    }

    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let range = &range;
        self.through(key, |store| store.read_range(key, range.clone())).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.through(key, |store| store.read_tail(key, bytes)).await
    }

    fn list(&self, shelf: Shelf) -> BoxStream<'static, Listed> {
        self.far.list(shelf)
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.near.hold(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        self.near.stage()
    }

    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        match self.far.upload(key, &staged).await {
            Ok(Committed::Ours) if key.sealed_as().is_some() => {
                // Where there is no room near, it is read far.
                if let Err(Uncommitted { error, .. }) = self.near.commit(key, staged).await {
                    debug!(%error, path = key.path(), "what was committed far cannot be kept near");
                }
                Ok(Committed::Ours)
            }
            Ok(committed) => Ok(committed),
            Err(error) => Err(Uncommitted { error, staged }),
        }
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let Some(digest) = key.sealed_as() else { return self.far.set_aside(key, damage).await };
        if let Err(error) = self.near.set_aside(key, damage).await {
            warn!(%error, path = key.path(), "a damaged copy cannot be set aside; it is removed");
            self.near.remove(key).await?;
        }
        if self.is_sound(key, digest).await? {
            return Ok(());
        }
        self.far.set_aside(key, damage).await
    }

    async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        self.far.probe(bytes).await
    }

    async fn staged(&self) -> Result<Vec<Batch>, StoreError> {
        self.near.staged().await
    }

    async fn sweep(&self) {
        self.far.sweep().await;
        self.near.sweep().await;
    }

    fn usage(&self) -> Option<Usage> {
        self.near.usage()
    }
}

impl Tiered {
    /// Keeps no near copy of what is no longer so far.
    async fn forget(&self, key: &StorageKey) -> Result<(), StoreError> {
        if key.sealed_as().is_some() { self.near.remove(key).await } else { Ok(()) }
    }
}
