//! The store over `object_store`: a directory, memory, or a bucket.
//!
//! The only folder that names that library. Owns how its errors become ours and how a staged file becomes an
//! object. Must not know what is stored.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use tempfile::TempDir;
use tracing::warn;

use super::staging::{STAGING, Staging};
use super::{
    Batch, Committed, Damage, Listed, Shelf, Staged, StorageKey, Store, StoreError, Uncommitted, quarantine,
};
use crate::clock::{Clock, SystemClock, Timestamp};

mod bucket;
mod directory;
mod patience;
mod span;
mod upload;

pub use bucket::{Bucket, BucketError};

/// What was staged and nobody wrote to for so long has lost its process.
const LEFTOVER: Duration = Duration::from_secs(60 * 60);
/// Bytes of damaged values that are kept where nothing else is said.
const MOST_SET_ASIDE: u64 = 1 << 30;

/// Values kept as objects.
pub struct ObjectStorage {
    objects: Arc<dyn ObjectStore>,
    staging: Arc<Staging>,
    commit: Commit,
    most_set_aside: u64,
    clock: SystemClock,
}

/// How a staged file becomes an object.
#[derive(Debug)]
enum Commit {
    /// Staging lies beside the objects: a rename does it, after an fsync when it must outlive a power cut.
    Rename { durable: bool, root: PathBuf },
    /// The content is sent, and stays only where nothing is yet. A directory made for it goes with the storage.
    Upload { _staging: Option<TempDir> },
}

impl ObjectStorage {
    /// Keeps values as files below `root`, which is made when missing. `durable`: a finished write outlives
    /// a power cut.
    ///
    /// # Errors
    /// When the directory cannot be made or opened.
    pub fn local(root: &Path, durable: bool) -> Result<Self, StoreError> {
        directory::make(root, durable)?;
        let objects = LocalFileSystem::new_with_prefix(root).map_err(failure)?.with_fsync(durable);
        let commit = Commit::Rename { durable, root: root.to_owned() };
        Ok(Self::over(Arc::new(objects), root.join(STAGING), commit))
    }

    /// Keeps values in memory; only staged files touch the disk, in the system's temporary directory.
    ///
    /// # Errors
    /// When the temporary directory cannot be made.
    pub fn memory() -> Result<Self, StoreError> {
        let directory = TempDir::with_prefix("scriptorium-")?;
        let staging = directory.path().join(STAGING);
        let commit = Commit::Upload { _staging: Some(directory) };
        Ok(Self::over(Arc::new(InMemory::new()), staging, commit))
    }

    fn over(objects: Arc<dyn ObjectStore>, staging: PathBuf, commit: Commit) -> Self {
        let staging = Arc::new(Staging::below(staging));
        Self { objects, staging, commit, most_set_aside: MOST_SET_ASIDE, clock: SystemClock::default() }
    }

    /// The same, keeping at most `bytes` bytes of damaged values.
    #[must_use]
    pub fn setting_aside(self, bytes: u64) -> Self {
        Self { most_set_aside: bytes, ..self }
    }

    /// Removes drafts that processes which are no more left in a bucket; nobody can be asked whether one still is.
    async fn sweep_drafts(&self) {
        let mut staged = self.objects.list(Some(&ObjectPath::from(STAGING)));
        while let Some(listed) = staged.next().await {
            let swept = match listed {
                Ok(object) if self.is_leftover(&object) => self.objects.delete(&object.location).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = found(swept) {
                warn!(%error, "could not remove what an earlier run staged");
            }
        }
    }

    fn is_leftover(&self, object: &ObjectMeta) -> bool {
        let written = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default();
        self.clock.now().since(Timestamp(written)).is_some_and(|age| age > LEFTOVER)
    }

    /// Writes a value, which where there may be none yet is [`Committed::Theirs`] when there is one.
    async fn put(&self, path: &ObjectPath, bytes: Bytes, mode: PutMode) -> Result<Committed, StoreError> {
        let put = match &self.commit {
            Commit::Rename { durable, root } => {
                // A draft beside its place would outlive a crash; one that is staged is swept.
                let (staging, durable) = (Arc::clone(&self.staging), *durable);
                let mut staged = blocking(move || drafted(&staging, &bytes, durable)).await?;
                let from = below(root, &staged)?;
                let moved = match mode {
                    PutMode::Create => self.objects.rename_if_not_exists(&from, path).await,
                    PutMode::Overwrite | PutMode::Update(_) => self.objects.rename(&from, path).await,
                };
                if moved.is_ok() {
                    staged.moved();
                }
                moved
            }
            Commit::Upload { .. } => self.put_object(path, bytes, mode).await,
        };
        match put {
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

    /// Waits for the medium where that was promised, then moves the file.
    async fn rename(
        &self,
        key: &StorageKey,
        staged: &mut Staged,
        durable: bool,
        root: &Path,
    ) -> Result<(), StoreError> {
        if durable {
            let file = staged.reopen()?;
            blocking(move || file.sync_all()).await?;
        }
        let from = below(root, staged)?;
        self.objects.rename(&from, &place(key)).await.map_err(failure)?;
        staged.moved();
        Ok(())
    }

    /// Forgets of the quarantine what is too much.
    async fn trim(&self) -> Result<(), StoreError> {
        let kept = self.list(Shelf::Quarantine).try_collect().await?;
        for key in quarantine::excess(kept, self.most_set_aside) {
            self.remove(&key).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for ObjectStorage {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        let Some(object) = found(self.objects.get(&place(key)).await)? else { return Ok(None) };
        object.bytes().await.map(Some).map_err(failure)
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.put(&place(key), bytes, PutMode::Overwrite).await.map(drop)
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.put(&place(key), bytes, PutMode::Create).await.map(|committed| committed == Committed::Ours)
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        found(self.objects.delete(&place(key)).await).map(drop)
    }

    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let path = place(key);
        if range.is_empty() {
            return Ok(self.size(&path).await?.map(|_| Bytes::new()));
        }
        let read = match &self.commit {
            Commit::Rename { root, .. } => {
                let (file, range) = (root.join(path.as_ref()), range.clone());
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
        // Backends differ in what they say of a range past the end, so the size decides.
        match self.size(&path).await? {
            Some(size) if size < range.end => Err(short(&path, &range, size)),
            Some(_) => Err(error),
            None => Ok(None),
        }
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        let options = GetOptions::new().with_range(Some(GetRange::Suffix(bytes)));
        let path = place(key);
        match found(self.objects.get_opts(&path, options).await) {
            Ok(None) => Ok(None),
            Ok(Some(object)) => {
                let size = object.meta.size;
                object.bytes().await.map(|tail| Some((tail, size))).map_err(failure)
            }
            // A bucket has no range to give of nothing.
            Err(error) => match self.size(&path).await? {
                Some(0) => Ok(Some((Bytes::new(), 0))),
                Some(_) => Err(error),
                None => Ok(None),
            },
        }
    }

    fn list(&self, shelf: Shelf) -> BoxStream<'static, Listed> {
        let listed = self.objects.list(Some(&ObjectPath::from(shelf.path())));
        let known = |object: object_store::Result<ObjectMeta>| match object {
            Ok(object) => StorageKey::at(object.location.as_ref()).map(|key| Ok((key, object.size))),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => Some(Err(failure(error))),
        };
        listed.filter_map(move |object| std::future::ready(known(object))).boxed()
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        Ok(self.staging.file()?)
    }

    async fn commit(&self, key: &StorageKey, mut staged: Staged) -> Result<Committed, Uncommitted> {
        let committed = match (staged.is_away(), &self.commit) {
            (Some(why), _) => Err(why),
            (None, Commit::Rename { durable, root }) => {
                self.rename(key, &mut staged, *durable, root).await.map(|()| Committed::Ours)
            }
            (None, Commit::Upload { .. }) => self.upload(key, &staged).await,
        };
        committed.map_err(|error| Uncommitted { error, staged })
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let now = self.clock.now();
        let aside = quarantine::place(&key.path(), now);
        if found(self.objects.rename(&place(key), &place(&aside)).await)?.is_none() {
            return Ok(());
        }
        let (beside, note) = quarantine::note(damage, now);
        self.write(&beside, note).await?;
        self.trim().await
    }

    async fn sweep(&self) {
        if let Commit::Upload { .. } = self.commit {
            self.sweep_drafts().await;
        }
        self.staging.sweep().await;
    }

    async fn staged(&self) -> Result<Vec<Batch>, StoreError> {
        let staging = Arc::clone(&self.staging);
        blocking(move || staging.batches()).await
    }

    async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        // In this process's own directory, which no other sweeps.
        let staging = Arc::clone(&self.staging);
        let own = blocking(move || staging.own_path()).await?;
        let place = ObjectPath::from(format!("{own}/probe"));
        self.put(&place, vec![0; bytes].into(), PutMode::Overwrite).await?;
        found(self.objects.delete(&place).await).map(drop)
    }
}

/// What the library would print may hold credentials.
impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStorage({})", self.objects)
    }
}

fn place(key: &StorageKey) -> ObjectPath {
    ObjectPath::from(key.path())
}

/// Where in the directory that the objects are in a staged file lies.
fn below(root: &Path, staged: &Staged) -> io::Result<ObjectPath> {
    let path = staged.path().strip_prefix(root).map_err(io::Error::other)?;
    Ok(ObjectPath::from(path.to_string_lossy().as_ref()))
}

/// A staged file of these bytes.
fn drafted(staging: &Staging, bytes: &[u8], durable: bool) -> io::Result<Staged> {
    let mut staged = staging.file()?;
    staged.write_all(bytes)?;
    if durable {
        staged.sync()?;
    }
    Ok(staged)
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

/// Absence is an answer, not a failure.
fn found<T>(result: object_store::Result<T>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

/// The library wraps what the operating system said; the kind decides what an operator is told.
fn failure(error: object_store::Error) -> StoreError {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    if let PermissionDenied { .. } | Unauthenticated { .. } = error {
        return StoreError::Denied;
    }
    let first: &(dyn Error + 'static) = &error;
    let mut causes = iter::successors(Some(first), |&cause| cause.source());
    let kind = causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind.and_then(StoreError::of_kind).unwrap_or_else(|| StoreError::Io { source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_learns_what_the_system_said() {
        let wrapped = |kind: io::ErrorKind| {
            let source = Box::new(Wrapper(kind.into()));
            failure(object_store::Error::Generic { store: "test", source })
        };
        assert!(matches!(wrapped(io::ErrorKind::StorageFull), StoreError::Full));
        assert!(matches!(wrapped(io::ErrorKind::PermissionDenied), StoreError::Denied));
        assert!(matches!(wrapped(io::ErrorKind::BrokenPipe), StoreError::Io { .. }));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapper(#[source] io::Error);
}
