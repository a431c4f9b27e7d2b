//! A store and the account of it: who writes takes bytes first, and something goes where there are none.
//!
//! Owns that order, also where many do it at once. Must not know which value is worth least (`ledger`), nor what is a
//! write of what.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tracing::warn;

use super::account::Account;
use crate::store::ledger::Ledger;
use crate::store::staged::pages;
use crate::store::{Hold, Quota, Staged, StorageKey, Store, StoreError};

/// No value takes more than this part of the whole.
const LARGEST: u64 = 2;

/// The store below, and the account of it.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) store: Arc<dyn Store>,
    account: Mutex<Account>,
    /// Somebody set bytes apart, or something left.
    changed: Notify,
    /// More is used than should be.
    pub(super) high: Notify,
    /// Becomes true once.
    pub(super) counted: watch::Sender<bool>,
}

impl Books {
    /// Nothing in `store`, below `max` bytes.
    pub(super) fn new(store: Arc<dyn Store>, max: u64, ledger: Ledger) -> Self {
        Self {
            store,
            account: Mutex::new(Account::new(max, ledger)),
            changed: Notify::new(),
            high: Notify::new(),
            counted: watch::Sender::new(false),
        }
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that one value may take.
    pub(super) fn largest(&self) -> u64 {
        self.account().max() / LARGEST
    }

    /// Wakes who frees space, where there is cause to.
    pub(super) fn look(&self) {
        let account = self.account();
        if account.counted && account.is_high() {
            self.high.notify_one();
        }
    }

    /// Sets `bytes` apart, evicting what may go where there is no room.
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

    /// Removes what was chosen to go.
    pub(super) async fn evict(&self, key: &StorageKey) -> Result<(), StoreError> {
        let removed = self.store.remove(key).await;
        match &removed {
            Ok(()) => self.account().gone(key),
            Err(error) => {
                warn!(%error, path = key.path(), "cannot evict");
                self.account().stays(key);
            }
        }
        self.changed.notify_waiters();
        removed
    }

    /// Keeps `key` from being chosen while it is written, once it is not about to go.
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
        self.until_released(key)
    }

    /// Keeps `key` from being chosen while it is read.
    pub(super) fn hold_for_reading(self: &Arc<Self>, key: &StorageKey) -> Hold {
        let mut account = self.account();
        account.ledger.hold(key);
        account.ledger.touch(key);
        let vacant = account.counted && account.ledger.size_of(key).is_none();
        drop(account);
        self.until_released(key).of_nothing(vacant)
    }

    fn until_released(self: &Arc<Self>, key: &StorageKey) -> Hold {
        let (books, key) = (Arc::clone(self), key.clone());
        Hold::until(move || books.account().ledger.release(&key))
    }

    /// Writes `bytes` bytes by `write`, which says whether they are there now.
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

    /// Counts `staged` as the value of `key`. Beside an older one, which is there until it is replaced, its staged
    /// bytes count as well. Says what was counted before, and what `staged` no longer holds.
    pub(super) fn commits(&self, key: &StorageKey, staged: &mut Staged) -> (Option<u64>, u64) {
        let mut account = self.account();
        let before = account.ledger.size_of(key);
        account.ledger.insert(key.clone(), pages(staged.length()));
        let handed_over = if before.is_none() { staged.hand_over() } else { 0 };
        account.unstage(handed_over);
        (before, handed_over)
    }

    /// Whether `key` may be read; a use of it, if so.
    pub(super) fn admit(&self, key: &StorageKey) -> bool {
        let mut account = self.account();
        let there = !account.is_leaving(key);
        if there {
            account.ledger.touch(key);
        }
        there
    }

    /// Notes that `found` is nothing where something was thought to be.
    pub(super) fn noting<T>(&self, key: &StorageKey, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.account().ledger.remove(key);
        }
        found
    }

    /// Takes bytes for a staged file. Blocks while something has to go first.
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
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
            // The sender lives as long as this.
            let _ = self.counted.subscribe().wait_for(|counted| *counted).await;
            self.room(bytes).await
        });
        taken.map_err(io::Error::from)
    }

    pub(super) fn give(&self, bytes: u64) {
        self.account().unstage(bytes);
        self.changed.notify_waiters();
    }
}

/// One staged file's part of the account.
#[derive(Debug)]
pub(super) struct Share {
    books: Arc<Books>,
    taken: AtomicU64,
    most: u64,
}

impl Share {
    pub(super) fn of(books: &Arc<Books>) -> Self {
        Self { books: Arc::clone(books), taken: AtomicU64::new(0), most: books.largest() }
    }
}

impl Quota for Share {
    fn take(&self, bytes: u64) -> io::Result<()> {
        // One huge archive must not empty the store before it is known that it does not fit.
        if self.taken.load(Ordering::Relaxed).saturating_add(bytes) > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.books.take(bytes)?;
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.books.give(bytes);
    }
}
