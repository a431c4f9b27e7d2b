//! The store over `object_store`: a folder, memory, or a bucket.
//!
//! Only files in this folder name that library. Owns how a staged file becomes an object.
//! Must not know what is stored.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use tempfile::TempDir;

use super::staging::{STAGING, Staging};
use super::{
    Committed, Damage, FileStore, KeyPrefix, ListedValue, Staged, StagedBatch, StorageKey, StoreError,
    Uncommitted, ValueChange, ValueStore, quarantine,
};
use crate::clock::{Clock, SystemClock};

mod breaker;
mod bucket;
mod disk;
mod exchange;
mod folder;
mod found;
mod group;
mod queue;
mod span;
mod upload;

pub(crate) use bucket::{BucketError, StorageBucket};
pub(in crate::store) use disk::Disk;
use disk::SystemDisk;
use folder::Folder;
use found::{failure, found};
use group::Naming;

/// The default bound on the bytes in quarantine.
const MAX_QUARANTINE: u64 = 1 << 30;

/// A store that keeps each value as an object.
pub(crate) struct ObjectStorage {
    objects: Arc<dyn ObjectStore>,
    staging: Arc<Staging>,
    commit: Commit,
    max_quarantine: u64,
    clock: SystemClock,
}

/// How a staged file becomes an object.
#[derive(Debug)]
enum Commit {
    /// It is renamed, since the staging folder is beside the objects.
    Rename(Arc<Folder>),
    /// It is sent. A staging folder that was made for this storage is removed with it.
    Upload { _staging: Option<TempDir> },
}

impl ObjectStorage {
    /// Keeps values as files in `root`, which is made if it is missing. If `durable`, what is written outlives a power
    /// cut, at once or within a second.
    pub(crate) fn local(root: &Path, durable: bool) -> Result<Self, StoreError> {
        Self::local_on(Arc::new(SystemDisk::below(root, durable)?), root, durable)
    }

    /// The same on `disk`, which has the folder already.
    pub(in crate::store) fn local_on(
        disk: Arc<dyn Disk>,
        root: &Path,
        durable: bool,
    ) -> Result<Self, StoreError> {
        let objects = LocalFileSystem::new_with_prefix(root).map_err(failure)?;
        let commit = Commit::Rename(Arc::new(Folder::on(disk, root, durable)));
        Ok(Self::over(Arc::new(objects), root.join(STAGING), commit))
    }

    /// Keeps values in memory; only staged files are on disk, in the system's temporary folder.
    pub(crate) fn memory() -> Result<Self, StoreError> {
        let directory = TempDir::with_prefix("scriptorium-")?;
        let staging = directory.path().join(STAGING);
        let commit = Commit::Upload { _staging: Some(directory) };
        Ok(Self::over(Arc::new(InMemory::new()), staging, commit))
    }

    fn over(objects: Arc<dyn ObjectStore>, staging: PathBuf, commit: Commit) -> Self {
        let staging = Arc::new(Staging::below(staging));
        Self { objects, staging, commit, max_quarantine: MAX_QUARANTINE, clock: SystemClock::default() }
    }

    /// Bounds the bytes in quarantine.
    pub(crate) fn with_max_quarantine(self, bytes: u64) -> Self {
        Self { max_quarantine: bytes, ..self }
    }

    /// Removes the staged files of processes that are gone.
    pub(crate) async fn sweep(&self) {
        if let Commit::Upload { .. } = self.commit {
            self.sweep_uploads().await;
        }
        self.staging.sweep().await;
    }

    /// What other processes staged and did not commit, whether they are gone or not.
    pub(crate) async fn staged(&self) -> Result<Vec<StagedBatch>, StoreError> {
        let staging = Arc::clone(&self.staging);
        blocking(move || staging.batches()).await
    }

    /// Proves that `bytes` bytes can be written.
    pub(super) async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        // In this process's own folder, which no other process sweeps.
        let staging = Arc::clone(&self.staging);
        let own = blocking(move || staging.own_path()).await?;
        let path = ObjectPath::from(format!("{own}/probe"));
        self.put(&path, vec![0; bytes].into(), Naming::Replace).await?;
        self.delete(&path, false).await
    }

    /// Writes a value *first*; [`Committed::Theirs`] if `naming` is to create one and there is one.
    async fn put(&self, path: &ObjectPath, bytes: Bytes, naming: Naming) -> Result<Committed, StoreError> {
        if let Commit::Rename(folder) = &self.commit {
            // The library's own draft, which is beside its object, would outlive a crash; a staged one is swept.
            return Ok(folder.write(&self.staging, path.as_ref(), bytes, naming).await?);
        }
        let mode = if naming == Naming::Create { PutMode::Create } else { PutMode::Overwrite };
        match self.put_object(path, bytes, mode).await {
            Ok(()) => Ok(Committed::Ours),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Committed::Theirs),
            Err(error) => Err(failure(error)),
        }
    }

    async fn put_object(&self, path: &ObjectPath, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        self.objects.put_opts(path, bytes.into(), mode.into()).await.map(drop)
    }

    async fn size(&self, path: &ObjectPath) -> Result<Option<u64>, StoreError> {
        Ok(found(self.objects.head(path).await)?.map(|meta| meta.size))
    }

    /// Removes a value that may come back after a power cut.
    pub(crate) async fn discard(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.delete(&object_path(key), false).await
    }

    async fn delete(&self, path: &ObjectPath, first: bool) -> Result<(), StoreError> {
        match &self.commit {
            Commit::Rename(folder) => Ok(folder.remove(path.as_ref(), first).await?),
            Commit::Upload { .. } => found(self.objects.delete(path).await).map(drop),
        }
    }

    /// Pieces of work on a folder's disk so far.
    #[cfg(test)]
    pub(crate) fn works(&self) -> u64 {
        match &self.commit {
            Commit::Rename(folder) => folder.works(),
            Commit::Upload { .. } => 0,
        }
    }

    /// Flushes what follows. Never returns.
    pub(super) async fn keep_up(&self) {
        match &self.commit {
            Commit::Rename(folder) => folder.keep_up().await,
            Commit::Upload { .. } => std::future::pending().await,
        }
    }

    /// Removes from the quarantine what exceeds its bound.
    async fn trim_quarantine(&self) -> Result<(), StoreError> {
        let kept = self.list(KeyPrefix::Quarantine).try_collect().await?;
        for key in quarantine::excess(kept, self.max_quarantine) {
            self.discard(&key).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ValueStore for ObjectStorage {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        if let Commit::Rename(folder) = &self.commit {
            return Ok(folder.read_tail(&key.path(), u64::MAX).await?.map(|(bytes, _)| bytes));
        }
        let Some(object) = found(self.objects.get(&object_path(key)).await)? else { return Ok(None) };
        object.bytes().await.map(Some).map_err(failure)
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.put(&object_path(key), bytes, Naming::Replace).await.map(drop)
    }

    async fn write_behind(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        match &self.commit {
            Commit::Rename(folder) => Ok(folder.write_behind(&self.staging, &key.path(), bytes).await?),
            // A bucket has what it acknowledges.
            Commit::Upload { .. } => self.write(key, bytes).await,
        }
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        Ok(self.put(&object_path(key), bytes, Naming::Create).await? == Committed::Ours)
    }

    async fn update(&self, key: &StorageKey, change: ValueChange<'_>) -> Result<(), StoreError> {
        match &self.commit {
            // Nobody else writes to a folder of a running proxy.
            Commit::Rename(_) => match change(self.read(key).await?) {
                Some(bytes) => self.write(key, bytes).await,
                None => Ok(()),
            },
            Commit::Upload { .. } => self.exchange(&object_path(key), change).await,
        }
    }

    async fn join_behind(
        &self,
        key: &StorageKey,
        bytes: Bytes,
        join: ValueChange<'_>,
    ) -> Result<(), StoreError> {
        match &self.commit {
            Commit::Rename(_) => self.write_behind(key, bytes).await,
            Commit::Upload { .. } => self.exchange(&object_path(key), join).await,
        }
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.delete(&object_path(key), true).await
    }

    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError> {
        if let Commit::Rename(folder) = &self.commit {
            let folders = prefixes.iter().map(KeyPrefix::path).collect();
            return Ok(folder.is_any_filled(folders).await?);
        }
        for prefix in prefixes {
            if self.list(*prefix).next().await.transpose()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue> {
        let listed = self.objects.list(Some(&ObjectPath::from(prefix.path())));
        let known = |object: object_store::Result<ObjectMeta>| match object {
            Ok(object) => StorageKey::at(object.location.as_ref()).map(|key| Ok((key, object.size))),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => Some(Err(failure(error))),
        };
        listed.filter_map(move |object| std::future::ready(known(object))).boxed()
    }
}

#[async_trait]
impl FileStore for ObjectStorage {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let path = object_path(key);
        if range.is_empty() {
            return Ok(self.size(&path).await?.map(|_| Bytes::new()));
        }
        let read = match &self.commit {
            Commit::Rename(folder) => {
                let (file, range) = (folder.path(path.as_ref()), range.clone());
                blocking(move || span::read(&file, &range)).await
            }
            Commit::Upload { .. } => found(self.objects.get_range(&path, range.clone()).await),
        };
        let error = match read {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) if bytes.len() as u64 == range.end - range.start => return Ok(Some(bytes)),
            Ok(Some(_)) => short(&path, &range, 0),
            Err(error) => error,
        };
        // Backends report a range past the end differently, so the size decides.
        match self.size(&path).await? {
            Some(size) if size < range.end => Err(short(&path, &range, size)),
            Some(_) => Err(error),
            None => Ok(None),
        }
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        if let Commit::Rename(folder) = &self.commit {
            return Ok(folder.read_tail(&key.path(), bytes).await?);
        }
        let options = GetOptions::new().with_range(Some(GetRange::Suffix(bytes)));
        let path = object_path(key);
        match found(self.objects.get_opts(&path, options).await) {
            Ok(None) => Ok(None),
            Ok(Some(object)) => {
                let size = object.meta.size;
                object.bytes().await.map(|tail| Some((tail, size))).map_err(failure)
            }
            // An empty object has no range, which a bucket reports as an error.
            Err(error) => match self.size(&path).await? {
                Some(0) => Ok(Some((Bytes::new(), 0))),
                Some(_) => Err(error),
                None => Ok(None),
            },
        }
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        Ok(Staged::new(self.staging.draft()?))
    }

    async fn commit(&self, key: &StorageKey, mut staged: Staged) -> Result<Committed, Uncommitted> {
        let committed = match (staged.uncommittable(), &self.commit) {
            (Some(why), _) => Err(why),
            (None, Commit::Rename(folder)) => {
                let committed = folder.commit(&mut staged, &key.path()).await;
                committed.map(|()| Committed::Ours).map_err(StoreError::from)
            }
            (None, Commit::Upload { .. }) => self.upload(key, &staged).await,
        };
        committed.map_err(|error| Uncommitted { error, staged })
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let now = self.clock.now();
        let aside = quarantine::key(&key.path(), now);
        let is_moved = match &self.commit {
            Commit::Rename(folder) => folder.rename(&key.path(), &aside.path()).await?,
            Commit::Upload { .. } => {
                found(self.objects.rename(&object_path(key), &object_path(&aside)).await)?.is_some()
            }
        };
        if !is_moved {
            return Ok(());
        }
        let (beside, note) = quarantine::note(damage, now);
        self.write_behind(&beside, note).await?;
        self.trim_quarantine().await
    }
}

/// Not derived, since what the library prints may hold credentials.
impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStorage({})", self.objects)
    }
}

fn object_path(key: &StorageKey) -> ObjectPath {
    ObjectPath::from(key.path())
}

fn short(path: &ObjectPath, range: &Range<u64>, size: u64) -> StoreError {
    let (expected, found) = (format!("at least {} bytes", range.end), format!("{size}"));
    StoreError::Corrupt(Damage { path: path.to_string(), expected, found })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::from)??)
}
