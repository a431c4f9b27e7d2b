//! What is known of one resumable upload: its parts' sizes, which of them the registry took, and the hash of the whole.
//!
//! Owns the record and its rules, and how far early parts are held back until their turn. Must not know where records
//! are kept, nor HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use crate::domain::Sha256;
use crate::intake::Received;
use crate::limit::Client;
use crate::relay::kept::Owned;
use crate::relay::shares::{Share, Shares};
use crate::relay::token::Owner;

/// Early parts that are held of one upload, and their bytes.
const MOST_HELD: usize = 16;
const MOST_HELD_BYTES: u64 = 256 << 20;

/// Bytes of early parts of all uploads.
pub(super) const MOST_HELD_OF_ALL: u64 = 1 << 30;

/// The unit that those are counted in.
pub(super) const HELD_UNIT: u64 = 1024;

/// Most parts of an upload that is remembered.
const MOST_PARTS: u32 = 10_000;

/// What does not change while the upload lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) owner: Owner,
    pub(super) content_length: u64,
    pub(super) part_size: u64,
    pub(super) part_count: u32,
    /// The SHA-256 of the whole, where it was declared at the start.
    pub(super) declared: Option<String>,
}

impl Facts {
    /// Whether they agree with each other and are within bounds.
    pub(super) fn add_up(&self) -> bool {
        let parts = match self.part_size {
            0 => return false,
            size => self.content_length.div_ceil(size),
        };
        let count = u64::from(self.part_count);
        self.part_count <= MOST_PARTS && (parts == count || (parts == 0 && count == 1))
    }

    /// The bytes of a part; `None` when there is no such part.
    pub(super) fn length_of(&self, number: u32) -> Option<u64> {
        let before = u64::from(number).saturating_mul(self.part_size);
        let rest = self.content_length.saturating_sub(before);
        (number < self.part_count).then_some(rest.min(self.part_size))
    }
}

/// What is kept of an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) facts: Facts,
    progress: Progress,
}

impl Owned for Record {
    fn owner(&self) -> &Owner {
        &self.facts.owner
    }
}

impl Record {
    pub(super) fn new(facts: Facts) -> Self {
        let state = HEXLOWER.encode(&sha2::Sha256::new().serialize());
        Self { facts, progress: Progress { accepted: BTreeMap::new(), next: 0, state, spoiled: false } }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    /// The digests of the parts that the registry took.
    accepted: BTreeMap<u32, Sha256>,
    /// The first part that the hash of the whole does not cover, and the state of that hash.
    next: u32,
    state: String,
    /// Whether a part that it covers was replaced.
    spoiled: bool,
}

/// An early part, on disk, and its share of the room.
#[derive(Debug)]
struct Held {
    part: Received,
    _room: Share,
}

/// What is known of a part that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// None was taken before, as far as is known here.
    None,
    /// Just this one was.
    Same,
    /// Another one was.
    Other,
}

/// An upload under way.
#[derive(Debug)]
pub(super) struct Session {
    progress: Progress,
    part_count: u32,
    held: BTreeMap<u32, Held>,
    room: Arc<Shares>,
    /// Whether it is over, so that nothing is to be kept of it any more.
    pub(super) over: bool,
}

impl Session {
    /// Goes on where `record` stands; early parts take of `room`.
    pub(super) fn new(record: &Record, room: Arc<Shares>) -> Self {
        let (progress, part_count) = (record.progress.clone(), record.facts.part_count);
        Self { progress, part_count, held: BTreeMap::new(), room, over: false }
    }

    /// What is to be kept of it.
    pub(super) fn record(&self, facts: &Facts) -> Record {
        Record { facts: facts.clone(), progress: self.progress.clone() }
    }

    /// What the registry took as this part before.
    pub(super) fn earlier(&self, number: u32, sha256: &Sha256) -> Earlier {
        match self.progress.accepted.get(&number) {
            None => Earlier::None,
            Some(taken) if taken == sha256 => Earlier::Same,
            Some(_) => Earlier::Other,
        }
    }

    /// Forgets a part that is being replaced, or may have been.
    pub(super) fn forget(&mut self, number: u32) {
        self.progress.accepted.remove(&number);
        self.held.remove(&number);
        self.progress.spoiled |= number < self.progress.next;
        if self.progress.spoiled {
            self.held.clear();
        }
    }

    /// The registry has this part. Hashes it, and those behind it that were held, or holds it until its turn.
    pub(super) async fn accept(&mut self, number: u32, part: &Received, client: &Client) {
        // First, for whoever waits for the rest may leave.
        self.progress.accepted.insert(number, part.sha256());
        self.cover(number, part, client).await;
    }

    /// The SHA-256 of the whole, if all parts passed through here.
    pub(super) fn whole(&self) -> Option<Sha256> {
        let covered = !self.progress.spoiled && self.progress.next == self.part_count;
        let hasher = restored(&self.progress.state).filter(|_| covered)?;
        Some(Sha256::new(hasher.finalize().into()))
    }

    async fn cover(&mut self, number: u32, part: &Received, client: &Client) {
        if self.progress.spoiled || number < self.progress.next {
            return;
        }
        if number > self.progress.next {
            return self.hold(number, part, client);
        }
        let mut part = part.clone();
        loop {
            let Some(hasher) = restored(&self.progress.state) else { break };
            let Some(state) = hashed(hasher, &part).await else { break };
            self.progress.state = state;
            self.progress.next += 1;
            let Some(held) = self.held.remove(&self.progress.next) else { return };
            part = held.part;
        }
        self.progress.spoiled = true;
        self.held.clear();
    }

    /// Without room the part is let go, and the whole is not known unless it comes again.
    fn hold(&mut self, number: u32, part: &Received, client: &Client) {
        let bytes: u64 = self.held.values().map(|held| held.part.length()).sum();
        let fits = bytes.saturating_add(part.length()) <= MOST_HELD_BYTES && self.held.len() < MOST_HELD;
        let units = usize::try_from(part.length().div_ceil(HELD_UNIT)).ok().filter(|_| fits);
        if self.held.contains_key(&number) {
            return;
        }
        match units.and_then(|units| self.room.take_now(client, units)) {
            Some(room) => drop(self.held.insert(number, Held { part: part.clone(), _room: room })),
            None => tracing::info!(part = number, "an early part of an upload is not held: no room"),
        }
    }
}

/// The state of `hasher` after `part`; `None` when the part cannot be read.
async fn hashed(mut hasher: sha2::Sha256, part: &Received) -> Option<String> {
    let mut pieces = part.pieces();
    while let Some(piece) = pieces.try_next().await.ok()? {
        hasher.update(&piece);
    }
    Some(HEXLOWER.encode(&hasher.serialize()))
}

fn restored(state: &str) -> Option<sha2::Sha256> {
    let bytes = HEXLOWER.decode(state.as_bytes()).ok()?;
    let state = SerializedState::<sha2::Sha256>::try_from(&*bytes).ok()?;
    sha2::Sha256::deserialize(&state).ok()
}
