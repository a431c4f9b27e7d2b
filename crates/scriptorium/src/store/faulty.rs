//! A store that fails on command, for tests of everything above it.
//!
//! Every call counts as one operation, and so does every time a staged file asks for space. Owns that count and which
//! operations fail. Must not know what is stored.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::space::SpaceQuota;
use super::{
    Committed, Damage, FileStore, Hold, KeyPrefix, ListedValue, Staged, StorageKey, StoreError, Uncommitted,
    ValueStore,
};

/// The error of an operation that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `ENOSPC`.
    Full,
    /// `EACCES`, as `EROFS` is told.
    Denied,
    /// `EIO`.
    Io,
    /// `EIO` after the change was made, as when only a flush failed. Reads, staging and commits fail before.
    Late,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full => ErrorKind::StorageFull.into(),
            Fault::Denied => ErrorKind::PermissionDenied.into(),
            Fault::Io | Fault::Late => Self::other("input/output error"),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        io::Error::from(fault).into()
    }
}

/// A store whose operations fail as planned.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    inner: S,
    course: Arc<Course>,
    /// Whether what is created *follows*.
    is_careless: bool,
}

/// The operations so far, and the faults that are planned.
#[derive(Debug, Default)]
struct Course(Mutex<CourseState>);

#[derive(Debug, Default)]
struct CourseState {
    operations: u64,
    injected: u64,
    plan: Option<FaultPlan>,
}

/// So many operations from the `from`th on fail.
#[derive(Debug, Clone, Copy)]
struct FaultPlan {
    from: u64,
    times: u64,
    fault: Fault,
}

impl<S> Faulty<S> {
    /// `inner`, with nothing planned.
    pub(crate) fn over(inner: S) -> Self {
        Self { inner, course: Arc::default(), is_careless: false }
    }

    /// The same, but what must be created *first* only *follows*.
    pub(crate) fn careless(inner: S) -> Self {
        Self { is_careless: true, ..Self::over(inner) }
    }

    /// The store below, which never fails by plan.
    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.course.state().operations
    }

    /// Operations that failed by plan so far.
    pub(crate) fn injected(&self) -> u64 {
        self.course.state().injected
    }

    /// Lets `times` operations fail, the first of them the `nth` from now.
    pub(crate) fn fail(&self, nth: u64, times: u64, fault: Fault) {
        let mut state = self.course.state();
        state.plan = Some(FaultPlan { from: state.operations + nth, times, fault });
    }

    /// Lets the `nth` operation from now and all after it fail.
    pub(crate) fn fail_from(&self, nth: u64, fault: Fault) {
        self.fail(nth, u64::MAX, fault);
    }

    /// Lets nothing fail any more.
    pub(crate) fn clear(&self) {
        self.course.state().plan = None;
    }
}

impl Course {
    fn state(&self) -> MutexGuard<'_, CourseState> {
        self.0.lock().unwrap()
    }

    /// Counts one operation, and says whether it fails.
    fn next(&self) -> Result<(), Fault> {
        let mut state = self.state();
        state.operations += 1;
        let operation = state.operations;
        let due = |plan: &FaultPlan| operation.checked_sub(plan.from).is_some_and(|since| since < plan.times);
        let Some(FaultPlan { fault, .. }) = state.plan.filter(due) else { return Ok(()) };
        state.injected += 1;
        Err(fault)
    }

    /// Makes a change, unless it fails before.
    async fn change<T>(&self, change: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.next() {
            Ok(()) => change.await,
            Err(Fault::Late) => change.await.and(Err(Fault::Late.into())),
            Err(fault) => Err(fault.into()),
        }
    }
}

#[async_trait]
impl<S: ValueStore> ValueStore for Faulty<S> {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        self.course.next()?;
        self.inner.read(key).await
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.course.change(self.inner.write(key, bytes)).await
    }

    async fn write_behind(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        self.course.change(self.inner.write_behind(key, bytes)).await
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        if self.is_careless {
            return self.write_behind(key, bytes).await.map(|()| true);
        }
        self.course.change(self.inner.create(key, bytes)).await
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.course.change(self.inner.remove(key)).await
    }

    fn list(&self, prefix: KeyPrefix) -> BoxStream<'static, ListedValue> {
        match self.course.next() {
            Ok(()) => self.inner.list(prefix),
            Err(fault) => stream::iter([Err(fault.into())]).boxed(),
        }
    }

    async fn may_hold(&self, prefixes: &[KeyPrefix]) -> Result<bool, StoreError> {
        self.course.next()?;
        self.inner.may_hold(prefixes).await
    }
}

#[async_trait]
impl<S: FileStore> FileStore for Faulty<S> {
    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        self.course.next()?;
        self.inner.read_range(key, range).await
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.course.next()?;
        self.inner.read_tail(key, bytes).await
    }

    /// Cannot fail and is no operation.
    fn hold(&self, key: &StorageKey) -> Hold {
        self.inner.hold(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        self.course.next()?;
        let growth = Growth { course: Arc::clone(&self.course), refused: Mutex::default() };
        Ok(self.inner.stage()?.within(Arc::new(growth)))
    }

    async fn commit(&self, key: &StorageKey, staged: Staged) -> Result<Committed, Uncommitted> {
        match self.course.next() {
            Ok(()) => self.inner.commit(key, staged).await,
            Err(fault) => Err(Uncommitted { error: fault.into(), staged }),
        }
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        self.course.change(self.inner.set_aside(key, damage)).await
    }
}

/// The growth of one staged file.
#[derive(Debug)]
struct Growth {
    course: Arc<Course>,
    /// Why room was refused just now: less is asked for at once, which belongs to the same operation.
    refused: Mutex<Option<Fault>>,
}

impl SpaceQuota for Growth {
    fn take(&self, _held: u64, _bytes: u64) -> io::Result<()> {
        let mut refused = self.refused.lock().unwrap();
        if let Some(fault) = refused.take() {
            return Err(fault.into());
        }
        self.course.next().inspect_err(|fault| *refused = Some(*fault)).map_err(io::Error::from)
    }

    fn give_back(&self, _bytes: u64) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::domain::{Integrity, Sha256};
    use crate::store::ObjectStorage;

    fn faulty() -> Faulty<ObjectStorage> {
        Faulty::over(ObjectStorage::memory().unwrap())
    }

    fn key() -> StorageKey {
        StorageKey::Archive(Integrity::new(Sha256::of(b"tree")))
    }

    #[tokio::test]
    async fn the_planned_operations_fail_and_no_other() {
        let store = faulty();
        store.fail(2, 2, Fault::Denied);
        store.write(&key(), "a".into()).await.unwrap();
        assert!(matches!(store.write(&key(), "b".into()).await, Err(StoreError::Denied)));
        assert!(matches!(store.read(&key()).await, Err(StoreError::Denied)));
        assert_eq!(store.read(&key()).await.unwrap().unwrap(), "a", "what failed did nothing");
        assert_eq!((store.operations(), store.injected()), (4, 2));
        store.fail_from(1, Fault::Io);
        assert!(matches!(store.list(KeyPrefix::Archives).next().await, Some(Err(StoreError::Io { .. }))));
        assert!(store.remove(&key()).await.is_err() && store.stage().is_err());
        store.clear();
        store.fail(1, 1, Fault::Late);
        assert!(store.write(&key(), "c".into()).await.is_err());
        assert_eq!(store.read(&key()).await.unwrap().unwrap(), "c", "what failed late was done");
    }

    #[tokio::test]
    async fn a_staged_file_fails_as_it_grows_and_when_it_is_committed() {
        let store = faulty();
        let mut staged = store.stage().unwrap();
        staged.write_all(&[1; 60_000]).unwrap();
        staged.write_all(&[1; 5_000]).unwrap();
        assert_eq!(store.operations(), 2, "64 KiB are one operation");
        store.fail(1, 1, Fault::Full);
        let error = staged.write_all(&[1; 1_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        staged.write_all(&[1; 1_000]).unwrap();
        store.fail(1, 1, Fault::Full);
        let Uncommitted { error, staged } = store.commit(&key(), staged).await.unwrap_err();
        assert!(matches!(error, StoreError::Full));
        store.commit(&key(), staged).await.unwrap();
        assert_eq!(store.read(&key()).await.unwrap().unwrap().len(), 66_000);
    }
}
