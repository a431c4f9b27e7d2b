//! A store that never grows beyond a size.
//!
//! Whoever writes takes the bytes from the account first. Above a high-water mark what is worth least goes in the
//! background (`ledger` says what that is), so that a request finds room; one that does not waits until something is
//! gone, and where nothing may go it is told that the store is full. A staged file for which there is no room goes on
//! in the scratch space. What is read now, and what only this proxy knows, is never evicted.
//!
//! What an earlier process left is counted in the background; until it is, only staged files wait.
//!
//! Owns that. Must not know how bytes are kept.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tracing::warn;

use super::allowance::Allowance;
use super::ledger::Ledger;
use super::staged::{Ground, pages};
use super::staging::Staging;
use super::{
    Batch, Committed, Damage, Hold, Listed, Shelf, Staged, StorageKey, Store, StoreError, Uncommitted,
};
use books::{Books, Share};
pub(super) use count::{FIXED, SHELVES};

mod account;
mod books;
mod count;
mod plan;
mod uses;

#[cfg(test)]
mod tests;

pub use account::Usage;
pub use plan::Plan;

/// After a removal failed, before the next is tried.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long uses may be forgotten for by a crash.
const SAVED_EVERY: Duration = Duration::from_secs(5 * 60);

/// A bounded store.
#[derive(Debug)]
pub struct Ceiling {
    books: Arc<Books>,
    scratch: Option<Ground>,
}

impl Ceiling {
    /// Keeps `store` below `max` bytes, choosing what goes with `rng`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, max: u64, rng: fastrand::Rng) -> Self {
        let books = Books::new(store, max, Ledger::new(rng));
        Self { books: Arc::new(books), scratch: None }
    }

    /// The same, with `max` bytes in `folders` for what finds no room below the ceiling: in each when those before it
    /// take nothing.
    #[must_use]
    pub fn with_scratch(self, folders: Vec<PathBuf>, max: u64) -> Self {
        let quota = Arc::new(Allowance::of(max));
        let places = folders.into_iter().map(|folder| Arc::new(Staging::below(folder))).collect();
        Self { scratch: Some(Ground { places, quota }), ..self }
    }

    /// Keeps below `max` bytes from now on; what is too much goes in the background.
    pub fn resize(&self, max: u64) {
        self.books.account().resize(max);
        self.books.look();
    }

    /// Counts what is there, then frees space whenever more is used than should be. Never ends.
    pub async fn keep(&self) {
        self.count().await;
        let mut saved = tokio::time::Instant::now();
        loop {
            let _ = tokio::time::timeout(SAVED_EVERY, self.books.high.notified()).await;
            if self.books.account().is_high() {
                self.free().await;
            }
            if saved.elapsed() >= SAVED_EVERY {
                saved = tokio::time::Instant::now();
                self.save_uses().await;
            }
        }
    }

    /// Evicts until there is room for some time.
    async fn free(&self) {
        loop {
            let Some(key) = self.books.account().surplus() else { return };
            if self.books.evict(&key).await.is_err() {
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

#[async_trait]
impl Store for Ceiling {
    async fn read(&self, key: &StorageKey) -> Result<Option<Bytes>, StoreError> {
        if !self.books.admit(key) {
            return Ok(None);
        }
        Ok(self.books.noting(key, self.books.store.read(key).await?))
    }

    async fn write(&self, key: &StorageKey, bytes: Bytes) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        let write = async { self.books.store.write(key, bytes).await.map(|()| true) };
        self.books.writing(key, length, write).await.map(drop)
    }

    async fn create(&self, key: &StorageKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.books.writing(key, bytes.len() as u64, self.books.store.create(key, bytes)).await
    }

    async fn remove(&self, key: &StorageKey) -> Result<(), StoreError> {
        self.books.store.remove(key).await?;
        self.books.account().ledger.remove(key);
        Ok(())
    }

    async fn read_range(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        if self.books.account().is_leaving(key) {
            return Ok(None);
        }
        Ok(self.books.noting(key, self.books.store.read_range(key, range).await?))
    }

    async fn read_tail(&self, key: &StorageKey, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        if self.books.account().is_leaving(key) {
            return Ok(None);
        }
        Ok(self.books.noting(key, self.books.store.read_tail(key, bytes).await?))
    }

    fn list(&self, shelf: Shelf) -> BoxStream<'static, Listed> {
        self.books.store.list(shelf)
    }

    fn hold(&self, key: &StorageKey) -> Hold {
        self.books.hold_for_reading(key)
    }

    fn stage(&self) -> Result<Staged, StoreError> {
        let quota = Arc::new(Share::of(&self.books));
        match (self.books.store.stage(), &self.scratch) {
            (Ok(staged), None) => Ok(staged.within(quota)),
            (Ok(staged), Some(scratch)) => Ok(staged.within(quota).or_on(scratch.clone())),
            (Err(error), None) => Err(error),
            (Err(error), Some(scratch)) => Ok(Staged::away(scratch.clone(), error.into())?),
        }
    }

    async fn commit(&self, key: &StorageKey, mut staged: Staged) -> Result<Committed, Uncommitted> {
        if staged.is_away().is_some() {
            return self.books.store.commit(key, staged).await;
        }
        let _written = self.books.hold_for_writing(key).await;
        let (before, handed_over) = self.books.commits(key, &mut staged);
        let mut committed = self.books.store.commit(key, staged).await;
        if let Err(Uncommitted { staged, .. }) = &mut committed {
            staged.take_back(handed_over);
            self.books.account().uncommit(key, before, handed_over);
        }
        self.books.look();
        committed
    }

    async fn set_aside(&self, key: &StorageKey, damage: &Damage) -> Result<(), StoreError> {
        let (apart, note) = (self.books.account().set_apart(key), pages(1));
        // A store too full for a note needs it all the more; a page is the most that it is exceeded by.
        let noted = self.books.room(note).await.is_ok();
        let set_aside = self.books.store.set_aside(key, damage).await;
        if let Err(error) = self.count_quarantine().await {
            warn!(%error, "the quarantine could not be counted");
        }
        {
            let mut account = self.books.account();
            account.unstage(apart + if noted { note } else { 0 });
            if set_aside.is_err() && apart > 0 && account.ledger.size_of(key).is_none() {
                account.ledger.insert(key.clone(), apart);
            }
        }
        self.books.look();
        set_aside
    }

    async fn probe(&self, bytes: usize) -> Result<(), StoreError> {
        let taken = pages(bytes as u64);
        self.books.room(taken).await?;
        let probed = self.books.store.probe(bytes).await;
        self.books.account().unstage(taken);
        probed
    }

    async fn staged(&self) -> Result<Vec<Batch>, StoreError> {
        self.books.store.staged().await
    }

    async fn sweep(&self) {
        self.books.store.sweep().await;
        if let Some(scratch) = &self.scratch {
            for place in &scratch.places {
                place.sweep().await;
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        Some(self.books.account().usage())
    }
}
