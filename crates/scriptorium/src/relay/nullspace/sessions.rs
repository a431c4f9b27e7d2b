//! The unfinished resumable uploads, in memory and in the store.
//!
//! Owns which uploads are in memory, and that all requests for an upload share one state. Must not know what is uploaded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nullspace::{UploadFacts, UploadPath, decoded};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OwnedMutexGuard;
use tracing::warn;

use super::session::{HELD_UNIT, MOST_HELD_OF_ALL, SessionRecord, UploadSession};
use crate::admission::Admission;
use crate::clock::{Clock, Timestamp};
use crate::domain::Sha256;
use crate::limit::Client;
use crate::relay::upload_records::UploadRecords;
use crate::relay::{WriteRefusal, owner::Owner, quarter_shares};
use crate::store::{KeyPrefix, StorageKey, Store, StoreError};

/// How long an upload without requests stays in memory, with its out-of-order parts.
const IDLE: Duration = Duration::from_secs(15 * 60);

type LiveUploads = HashMap<Sha256, Arc<LiveUpload>>;

/// An upload in memory.
#[derive(Debug)]
pub(super) struct LiveUpload {
    id: Sha256,
    pub(super) owner: Owner,
    pub(super) facts: UploadFacts,
    until: Timestamp,
    pub(super) session: tokio::sync::Mutex<UploadSession>,
    /// A lock for each part that is being sent.
    part_locks: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
    /// When the last request came, in milliseconds of the monotonic clock.
    used: AtomicU64,
}

impl LiveUpload {
    /// Waits until no other request sends this part.
    pub(super) async fn lock_part(&self, number: u32) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.part_locks.lock();
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(number).or_default())
        };
        lock.lock_owned().await
    }
}

/// All unfinished uploads of one mount.
#[derive(Debug)]
pub(super) struct UploadSessions {
    records: UploadRecords<SessionRecord>,
    clock: Arc<dyn Clock>,
    mount: String,
    live: Mutex<LiveUploads>,
    room: Arc<Admission<Client>>,
}

impl UploadSessions {
    /// The uploads of the API mounted at `mount`, recorded in `store`.
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, mount: &str) -> Self {
        let records = UploadRecords::new(store, Arc::clone(&clock), KeyPrefix::Sessions, StorageKey::Session);
        let units = usize::try_from(MOST_HELD_OF_ALL / HELD_UNIT).unwrap_or(usize::MAX);
        Self { records, clock, mount: mount.to_owned(), live: Mutex::default(), room: quarter_shares(units) }
    }

    /// Records a new upload until a moment. An upload that is recorded already stays as it is.
    pub(super) async fn begin(
        &self,
        upload: UploadPath<'_>,
        record: SessionRecord,
        until: Timestamp,
        client: &Client,
    ) -> Result<(), WriteRefusal> {
        // A registry answers a creation that is repeated with its key with the same upload.
        let live = self.find(upload).await?;
        if live.is_some_and(|live| live.facts == record.facts && live.owner == record.owner) {
            return Ok(());
        }
        let id = self.id(upload);
        self.evict(&id).await;
        self.records.put(id, record, until, Some(client)).await
    }

    /// The upload, if it is recorded and has not expired.
    pub(super) async fn find(&self, upload: UploadPath<'_>) -> Result<Option<Arc<LiveUpload>>, StoreError> {
        let (id, now) = (self.id(upload), self.clock.now());
        let used = self.clock.monotonic();
        let held = self.swept(now, used).get(&id).cloned();
        let live = match held {
            Some(live) => live,
            None => {
                let Some((record, until)) = self.records.get(&id).await? else { return Ok(None) };
                if until < now {
                    return Ok(None);
                }
                let SessionRecord { owner, facts, progress } = record;
                let session = tokio::sync::Mutex::new(UploadSession::new(progress, Arc::clone(&self.room)));
                let (part_locks, used) = (Mutex::default(), AtomicU64::new(0));
                let live = LiveUpload { id, owner, facts, until, session, part_locks, used };
                // Another request may have loaded and changed it meanwhile.
                Arc::clone(self.live.lock().entry(id).or_insert_with(|| Arc::new(live)))
            }
        };
        live.used.store(millis(used), Ordering::Relaxed);
        Ok(Some(live))
    }

    /// Stores the state of an upload.
    pub(super) async fn save(&self, live: &LiveUpload, session: &UploadSession) -> Result<(), WriteRefusal> {
        if session.ended {
            return Ok(());
        }
        let (owner, facts, progress) = (live.owner.clone(), live.facts.clone(), session.progress.clone());
        self.records.put(live.id, SessionRecord { owner, facts, progress }, live.until, None).await
    }

    /// The same, where a failure must not fail the request.
    pub(super) async fn try_save(&self, live: &LiveUpload, session: &UploadSession) {
        if let Err(error) = self.save(live, session).await {
            warn!(%error, "the state of an upload cannot be stored");
        }
    }

    /// Forgets an upload that has ended.
    pub(super) async fn end(&self, upload: UploadPath<'_>) {
        let id = self.id(upload);
        self.evict(&id).await;
        if let Err(error) = self.records.remove(&id).await {
            warn!(%error, "the record of an upload that has ended cannot be removed");
        }
    }

    /// Takes an upload out of memory. Requests that still use it store nothing more.
    async fn evict(&self, id: &Sha256) {
        let live = self.live.lock().remove(id);
        if let Some(live) = live {
            live.session.lock().await.ended = true;
        }
    }

    /// The uploads in memory. Idle and expired uploads without a request are removed first.
    fn swept(&self, now: Timestamp, monotonic: Duration) -> MutexGuard<'_, LiveUploads> {
        let oldest = millis(monotonic).saturating_sub(millis(IDLE));
        let mut all = self.live.lock();
        all.retain(|_, live| {
            let current = live.until >= now && live.used.load(Ordering::Relaxed) >= oldest;
            current || Arc::strong_count(live) > 1
        });
        all
    }

    fn id(&self, upload: UploadPath<'_>) -> Sha256 {
        let names = [&*self.mount, &*decoded(upload.uploads), &*decoded(upload.id)];
        Sha256::of(names.join("\0").as_bytes())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
