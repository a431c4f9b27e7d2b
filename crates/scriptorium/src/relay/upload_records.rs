//! The records of uploads between their requests, also across a restart.
//!
//! Owns their bounds, their expiry and their form on disk. An unreadable record counts as none. Must not know what a
//! record says.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::TryStreamExt;
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, RwLock};

use super::WriteRefusal;
use super::owner::Owner;
use crate::clock::{Clock, Timestamp};
use crate::domain::Sha256;
use crate::limit::Client;
use crate::store::{KeyPrefix, StorageKey, Store, StoreError};

/// The most records of one kind.
const MOST: usize = 10_000;

/// The most records of one owner, and of one client, so that one's unfinished uploads do not block the others.
const MOST_OF_ONE: usize = 1_000;

/// The longest that a record is kept, in milliseconds, whatever a registry grants.
const LONGEST: u64 = 7 * 24 * 60 * 60 * 1000;

/// A record with an owner.
pub(super) trait Owned {
    fn owner(&self) -> &Owner;
}

/// A record in memory.
#[derive(Debug)]
struct RecordEntry {
    until: Timestamp,
    /// `None` for a record that cannot be read.
    owner: Option<Owner>,
    /// The client that began it, if that was in this process.
    client: Option<Client>,
}

type RecordTable = HashMap<Sha256, RecordEntry>;

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredRecord<T> {
    until: Timestamp,
    record: T,
}

/// The records of one kind, by id.
#[derive(Debug)]
pub(super) struct UploadRecords<T> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    prefix: KeyPrefix,
    place: fn(Sha256) -> StorageKey,
    /// Records that another process keeps in the same storage are not in it.
    entries: Mutex<RecordTable>,
    counted: OnceCell<()>,
    /// Held for writing by a sweep, so that no record is renewed between being found expired and being removed.
    sweeping: RwLock<()>,
    _of: PhantomData<fn() -> T>,
}

impl<T: Owned + Serialize + DeserializeOwned + Send> UploadRecords<T> {
    /// The records with `prefix` in `store`. `place` gives the key of each.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        prefix: KeyPrefix,
        place: fn(Sha256) -> StorageKey,
    ) -> Self {
        let (entries, counted, sweeping) = (Mutex::default(), OnceCell::new(), RwLock::default());
        Self { store, clock, prefix, place, entries, counted, sweeping, _of: PhantomData }
    }

    /// Keeps `record` until a moment, at most a week ahead. It replaces an earlier record of the same `id`, and keeps
    /// that one's client if there is no `client`.
    ///
    /// # Errors
    /// [`WriteRefusal::TooMany`] when there are too many records, of all, of its owner or of its client; or why it
    /// cannot be stored.
    pub(super) async fn put(
        &self,
        id: Sha256,
        record: T,
        until: Timestamp,
        client: Option<&Client>,
    ) -> Result<(), WriteRefusal> {
        self.sweep().await?;
        let _writing = self.sweeping.read().await;
        let until = Timestamp(until.0.min(self.clock.now().0.saturating_add(LONGEST)));
        let owner = record.owner().clone();
        let stored = serde_json::to_vec(&StoredRecord { until, record }).unwrap_or_default();
        let before = {
            let mut table = self.table();
            fits(&table, &id, &owner, client)?;
            let before = table.get(&id).and_then(|entry| entry.client.clone());
            table.insert(id, RecordEntry { until, owner: Some(owner), client: client.cloned().or(before) })
        };
        let written = self.store.write(&(self.place)(id), stored.into()).await;
        if written.is_err() && before.is_none() {
            self.table().remove(&id);
        }
        Ok(written?)
    }

    /// The record of `id` and when it expires. An expired record is returned until it is swept.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub(super) async fn get(&self, id: &Sha256) -> Result<Option<(T, Timestamp)>, StoreError> {
        let Some(stored) = self.store.read(&(self.place)(*id)).await? else { return Ok(None) };
        let envelope = serde_json::from_slice::<StoredRecord<T>>(&stored).ok();
        Ok(envelope.map(|StoredRecord { until, record }| (record, until)))
    }

    /// Removes the record of `id`.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub(super) async fn remove(&self, id: &Sha256) -> Result<(), StoreError> {
        self.table().remove(id);
        self.store.remove(&(self.place)(*id)).await
    }

    /// Makes sure that one more record of `owner` and `client` fits, after removing expired ones.
    ///
    /// # Errors
    /// [`WriteRefusal::TooMany`] when it does not fit.
    pub(super) async fn room_for(
        &self,
        id: &Sha256,
        owner: &Owner,
        client: Option<&Client>,
    ) -> Result<(), WriteRefusal> {
        self.sweep().await?;
        fits(&self.table(), id, owner, client)
    }

    /// Removes expired records.
    async fn sweep(&self) -> Result<(), StoreError> {
        self.count().await?;
        let now = self.clock.now();
        let is_past = |entry: &RecordEntry| entry.until < now;
        if !self.table().values().any(is_past) {
            return Ok(());
        }
        let _sweeping = self.sweeping.write().await;
        let past =
            self.table().iter().filter(|(_, entry)| is_past(entry)).map(|(id, _)| *id).collect::<Vec<_>>();
        for id in past {
            self.store.remove(&(self.place)(id)).await?;
            self.table().remove(&id);
        }
        Ok(())
    }

    /// Reads the records of an earlier process, once.
    async fn count(&self) -> Result<(), StoreError> {
        let count = async || {
            let mut listed = self.store.list(self.prefix);
            while let Some((key, _)) = listed.try_next().await? {
                let (StorageKey::Upload(id) | StorageKey::Session(id)) = key else { continue };
                let stored = self.store.read(&key).await?.unwrap_or_default();
                let known = serde_json::from_slice::<StoredRecord<T>>(&stored);
                let entry = match known {
                    Ok(StoredRecord { until, record }) => {
                        RecordEntry { until, owner: Some(record.owner().clone()), client: None }
                    }
                    Err(_) => match serde_json::from_slice::<StoredRecord<serde::de::IgnoredAny>>(&stored) {
                        Ok(StoredRecord { until, .. }) => RecordEntry { until, owner: None, client: None },
                        Err(_) => {
                            self.store.remove(&key).await?;
                            continue;
                        }
                    },
                };
                self.table().entry(id).or_insert(entry);
            }
            Ok(())
        };
        self.counted.get_or_try_init(count).await.copied()
    }

    fn table(&self) -> MutexGuard<'_, RecordTable> {
        self.entries.lock()
    }
}

/// Whether one more record fits, `id` of `owner` and `client`.
fn fits(
    table: &RecordTable,
    id: &Sha256,
    owner: &Owner,
    client: Option<&Client>,
) -> Result<(), WriteRefusal> {
    let owners = || table.values().filter(|entry| entry.owner.as_ref() == Some(owner)).count();
    let clients =
        || table.values().filter(|entry| client.is_some() && entry.client.as_ref() == client).count();
    let room = || table.len() < MOST && owners() < MOST_OF_ONE && clients() < MOST_OF_ONE;
    let fits = table.contains_key(id) || room();
    if fits { Ok(()) } else { Err(WriteRefusal::TooMany) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::ObjectStorage;

    impl Owned for String {
        fn owner(&self) -> &Owner {
            const { &Owner::nobody() }
        }
    }

    fn entry(of: u64, until: u64) -> (Sha256, RecordEntry) {
        (id(of), RecordEntry { until: Timestamp(until), owner: None, client: None })
    }

    fn id(of: u64) -> Sha256 {
        Sha256::of(&of.to_le_bytes())
    }

    fn over(store: &Arc<dyn Store>, clock: &Arc<ManualClock>) -> UploadRecords<String> {
        UploadRecords::new(Arc::clone(store), clock.clone(), KeyPrefix::Uploads, StorageKey::Upload)
    }

    fn new() -> (Arc<dyn Store>, Arc<ManualClock>) {
        (Arc::new(ObjectStorage::memory().unwrap()), Arc::new(ManualClock::at(1_000)))
    }

    #[tokio::test]
    async fn a_record_survives_a_restart_and_is_forgotten_when_it_is_removed() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        kept.put(id(1), "first".to_owned(), Timestamp(5_000), None).await.unwrap();
        kept.put(id(1), "second".to_owned(), Timestamp(6_000), None).await.unwrap();
        let restarted = over(&store, &clock);
        let held = restarted.get(&id(1)).await.unwrap();
        assert_eq!(held, Some(("second".to_owned(), Timestamp(6_000))));
        restarted.remove(&id(1)).await.unwrap();
        assert_eq!(kept.get(&id(1)).await.unwrap(), None);
        assert_eq!(restarted.get(&id(2)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn expired_records_make_room_also_after_a_restart() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        kept.put(id(1), "short".to_owned(), Timestamp(2_000), None).await.unwrap();
        kept.put(id(2), "endless".to_owned(), Timestamp(u64::MAX), None).await.unwrap();
        assert_eq!(kept.get(&id(2)).await.unwrap().unwrap().1, Timestamp(1_000 + LONGEST));
        clock.advance(Duration::from_secs(2));
        assert!(kept.get(&id(1)).await.unwrap().is_some(), "an expired record is readable until it is swept");
        over(&store, &clock).room_for(&id(3), &Owner::nobody(), None).await.unwrap();
        assert_eq!(kept.get(&id(1)).await.unwrap(), None);
        assert!(kept.get(&id(2)).await.unwrap().is_some());
        clock.advance(Duration::from_millis(LONGEST));
        kept.room_for(&id(3), &Owner::nobody(), None).await.unwrap();
        assert_eq!(store.list(KeyPrefix::Uploads).count().await, 0, "nothing is left");
    }

    #[tokio::test]
    async fn the_number_of_records_is_bounded() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), None).await.unwrap();
        let others = (1..MOST as u64).map(|of| entry(of, 5_000));
        kept.table().extend(others);
        assert!(matches!(
            kept.room_for(&id(MOST as u64), &Owner::nobody(), None).await,
            Err(WriteRefusal::TooMany)
        ));
        let refused = kept.put(id(MOST as u64), "one more".to_owned(), Timestamp(5_000), None).await;
        assert!(matches!(refused, Err(WriteRefusal::TooMany)));
        assert_eq!(kept.get(&id(MOST as u64)).await.unwrap(), None);
        kept.put(id(0), "again".to_owned(), Timestamp(9_000), None).await.unwrap();
        clock.advance(Duration::from_secs(5));
        kept.put(id(MOST as u64), "one more".to_owned(), Timestamp(9_000), None).await.unwrap();
        assert_eq!(kept.table().len(), 2);
    }

    #[tokio::test]
    async fn one_owner_cannot_use_all_records() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        let theirs = |of| {
            (id(of), RecordEntry { until: Timestamp(5_000), owner: Some(Owner::nobody()), client: None })
        };
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), None).await.unwrap();
        kept.table().extend((1..MOST_OF_ONE as u64).map(theirs));
        let more = id(MOST_OF_ONE as u64);
        let refused = kept.put(more, "one more".to_owned(), Timestamp(5_000), None).await;
        assert!(matches!(refused, Err(WriteRefusal::TooMany)));
        let other = Owner::of(&[(http::header::AUTHORIZATION, "x".parse().unwrap())].into_iter().collect());
        kept.room_for(&more, &other, None).await.unwrap();
        kept.put(id(0), "again".to_owned(), Timestamp(5_000), None).await.unwrap();

        let restarted = over(&store, &clock);
        restarted.room_for(&more, &other, None).await.unwrap();
        let counted = restarted.table().values().filter(|entry| entry.owner.is_some()).count();
        assert_eq!(counted, 1, "the owners are known again");
    }

    #[tokio::test]
    async fn one_client_cannot_use_all_records_with_invented_credentials() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        let [greedy, other] = ["greedy", "other"].map(|name| Client::Token(name.into()));
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), Some(&greedy)).await.unwrap();
        let invented =
            |of| (id(of), RecordEntry { until: Timestamp(5_000), owner: None, client: Some(greedy.clone()) });
        kept.table().extend((1..MOST_OF_ONE as u64).map(invented));
        let more = id(MOST_OF_ONE as u64);
        let refused = kept.room_for(&more, &Owner::nobody(), Some(&greedy)).await;
        assert!(matches!(refused, Err(WriteRefusal::TooMany)));
        kept.room_for(&more, &Owner::nobody(), Some(&other)).await.unwrap();
        kept.put(id(0), "again".to_owned(), Timestamp(5_000), None).await.unwrap();
        let refused = kept.put(more, "one more".to_owned(), Timestamp(5_000), Some(&greedy)).await;
        assert!(matches!(refused, Err(WriteRefusal::TooMany)), "a record that is put again keeps its client");
    }

    #[tokio::test]
    async fn an_unreadable_record_counts_as_none() {
        let (store, clock) = new();
        for (of, garbage) in ["", "garbage", "{}", r#"{"until":1}"#].into_iter().enumerate() {
            store.write(&StorageKey::Upload(id(of as u64)), garbage.into()).await.unwrap();
        }
        let other = r#"{"until":99999,"record":{"of":"another kind"}}"#;
        store.write(&StorageKey::Upload(id(9)), other.into()).await.unwrap();
        let kept = over(&store, &clock);
        for of in [0, 1, 2, 3, 9] {
            assert_eq!(kept.get(&id(of)).await.unwrap(), None, "{of}");
        }
        kept.put(id(5), "good".to_owned(), Timestamp(5_000), None).await.unwrap();
        assert_eq!(
            store.list(KeyPrefix::Uploads).count().await,
            2,
            "the other records are removed, or have not expired"
        );
    }
}
