//! Objects and the account of them: a writer takes bytes first, and values are evicted when there are too few.
//!
//! Owns that order, also among many writers. Must not know which value is worth least (`ledger`), nor what is written.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::account::Account;
use crate::store::ledger::Ledger;
use crate::store::space::{SpaceQuota, pages};
use crate::store::{ObjectStorage, Staged, StorageKey, StoreError};

/// No value takes more than this part of the whole.
const LARGEST: u64 = 2;

#[derive(Debug)]
pub(super) struct BoundedObjects {
    pub(super) objects: Arc<ObjectStorage>,
    account: Mutex<Account>,
    /// Bytes were given back, or an eviction ended.
    changed: Notify,
    /// The background should evict.
    pub(super) high: Notify,
    /// Becomes true once.
    pub(super) counted: watch::Sender<bool>,
}

impl BoundedObjects {
    pub(super) fn new(objects: Arc<ObjectStorage>, max: u64, ledger: Ledger) -> Self {
        Self {
            objects,
            account: Mutex::new(Account::new(max, ledger)),
            changed: Notify::new(),
            high: Notify::new(),
            counted: watch::Sender::new(false),
        }
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock()
    }

    /// The bytes that one value may take.
    pub(super) fn largest(&self) -> u64 {
        self.account().max() / LARGEST
    }

    /// Wakes the background if it should evict.
    pub(super) fn look(&self) {
        let account = self.account();
        if account.counted && account.is_high() {
            self.high.notify_one();
        }
    }

    /// Reserves `bytes`, and evicts while there is no room for them.
    pub(super) async fn room(&self, bytes: u64) -> Result<(), StoreError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let victim = {
                let mut account = self.account();
                if account.stage(bytes) {
                    break;
                }
                match account.victim() {
                    None if account.is_any_leaving() => None,
                    None => return Err(StoreError::Full),
                    victim => victim,
                }
            };
            match victim {
                Some(victim) => self.evict(&victim).await?,
                None => changed.await,
            }
        }
        self.look();
        Ok(())
    }

    /// Removes a value that was chosen for eviction.
    pub(super) async fn evict(&self, key: &StorageKey) -> Result<(), StoreError> {
        let removed = self.objects.discard(key).await;
        match &removed {
            Ok(()) => self.account().evicted(key),
            Err(error) => {
                warn!(%error, path = key.path(), "a value cannot be evicted");
                self.account().stays(key);
            }
        }
        self.changed.notify_waiters();
        removed
    }

    /// Keeps `key` from being evicted while it is written. Waits for an eviction of it that is under way.
    pub(super) async fn hold_for_writing(self: &Arc<Self>, key: &StorageKey) -> Hold {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut account = self.account();
                if !account.is_leaving(key) {
                    account.ledger.hold(key);
                    break;
                }
            }
            changed.await;
        }
        Hold { held: Some((Arc::clone(self), key.clone())), vacant: false }
    }

    /// Keeps `key` from being evicted while it is read.
    pub(super) fn hold_for_reading(self: &Arc<Self>, key: &StorageKey) -> Hold {
        let mut account = self.account();
        account.ledger.hold(key);
        account.ledger.touch(key);
        let vacant = account.counted && account.ledger.size_of(key).is_none();
        Hold { held: Some((Arc::clone(self), key.clone())), vacant }
    }

    /// Runs `write`, which writes `bytes` bytes and returns whether they are stored now.
    pub(super) async fn writing(
        self: &Arc<Self>,
        key: &StorageKey,
        bytes: u64,
        write: impl Future<Output = Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        let bytes = pages(bytes);
        if bytes > self.largest() {
            return Err(StoreError::TooLarge);
        }
        let _written = self.hold_for_writing(key).await;
        self.room(bytes).await?;
        let written = write.await;
        let mut account = self.account();
        if let Ok(true) = written {
            account.ledger.insert(key.clone(), bytes);
        }
        account.unstage(bytes);
        written
    }

    /// Counts `staged` as the value of `key`. If there is an older value, which is stored until it is replaced, the staged
    /// bytes count as well. Returns the size of the older value, and the space that `staged` handed over.
    pub(super) fn count_commit(&self, key: &StorageKey, staged: &mut Staged) -> (Option<u64>, u64) {
        let mut account = self.account();
        let before = account.ledger.size_of(key);
        account.ledger.insert(key.clone(), pages(staged.length()));
        let handed_over = if before.is_none() { staged.hand_over_space() } else { 0 };
        account.unstage(handed_over);
        (before, handed_over)
    }

    /// Reads the value of `key` by `read`, unless it is being evicted. If nothing is there it no longer counts.
    pub(super) async fn reading<T>(
        &self,
        key: &StorageKey,
        read: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        if self.account().is_leaving(key) {
            return Ok(None);
        }
        let found = read.await?;
        if found.is_none() {
            self.account().ledger.remove(key);
        }
        Ok(found)
    }
}

/// The space of staged files. Taking it blocks while something has to be evicted first.
impl SpaceQuota for BoundedObjects {
    fn take(&self, held: u64, bytes: u64) -> io::Result<()> {
        // One huge file must not empty the store before it is known not to fit.
        if held.saturating_add(bytes) > self.largest() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        {
            let mut account = self.account();
            if account.counted && account.stage(bytes) {
                drop(account);
                self.look();
                return Ok(());
            }
        }
        let Ok(runtime) = Handle::try_current() else { return Err(io::ErrorKind::StorageFull.into()) };
        let taken = runtime.block_on(async {
            // Cannot fail, since the sender lives as long as this.
            let _ = self.counted.subscribe().wait_for(|counted| *counted).await;
            self.room(bytes).await
        });
        taken.map_err(io::Error::from)
    }

    fn give_back(&self, bytes: u64) {
        self.account().unstage(bytes);
        self.changed.notify_waiters();
    }
}

/// Keeps a value from being evicted until it is dropped. Where nothing is ever evicted it does nothing.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    held: Option<(Arc<BoundedObjects>, StorageKey)>,
    vacant: bool,
}

impl Hold {
    /// Whether nothing was stored when the hold was taken; not every store knows.
    pub(crate) fn is_vacant(&self) -> bool {
        self.vacant
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some((bounded, key)) = &self.held {
            bounded.account().ledger.release(key);
        }
    }
}
