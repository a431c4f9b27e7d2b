//! Files in a bucket that several processes share, and copies of them in a folder here.
//!
//! A file is copied whole the first time it is wanted, once for all who ask, and is read here from then on. The folder is
//! only a cache: it may lose a file at any time, take none, or fail, and then the bucket is read. A commit counts when
//! the bucket has the file. Values that processes must agree on (documents, pins, histories) are never copied.
//!
//! A reader that sees damage cannot tell which of the two is damaged. So the copy is set aside, and the file in the
//! bucket is read through: it stays if it is what its seal says and belongs to its key, and is set aside otherwise. A
//! sound file is copied again, a damaged one can be fetched anew, so the damage ends either way.
//!
//! Owns that. Must not know what is sealed.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tracing::{debug, warn};

use super::sealed;
use super::{
    Ceiling, Committed, Damage, FileStore, Hold, ObjectStorage, Staged, StorageKey, StoreError, Uncommitted,
    ValueStore,
};
use crate::clock::Clock;
use crate::domain::Sha256;
use copies::{Copied, Copies};

mod copies;

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct Tiered {
    copies: Arc<Copies>,
}

type Found<T> = Result<Option<T>, StoreError>;

impl Tiered {
    /// The files in `far`, with copies in `near`.
    pub(crate) fn new(far: Arc<ObjectStorage>, near: Ceiling, clock: Arc<dyn Clock>) -> Self {
        Self { copies: Arc::new(Copies::new(far, near, clock)) }
    }

    pub(super) fn far(&self) -> &Arc<ObjectStorage> {
        &self.copies.far
    }

    pub(super) fn near(&self) -> &Ceiling {
        &self.copies.near
    }

    /// Reads the copy, which is made first if there is none, or the bucket if no copy can be made.
    async fn through<'a, T>(
        &'a self,
        key: &'a StorageKey,
        read: impl Fn(&'a dyn FileStore) -> BoxFuture<'a, Found<T>> + Send + Sync,
    ) -> Found<T> {
        if key.sealed_as().is_none() {
            return read(&**self.far()).await;
        }
        match read(self.near()).await {
            Ok(None) => {}
            // A file that is shorter than its seal says is damaged like any other.
            found @ (Ok(Some(_)) | Err(StoreError::Corrupt(_))) => return found,
            Err(error) => {
                warn!(%error, path = key.path(), "the copy of a file cannot be read; the bucket is read");
                return read(&**self.far()).await;
            }
        }
        let _stays = self.near().hold(key);
        match self.copies.bring(key).await {
            Copied::Absent => Ok(None),
            Copied::Failed => read(&**self.far()).await,
            Copied::Near => match read(self.near()).await {
                Ok(None) | Err(StoreError::Io { .. }) => read(&**self.far()).await,
                found => found,
            },
        }
    }

    /// Whether the file in the bucket is what its seal says and belongs to `key`.
    async fn is_sound(&self, key: &StorageKey, digest: &Sha256) -> Result<bool, StoreError> {
        let far = &**self.far();
        let sound = async {
            let Some(seal) = sealed::open(far, key).await? else { return Ok(true) };
            for step in sealed::steps(0..seal.length) {
                seal.read(far, key, step).await?;
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
impl FileStore for Tiered {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let range = &range;
        self.through(key, |files| files.read_range(key, range.clone())).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.through(key, |files| files.read_tail(key, bytes)).await
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.near().hold(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        self.near().stage()
    }

    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        match self.far().upload(key, &staged).await {
            Ok(Committed::Ours) if key.sealed_as().is_some() => {
                // If there is no space here, the bucket is read.
                if let Err(Uncommitted { error, .. }) = self.near().commit(key, staged).await {
                    debug!(%error, path = key.path(), "a committed file cannot be kept here as well");
                }
                Ok(Committed::Ours)
            }
            Ok(committed) => Ok(committed),
            Err(error) => Err(Uncommitted { error, staged }),
        }
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let Some(digest) = key.sealed_as() else { return self.far().set_aside(key, damage).await };
        if let Err(error) = self.near().set_aside(key, damage).await {
            warn!(%error, path = key.path(), "a damaged copy cannot be set aside; it is removed");
            self.near().remove(key).await?;
        }
        if self.is_sound(key, digest).await? {
            return Ok(());
        }
        self.far().set_aside(key, damage).await
    }
}
