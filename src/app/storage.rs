//! The store that a configuration names, opened.
//!
//! Owns what lies before a bucket, what of it is swept and audited, and what a proxy starts without. Must not know
//! what is stored.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::{AppError, folders};
use crate::clock::Clock;
use crate::config::{self, Durability, Location};
use crate::store::{Bucket, BucketError, Ceiling, ObjectStorage, STAGING, Store, Tiered, Watched};

/// The store of a proxy.
#[derive(Debug)]
pub(super) struct Opened {
    /// What is asked and given things to keep.
    pub(super) store: Arc<Watched>,
    /// What is audited: where things are kept, not what is before it.
    pub(super) audited: Arc<dyn Store>,
    /// What keeps the disk here below `storage.max_size`.
    pub(super) ceiling: Arc<Ceiling>,
}

/// Opens what `storage` names. A bucket that cannot be reached right now may be later, so that a proxy starts without.
pub(super) fn open(storage: &config::Storage, clock: &Arc<dyn Clock>) -> Result<Opened, AppError> {
    let scratch = folders::scratch(storage)?;
    let bounded = |objects: Arc<dyn Store>| {
        let ceiling = Ceiling::new(objects, storage.max_size, fastrand::Rng::new());
        Arc::new(ceiling.with_scratch(scratch.clone(), storage.max_scratch))
    };
    let here = |objects: ObjectStorage| {
        let objects = Arc::new(objects);
        let ceiling = bounded(objects.clone());
        let store = Arc::new(Watched::new(ceiling.clone(), Arc::clone(clock)));
        Opened { store, audited: objects, ceiling }
    };
    match &storage.url {
        Location::File(root) => Ok(here(local(storage, root)?)),
        Location::Memory => Ok(here(ObjectStorage::memory()?.setting_aside(most_set_aside(storage)))),
        Location::S3 { bucket, prefix } => {
            let bucket = Bucket { name: bucket.clone(), prefix: prefix.clone() };
            match now(bucket.prove())? {
                Err(error @ BucketError::Unreachable(_)) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "serving without the bucket until it can be reached");
                }
                proven => proven?,
            }
            // Nothing here has to outlive a power cut.
            folders::staging(&storage.tier)?;
            let near = ObjectStorage::local(&storage.tier, false).map_err(AppError::Tier)?;
            let ceiling = bounded(Arc::new(near.setting_aside(most_set_aside(storage))));
            let far = ObjectStorage::s3(&bucket, &storage.tier.join(STAGING))?
                .setting_aside(storage.max_quarantine);
            let far = Arc::new(far);
            let tiered = Arc::new(Tiered::new(Arc::clone(&far), ceiling.clone(), Arc::clone(clock)));
            Ok(Opened { store: Arc::new(Watched::new(tiered, Arc::clone(clock))), audited: far, ceiling })
        }
    }
}

fn local(storage: &config::Storage, root: &Path) -> Result<ObjectStorage, AppError> {
    folders::staging(root)?;
    let durable = storage.durability == Durability::Commit;
    Ok(ObjectStorage::local(root, durable)?.setting_aside(most_set_aside(storage)))
}

/// What is set aside counts below the ceiling, of which it must not take much.
fn most_set_aside(storage: &config::Storage) -> u64 {
    storage.max_quarantine.min(storage.max_size / 10)
}

/// The store of a proxy that may be running, for a command beside it. Of a bucket, the bucket itself: the folder before
/// it is the proxy's own.
///
/// # Errors
/// [`AppError`] when there is none, or none that outlives a process.
pub fn kept_store(storage: &config::Storage) -> Result<Arc<dyn Store>, AppError> {
    match &storage.url {
        Location::Memory => Err(AppError::NothingKept),
        Location::File(root) => Ok(Arc::new(local(storage, root)?)),
        Location::S3 { bucket, prefix } => {
            let bucket = Bucket { name: bucket.clone(), prefix: prefix.clone() };
            now(bucket.look())??;
            Ok(Arc::new(ObjectStorage::s3(&bucket, &folders::command(storage))?))
        }
    }
}

/// Waits for an answer before there is a server, on a thread that may belong to one.
fn now<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T, AppError> {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok::<T, io::Error>(runtime.block_on(answer))
    };
    let waited = std::thread::scope(|scope| scope.spawn(wait).join());
    let waited = waited.unwrap_or_else(|_| Err(io::Error::other("the thread that asked the bucket died")));
    waited.map_err(|error| AppError::Store(error.into()))
}
