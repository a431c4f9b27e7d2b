//! One resumable upload: its stored record, and the parts that arrived out of order.
//!
//! Owns the record's form and how many out-of-order parts are held. Must not know where records are stored, nor HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use nullspace::{PartHasher, UploadFacts, UploadProgress};
use serde::{Deserialize, Serialize};

use crate::admission::{Admission, Slot};
use crate::intake::Received;
use crate::limit::Client;
use crate::relay::owner::Owner;
use crate::relay::upload_records::Owned;

/// The most out-of-order parts that are held of one upload, and the most bytes of them.
const MOST_HELD: usize = 16;
const MOST_HELD_BYTES: u64 = 256 << 20;

/// The most bytes of out-of-order parts of all uploads.
pub(super) const MOST_HELD_OF_ALL: u64 = 1 << 30;

/// The unit in which those bytes are counted.
pub(super) const HELD_UNIT: u64 = 1024;

/// The stored record of an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    pub(super) owner: Owner,
    #[serde(flatten)]
    pub(super) facts: UploadFacts,
    pub(super) progress: UploadProgress,
}

impl Owned for SessionRecord {
    fn owner(&self) -> &Owner {
        &self.owner
    }
}

/// An out-of-order part on disk, and its share of the room.
#[derive(Debug)]
struct HeldPart {
    part: Received,
    _room: Slot<Client>,
}

/// The changing state of an unfinished upload.
#[derive(Debug)]
pub(super) struct UploadSession {
    pub(super) progress: UploadProgress,
    held: BTreeMap<u32, HeldPart>,
    room: Arc<Admission<Client>>,
    /// Whether the upload has ended, so that its record is not stored any more.
    pub(super) ended: bool,
}

impl UploadSession {
    /// Continues from `progress`. Out-of-order parts take their units from `room`.
    pub(super) fn new(progress: UploadProgress, room: Arc<Admission<Client>>) -> Self {
        Self { progress, held: BTreeMap::new(), room, ended: false }
    }

    /// Forgets a part that is being replaced, or may have been replaced.
    pub(super) fn forget(&mut self, number: u32) {
        self.progress.forget(number);
        self.held.remove(&number);
        if self.progress.next().is_none() {
            self.held.clear();
        }
    }

    /// Records that the registry has this part. Hashes it and the held parts after it, or holds it until the parts before
    /// it are hashed.
    pub(super) async fn accept(&mut self, number: u32, part: &Received, client: &Client) {
        // Before any wait: the request may end while the part is hashed.
        self.progress.accept(number, part.sha256());
        match self.progress.next() {
            Some(next) if number == next => self.hash(part).await,
            Some(next) if number > next => self.hold(number, part, client),
            Some(_) | None => {}
        }
    }

    /// Hashes the next part, and the held parts after it.
    async fn hash(&mut self, part: &Received) {
        let mut part = part.clone();
        loop {
            let hashed = match self.progress.hasher() {
                Some(hasher) => hashed(hasher, &part).await,
                None => None,
            };
            self.progress.advance(hashed);
            let Some(next) = self.progress.next() else { return self.held.clear() };
            let Some(held) = self.held.remove(&next) else { return };
            part = held.part;
        }
    }

    /// Holds an out-of-order part. If there is no room, the part is dropped, and the hash of the whole stays unknown unless
    /// the client sends the part again.
    fn hold(&mut self, number: u32, part: &Received, client: &Client) {
        let bytes: u64 = self.held.values().map(|held| held.part.length()).sum();
        let fits = bytes.saturating_add(part.length()) <= MOST_HELD_BYTES && self.held.len() < MOST_HELD;
        let units = usize::try_from(part.length().div_ceil(HELD_UNIT)).ok().filter(|_| fits);
        if self.held.contains_key(&number) {
            return;
        }
        match units.and_then(|units| self.room.take_now(client, units).ok()) {
            Some(room) => drop(self.held.insert(number, HeldPart { part: part.clone(), _room: room })),
            None => tracing::info!(part = number, "an out-of-order part of an upload is not held: no room"),
        }
    }
}

/// `hasher` with the bytes of `part` added, or `None` if the part cannot be read.
async fn hashed(mut hasher: PartHasher, part: &Received) -> Option<PartHasher> {
    let mut pieces = part.pieces();
    while let Some(piece) = pieces.try_next().await.ok()? {
        hasher.update(&piece);
    }
    Some(hasher)
}
