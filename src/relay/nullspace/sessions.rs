//! The resumable uploads that are under way, found again after a restart.
//!
//! Owns which are in memory and that each is there once, whoever asks for it. Must not know what is uploaded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tracing::warn;

use super::route::{Upload, plainly};
use super::session::{Facts, HELD_UNIT, MOST_HELD_OF_ALL, Record, Session};
use crate::clock::{Clock, Timestamp};
use crate::domain::Sha256;
use crate::limit::Client;
use crate::relay::kept::Kept;
use crate::relay::shares::Shares;
use crate::relay::{Refused, token::Owner};
use crate::store::{Shelf, StorageKey, Store, StoreError};

/// How long an upload that nobody asks for stays in memory, and with it the early parts that are held.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// An upload in memory.
#[derive(Debug)]
pub(super) struct Live {
    id: Sha256,
    pub(super) facts: Facts,
    until: Timestamp,
    session: tokio::sync::Mutex<Session>,
    /// Who sends a part waits for whoever is sending the same one.
    turns: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
    used: AtomicU64,
}

impl Live {
    /// Whether it is `owner`'s.
    pub(super) fn is_of(&self, owner: &Owner) -> bool {
        self.facts.owner.is(owner)
    }

    /// The upload itself.
    pub(super) async fn session(&self) -> tokio::sync::MutexGuard<'_, Session> {
        self.session.lock().await
    }

    /// Waits until nobody else sends this part.
    pub(super) async fn turn(&self, number: u32) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(number).or_default())
        };
        turn.lock_owned().await
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: Kept<Record>,
    clock: Arc<dyn Clock>,
    mount: String,
    live: Mutex<HashMap<Sha256, Arc<Live>>>,
    room: Arc<Shares>,
}

impl Sessions {
    /// Those of the API mounted at `mount`, kept in `store`.
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, mount: &str) -> Self {
        let kept = Kept::new(store, Arc::clone(&clock), Shelf::Sessions, StorageKey::Session);
        let units = usize::try_from(MOST_HELD_OF_ALL / HELD_UNIT).unwrap_or(usize::MAX);
        let room = Arc::new(Shares::of(units));
        Self { kept, clock, mount: mount.to_owned(), live: Mutex::default(), room }
    }

    /// Begins to remember an upload until a moment, unless it is remembered already.
    pub(super) async fn begin(
        &self,
        upload: Upload<'_>,
        facts: Facts,
        until: Timestamp,
        client: &Client,
    ) -> Result<(), Refused> {
        // A creation that is repeated with its key answers the same upload again.
        if self.find(upload).await?.is_some_and(|live| live.facts == facts) {
            return Ok(());
        }
        let id = self.id(upload);
        self.leave(&id).await;
        self.kept.put(id, Record::new(facts), until, Some(client)).await
    }

    /// The upload, if it is remembered and not past its time.
    pub(super) async fn find(&self, upload: Upload<'_>) -> Result<Option<Arc<Live>>, StoreError> {
        let (id, now) = (self.id(upload), self.clock.now());
        let used = self.clock.monotonic();
        let held = self.swept(now, used).get(&id).cloned();
        let live = match held {
            Some(live) => live,
            None => {
                let Some((record, until)) = self.kept.get(&id).await? else { return Ok(None) };
                let session = tokio::sync::Mutex::new(Session::new(&record, Arc::clone(&self.room)));
                let (facts, turns) = (record.facts, Mutex::default());
                let live = Live { id, facts, until, session, turns, used: AtomicU64::new(0) };
                if until < now {
                    return Ok(None);
                }
                // Whoever was first has changed it since, perhaps.
                Arc::clone(self.live().entry(id).or_insert_with(|| Arc::new(live)))
            }
        };
        live.used.store(millis(used), Ordering::Relaxed);
        Ok(Some(live))
    }

    /// Keeps what became of an upload.
    pub(super) async fn keep(&self, live: &Live, session: &Session) -> Result<(), Refused> {
        if session.over {
            return Ok(());
        }
        self.kept.put(live.id, session.record(&live.facts), live.until, None).await
    }

    /// Forgets an upload that is over.
    pub(super) async fn end(&self, upload: Upload<'_>) {
        let id = self.id(upload);
        self.leave(&id).await;
        if let Err(error) = self.kept.remove(&id).await {
            warn!(%error, "what was remembered of an upload that is over could not be removed");
        }
    }

    /// Takes an upload out of memory, so that whoever is still at it keeps nothing more of it.
    async fn leave(&self, id: &Sha256) {
        let live = self.live().remove(id);
        if let Some(live) = live {
            live.session().await.over = true;
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<Sha256, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those in memory, without those that are idle or past their time and that nobody is at.
    fn swept(&self, now: Timestamp, monotonic: Duration) -> MutexGuard<'_, HashMap<Sha256, Arc<Live>>> {
        let oldest = millis(monotonic).saturating_sub(millis(IDLE));
        let mut all = self.live();
        all.retain(|_, live| {
            let current = live.until >= now && live.used.load(Ordering::Relaxed) >= oldest;
            current || Arc::strong_count(live) > 1
        });
        all
    }

    fn id(&self, upload: Upload<'_>) -> Sha256 {
        let names = [&*self.mount, &*plainly(upload.uploads), &*plainly(upload.id)];
        Sha256::of(names.join("\0").as_bytes())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
