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
use tokio::sync::{OnceCell, RwLock};

use super::Refused;
use super::token::Owner;
use crate::clock::{Clock, Timestamp};
use crate::domain::Sha256;
use crate::limit::Client;
use crate::store::{Shelf, StorageKey, Store, StoreError};

/// Records of one kind that are told apart at once.
const MOST: usize = 10_000;

/// Those of one owner among them, and those of one client, so that nobody's unfinished uploads are in everybody's way.
const MOST_OF_ONE: usize = 1_000;

/// Longest memory, whatever a registry grants.
const LONGEST: u64 = 7 * 24 * 60 * 60 * 1000;

/// What is somebody's.
pub(super) trait Owned {
    /// Whose.
    fn owner(&self) -> &Owner;
}

/// What is known of a record without reading it.
#[derive(Debug)]
struct Entry {
    until: Timestamp,
    /// Nobody, where it cannot be told.
    owner: Option<Owner>,
    /// Who began it, where that was in this process.
    client: Option<Client>,
}

type Table = HashMap<Sha256, Entry>;

/// A record as it is stored.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    until: Timestamp,
    record: T,
}

/// The records of one kind, by their digest.
#[derive(Debug)]
pub(super) struct Kept<T> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shelf: Shelf,
    place: fn(Sha256) -> StorageKey,
    /// When each record is forgotten; what another process of the same storage keeps is not in it.
    entries: Mutex<Table>,
    counted: OnceCell<()>,
    /// Held by whoever sweeps, so that no record is renewed between being found past its time and being forgotten.
    sweeping: RwLock<()>,
    _of: PhantomData<fn() -> T>,
}

impl<T: Owned + Serialize + DeserializeOwned + Send> Kept<T> {
    /// Those on `shelf` of `store`, each at its `place`.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        shelf: Shelf,
        place: fn(Sha256) -> StorageKey,
    ) -> Self {
        let (entries, counted, sweeping) = (Mutex::default(), OnceCell::new(), RwLock::default());
        Self { store, clock, shelf, place, entries, counted, sweeping, _of: PhantomData }
    }

    /// Remembers `record` until a moment, a week ahead at most; in place of an earlier one of the same `id`, whose
    /// `client` it stays unless there is another.
    ///
    /// # Errors
    /// [`Refused::TooMany`] when no more fit, or no more of its owner's or client's; or why it cannot be stored.
    pub(super) async fn put(
        &self,
        id: Sha256,
        record: T,
        until: Timestamp,
        client: Option<&Client>,
    ) -> Result<(), Refused> {
        self.sweep().await?;
        let _writing = self.sweeping.read().await;
        let until = Timestamp(until.0.min(self.clock.now().0.saturating_add(LONGEST)));
        let owner = record.owner().clone();
        let stored = serde_json::to_vec(&Envelope { until, record }).unwrap_or_default();
        let before = {
            let mut table = self.table();
            fits(&table, &id, &owner, client)?;
            let before = table.get(&id).and_then(|entry| entry.client.clone());
            table.insert(id, Entry { until, owner: Some(owner), client: client.cloned().or(before) })
        };
        let written = self.store.write(&(self.place)(id), stored.into()).await;
        if written.is_err() && before.is_none() {
            self.table().remove(&id);
        }
        Ok(written?)
    }

    /// What is remembered under `id`, and until when, also what is past its time and not yet swept.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub(super) async fn get(&self, id: &Sha256) -> Result<Option<(T, Timestamp)>, StoreError> {
        let Some(stored) = self.store.read(&(self.place)(*id)).await? else { return Ok(None) };
        let envelope = serde_json::from_slice::<Envelope<T>>(&stored).ok();
        Ok(envelope.map(|Envelope { until, record }| (record, until)))
    }

    /// Forgets `id`.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub(super) async fn remove(&self, id: &Sha256) -> Result<(), StoreError> {
        self.table().remove(id);
        self.store.remove(&(self.place)(*id)).await
    }

    /// Makes sure that one more of `owner`'s and `client`'s can be remembered, by forgetting what is past its time.
    ///
    /// # Errors
    /// [`Refused::TooMany`] when all are still current.
    pub(super) async fn room_for(
        &self,
        id: &Sha256,
        owner: &Owner,
        client: Option<&Client>,
    ) -> Result<(), Refused> {
        self.sweep().await?;
        fits(&self.table(), id, owner, client)
    }

    /// Forgets what is past its time.
    async fn sweep(&self) -> Result<(), StoreError> {
        self.count().await?;
        let now = self.clock.now();
        let is_past = |entry: &Entry| entry.until < now;
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

    /// Learns once what an earlier process left.
    async fn count(&self) -> Result<(), StoreError> {
        let count = async || {
            let mut listed = self.store.list(self.shelf);
            while let Some((key, _)) = listed.try_next().await? {
                let (StorageKey::Upload(id) | StorageKey::Session(id)) = key else { continue };
                let stored = self.store.read(&key).await?.unwrap_or_default();
                let known = serde_json::from_slice::<Envelope<T>>(&stored);
                let entry = match known {
                    Ok(Envelope { until, record }) => {
                        Entry { until, owner: Some(record.owner().clone()), client: None }
                    }
                    Err(_) => match serde_json::from_slice::<Envelope<serde::de::IgnoredAny>>(&stored) {
                        Ok(Envelope { until, .. }) => Entry { until, owner: None, client: None },
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

    fn table(&self) -> MutexGuard<'_, Table> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one more of `owner`'s and `client`'s, called `id`, can be told apart.
fn fits(table: &Table, id: &Sha256, owner: &Owner, client: Option<&Client>) -> Result<(), Refused> {
    let owners = || table.values().filter(|entry| entry.owner.as_ref() == Some(owner)).count();
    let clients =
        || table.values().filter(|entry| client.is_some() && entry.client.as_ref() == client).count();
    let room = || table.len() < MOST && owners() < MOST_OF_ONE && clients() < MOST_OF_ONE;
    let fits = table.contains_key(id) || room();
    if fits { Ok(()) } else { Err(Refused::TooMany) }
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

    fn entry(of: u64, until: u64) -> (Sha256, Entry) {
        (id(of), Entry { until: Timestamp(until), owner: None, client: None })
    }

    fn id(of: u64) -> Sha256 {
        Sha256::of(&of.to_le_bytes())
    }

    fn over(store: &Arc<dyn Store>, clock: &Arc<ManualClock>) -> Kept<String> {
        Kept::new(Arc::clone(store), clock.clone(), Shelf::Uploads, StorageKey::Upload)
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
    async fn what_is_past_its_time_makes_room_also_after_a_restart() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        kept.put(id(1), "short".to_owned(), Timestamp(2_000), None).await.unwrap();
        kept.put(id(2), "endless".to_owned(), Timestamp(u64::MAX), None).await.unwrap();
        assert_eq!(kept.get(&id(2)).await.unwrap().unwrap().1, Timestamp(1_000 + LONGEST));
        clock.advance(Duration::from_secs(2));
        assert!(kept.get(&id(1)).await.unwrap().is_some(), "known to be past its time until it is swept");
        over(&store, &clock).room_for(&id(3), &Owner::nobody(), None).await.unwrap();
        assert_eq!(kept.get(&id(1)).await.unwrap(), None);
        assert!(kept.get(&id(2)).await.unwrap().is_some());
        clock.advance(Duration::from_millis(LONGEST));
        kept.room_for(&id(3), &Owner::nobody(), None).await.unwrap();
        assert_eq!(store.list(Shelf::Uploads).count().await, 0, "nothing is left");
    }

    #[tokio::test]
    async fn no_more_are_kept_than_are_told_apart() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), None).await.unwrap();
        let others = (1..MOST as u64).map(|of| entry(of, 5_000));
        kept.table().extend(others);
        assert!(matches!(
            kept.room_for(&id(MOST as u64), &Owner::nobody(), None).await,
            Err(Refused::TooMany)
        ));
        let refused = kept.put(id(MOST as u64), "one more".to_owned(), Timestamp(5_000), None).await;
        assert!(matches!(refused, Err(Refused::TooMany)));
        assert_eq!(kept.get(&id(MOST as u64)).await.unwrap(), None);
        kept.put(id(0), "again".to_owned(), Timestamp(9_000), None).await.unwrap();
        clock.advance(Duration::from_secs(5));
        kept.put(id(MOST as u64), "one more".to_owned(), Timestamp(9_000), None).await.unwrap();
        assert_eq!(kept.table().len(), 2);
    }

    #[tokio::test]
    async fn one_owner_leaves_room_to_others() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        let theirs =
            |of| (id(of), Entry { until: Timestamp(5_000), owner: Some(Owner::nobody()), client: None });
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), None).await.unwrap();
        kept.table().extend((1..MOST_OF_ONE as u64).map(theirs));
        let more = id(MOST_OF_ONE as u64);
        let refused = kept.put(more, "one more".to_owned(), Timestamp(5_000), None).await;
        assert!(matches!(refused, Err(Refused::TooMany)));
        let other = Owner::of(&[(http::header::AUTHORIZATION, "x".parse().unwrap())].into_iter().collect());
        kept.room_for(&more, &other, None).await.unwrap();
        kept.put(id(0), "again".to_owned(), Timestamp(5_000), None).await.unwrap();

        let restarted = over(&store, &clock);
        restarted.room_for(&more, &other, None).await.unwrap();
        let counted = restarted.table().values().filter(|entry| entry.owner.is_some()).count();
        assert_eq!(counted, 1, "whose they are is known again");
    }

    #[tokio::test]
    async fn one_client_leaves_room_to_others_whatever_credentials_it_invents() {
        let (store, clock) = new();
        let kept = over(&store, &clock);
        let [greedy, other] = ["greedy", "other"].map(|name| Client::Token(name.into()));
        kept.put(id(0), "first".to_owned(), Timestamp(5_000), Some(&greedy)).await.unwrap();
        let invented =
            |of| (id(of), Entry { until: Timestamp(5_000), owner: None, client: Some(greedy.clone()) });
        kept.table().extend((1..MOST_OF_ONE as u64).map(invented));
        let more = id(MOST_OF_ONE as u64);
        let refused = kept.room_for(&more, &Owner::nobody(), Some(&greedy)).await;
        assert!(matches!(refused, Err(Refused::TooMany)));
        kept.room_for(&more, &Owner::nobody(), Some(&other)).await.unwrap();
        kept.put(id(0), "again".to_owned(), Timestamp(5_000), None).await.unwrap();
        let refused = kept.put(more, "one more".to_owned(), Timestamp(5_000), Some(&greedy)).await;
        assert!(matches!(refused, Err(Refused::TooMany)), "what is put again is still its client's");
    }

    #[tokio::test]
    async fn garbage_is_as_good_as_nothing() {
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
        assert_eq!(store.list(Shelf::Uploads).count().await, 2, "the rest is removed or in its time");
    }
}
