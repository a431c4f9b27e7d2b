//! What must be remembered of an upload between its requests, also across a restart.
//!
//! Owns the records' bound, their expiry and their form on disk. A record that cannot be read is as good as none. Must
//! not know what is remembered.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::Refused;
use crate::clock::{Clock, Timestamp};
use crate::domain::Sha256;
use crate::store::{Shelf, StorageKey, Store, StoreError};

/// Records of one kind that are told apart at once.
const MOST: usize = 10_000;

/// Longest memory, whatever a registry grants.
const LONGEST: u64 = 7 * 24 * 60 * 60 * 1000;

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    until: Timestamp,
    record: T,
}

/// The records of one kind, by their digest.
#[derive(Debug)]
pub struct Kept<T> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    place: fn(Sha256) -> StorageKey,
    /// When each record is forgotten; what another process of the same storage keeps is not in it.
    until: Mutex<HashMap<Sha256, Timestamp>>,
    counted: OnceCell<()>,
    _of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Send> Kept<T> {
    /// Those on `shelf` of `store`, each at its `place`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        shelf: Shelf,
        place: fn(Sha256) -> StorageKey,
    ) -> Self {
        let (until, counted) = (Mutex::default(), OnceCell::new());
        Self { store, clock, shelf, place, until, counted, _of: PhantomData }
    }

    /// Remembers `record` until a moment, a week ahead at most; in place of an earlier one of the same `id`.
    ///
    /// # Errors
    /// [`Refused::TooMany`] when no more fit, or why it cannot be stored.
    pub async fn put(&self, id: Sha256, record: T, until: Timestamp) -> Result<(), Refused> {
        self.room_for(&id).await?;
        let now = self.clock.now();
        let until = Timestamp(until.0.min(now.0.saturating_add(LONGEST)));
        let stored = serde_json::to_vec(&Envelope { until, record }).unwrap_or_default();
        self.table().insert(id, until);
        self.store.write(&(self.place)(id), stored.into()).await?;
        Ok(())
    }

    /// What is remembered under `id`, and until when, also what is past its time and not yet swept.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn get(&self, id: &Sha256) -> Result<Option<(T, Timestamp)>, StoreError> {
        let Some(stored) = self.store.read(&(self.place)(*id)).await? else { return Ok(None) };
        let envelope = serde_json::from_slice::<Envelope<T>>(&stored).ok();
        Ok(envelope.map(|Envelope { until, record }| (record, until)))
    }

    /// Forgets `id`.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn remove(&self, id: &Sha256) -> Result<(), StoreError> {
        self.table().remove(id);
        self.store.remove(&(self.place)(*id)).await
    }

    /// Makes sure that one more can be remembered, by forgetting what is past its time.
    ///
    /// # Errors
    /// [`Refused::TooMany`] when all are still current.
    pub async fn room_for(&self, id: &Sha256) -> Result<(), Refused> {
        self.count().await?;
        let now = self.clock.now();
        let past: Vec<Sha256> =
            self.table().iter().filter(|(_, until)| **until < now).map(|(id, _)| *id).collect();
        for id in past {
            self.remove(&id).await?;
        }
        let table = self.table();
        if table.len() < MOST || table.contains_key(id) { Ok(()) } else { Err(Refused::TooMany) }
    }

    /// Learns once what an earlier process left.
    async fn count(&self) -> Result<(), StoreError> {
        let count = async || {
            let mut listed = self.store.list(self.shelf);
            while let Some((key, _)) = listed.try_next().await? {
                let (StorageKey::Upload(id) | StorageKey::Session(id)) = key else { continue };
                let stored = self.store.read(&key).await?.unwrap_or_default();
                match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&stored) {
                    Ok(envelope) => drop(self.table().insert(id, envelope.until)),
                    Err(_) => self.store.remove(&key).await?,
                }
            }
            Ok(())
        };
        self.counted.get_or_try_init(count).await.copied()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Sha256, Timestamp>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
