//! Opening the storage that a configuration names.
//!
//! Owns which store is in front of a bucket, which one is audited, and that a proxy starts without an
//! unreachable bucket. Must not know what is stored.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::{AppError, folders};
use crate::clock::Clock;
use crate::config::{self, Durability, Location};
use crate::rights;
use crate::store::{BucketError, Ceiling, ObjectStorage, ProxyStore, STAGING, StorageBucket, Store};

/// Opens the storage that is configured. A proxy starts without a bucket that it cannot reach yet.
pub(super) fn open(storage: &config::Storage, clock: &Arc<dyn Clock>) -> Result<Arc<ProxyStore>, AppError> {
    let scratch = folders::scratch(storage)?;
    let bounded = |objects: ObjectStorage| {
        let objects = Arc::new(objects.with_max_quarantine(max_quarantine(storage)));
        let ceiling = Ceiling::new(objects, storage.max_size, fastrand::Rng::new());
        ceiling.with_scratch(scratch.clone(), storage.max_scratch)
    };
    let store = match &storage.url {
        Location::File(root) => ProxyStore::folder(bounded(local(storage, root)?), Arc::clone(clock)),
        Location::Memory => ProxyStore::folder(bounded(ObjectStorage::memory()?), Arc::clone(clock)),
        Location::S3 { bucket, prefix } => {
            let bucket = StorageBucket { name: bucket.clone(), prefix: prefix.clone() };
            match now(bucket.prove())? {
                Err(error @ BucketError::Unreachable(_)) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "serving without the bucket until it can be reached");
                }
                proven => proven?,
            }
            // These copies need not survive a power cut.
            folders::staging(&storage.tier)?;
            let near = bounded(
                ObjectStorage::local(&storage.tier, false)
                    .map_err(|error| refused("storage.tier", &storage.tier, AppError::Tier(error)))?,
            );
            let far = ObjectStorage::s3(&bucket, &storage.tier.join(STAGING))?;
            let far = Arc::new(far.with_max_quarantine(storage.max_quarantine));
            ProxyStore::bucket(far, near, Arc::clone(clock))
        }
    };
    Ok(Arc::new(store))
}

fn local(storage: &config::Storage, root: &Path) -> Result<ObjectStorage, AppError> {
    folders::staging(root)?;
    let durable = storage.durability == Durability::Commit;
    let opened = ObjectStorage::local(root, durable);
    let opened = opened.map_err(|error| refused("storage.url", root, AppError::Store(error)))?;
    Ok(opened.with_max_quarantine(max_quarantine(storage)))
}

/// What is in the way or the right that is missing, if that is why `folder` cannot be used.
fn refused(key: &'static str, folder: &Path, error: AppError) -> AppError {
    if let Some(obstacle) = rights::obstacle(folder) {
        return AppError::NoFolder { key, path: obstacle.to_owned() };
    }
    rights::missing(folder).map_or(error, |right| AppError::Right { key, right })
}

/// Most bytes in quarantine. They count towards the ceiling, so they may take only a little of it.
fn max_quarantine(storage: &config::Storage) -> u64 {
    storage.max_quarantine.min(storage.max_size / 10)
}

/// The store of a proxy that may be running, for a command that works beside it. For a bucket it is the
/// bucket itself, since the folder with copies belongs to the proxy.
///
/// # Errors
/// [`AppError`] if the store cannot be opened, or does not outlive a process.
pub(crate) fn kept_store(storage: &config::Storage) -> Result<Arc<ObjectStorage>, AppError> {
    match &storage.url {
        Location::Memory => Err(AppError::NothingKept),
        Location::File(root) => Ok(Arc::new(local(storage, root)?)),
        Location::S3 { bucket, prefix } => {
            let bucket = StorageBucket { name: bucket.clone(), prefix: prefix.clone() };
            now(bucket.look())??;
            Ok(Arc::new(ObjectStorage::s3(&bucket, &folders::command(storage))?))
        }
    }
}

/// The store that an import writes to: `objects` below `storage.max_size`. What imports that were killed had staged is removed.
///
/// Nothing is evicted to make room, since the proxy may be reading it. A bucket has no ceiling.
pub(crate) async fn import_store(storage: &config::Storage, objects: Arc<ObjectStorage>) -> Arc<dyn Store> {
    objects.sweep().await;
    match &storage.url {
        Location::S3 { .. } => objects,
        Location::File(_) | Location::Memory => {
            let ceiling = Ceiling::new(objects, storage.max_size, fastrand::Rng::new()).without_eviction();
            ceiling.count().await;
            Arc::new(ceiling)
        }
    }
}

/// Waits for an answer before the server runs. The calling thread may belong to another runtime, so it is not
/// used.
fn now<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T, AppError> {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok::<T, io::Error>(runtime.block_on(answer))
    };
    let waited = std::thread::scope(|scope| scope.spawn(wait).join());
    let waited = waited.unwrap_or_else(|_| Err(io::Error::other("the thread that asked the bucket died")));
    waited.map_err(|error| AppError::Store(error.into()))
}
