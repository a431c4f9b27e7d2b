//! The account of a bounded store: what lies there, what is being written, what is about to go.
//!
//! Owns the sums, and that they never say less than what lies there. Must not know how anything is removed.

use std::collections::HashMap;

use crate::store::StorageKey;
use crate::store::ledger::{Class, Ledger, Tally};

/// What is evicted is removed behind requests once the store is fuller than this, in hundredths of its ceiling.
const HIGH: u64 = 95;
/// Until it is no fuller than this.
const LOW: u64 = 90;

/// What was only seen takes no more than this part of a store before it makes room for others.
const SIGHTINGS: u64 = 16;
/// Nor may there be more of it than this, whatever room there is.
const MOST_SIGHTINGS: usize = 100_000;

/// How full a store is, in bytes of whole pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The ceiling.
    pub max: u64,
    /// Everything, what is being written included.
    pub used: u64,
    /// What is being written.
    pub staged: u64,
    /// Archives and trust artifacts.
    pub archives: Tally,
    /// Documents.
    pub documents: Tally,
    /// Pins, histories, divergences. Only pins of what was never verified are evicted.
    pub records: Tally,
    /// What was set aside.
    pub quarantined: u64,
    /// What was evicted since the start.
    pub evicted: Tally,
    /// Whether what an earlier process left is counted yet.
    pub counted: bool,
}

/// The sums, and which value goes first.
#[derive(Debug)]
pub(super) struct Account {
    max: u64,
    pub(super) ledger: Ledger,
    staged: u64,
    quarantined: u64,
    /// Chosen to go and not gone yet.
    leaving: HashMap<StorageKey, u64>,
    evicted: Tally,
    pub(super) counted: bool,
}

impl Account {
    /// Nothing, below `max` bytes.
    pub(super) fn new(max: u64, ledger: Ledger) -> Self {
        Self {
            max,
            ledger,
            staged: 0,
            quarantined: 0,
            leaving: HashMap::new(),
            evicted: Tally::default(),
            counted: false,
        }
    }

    /// The ceiling.
    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// Another ceiling.
    pub(super) fn resize(&mut self, max: u64) {
        self.max = max;
    }

    fn used(&self) -> u64 {
        self.ledger.total() + self.staged + self.quarantined + self.leaving.values().sum::<u64>()
    }

    /// Sets `bytes` apart for something that is about to be written, if there is room.
    pub(super) fn stage(&mut self, bytes: u64) -> bool {
        let fits = self.used().saturating_add(bytes) <= self.max;
        if fits {
            self.staged += bytes;
        }
        fits
    }

    /// What was set apart is written, or will not be.
    pub(super) fn unstage(&mut self, bytes: u64) {
        self.staged = self.staged.saturating_sub(bytes);
    }

    /// What was counted as the value of `key` did not come to be that, and `staged` bytes of it are staged again.
    pub(super) fn uncommit(&mut self, key: &StorageKey, before: Option<u64>, staged: u64) {
        self.staged += staged;
        match before {
            Some(size) => self.ledger.insert(key.clone(), size),
            None => drop(self.ledger.remove(key)),
        }
    }

    /// The value of `key` is about to be moved elsewhere; so many bytes, which are set apart until it is.
    pub(super) fn set_apart(&mut self, key: &StorageKey) -> u64 {
        let size = self.ledger.remove(key).unwrap_or(0);
        self.staged += size;
        size
    }

    /// Replaces what is known of the quarantine.
    pub(super) fn quarantine(&mut self, bytes: u64) {
        self.quarantined = bytes;
    }

    /// Whether something should go before somebody waits for it.
    pub(super) fn is_high(&self) -> bool {
        self.used() > self.max / 100 * HIGH || self.is_crowded()
    }

    /// Whether more was only seen than is remembered.
    fn is_crowded(&self) -> bool {
        self.ledger.tally(Class::Sightings).values > MOST_SIGHTINGS
    }

    /// The next to go while the store is fuller than it should be.
    pub(super) fn surplus(&mut self) -> Option<StorageKey> {
        if self.used() > self.max / 100 * LOW || self.is_crowded() { self.victim() } else { None }
    }

    /// The next to go. It counts until it is [`gone`](Self::gone), and is nobody's to read.
    pub(super) fn victim(&mut self) -> Option<StorageKey> {
        let is_theirs = self.ledger.tally(Class::Sightings).bytes > self.max / SIGHTINGS || self.is_crowded();
        let sighting = if is_theirs { self.ledger.sighting() } else { None };
        let (key, size) = sighting.or_else(|| self.ledger.victim())?;
        self.ledger.remove(&key);
        self.leaving.insert(key.clone(), size);
        Some(key)
    }

    /// Whether `key` was chosen to go.
    pub(super) fn is_leaving(&self, key: &StorageKey) -> bool {
        !self.leaving.is_empty() && self.leaving.contains_key(key)
    }

    /// Whether anything was chosen to go and is still there.
    pub(super) fn is_any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// A victim is not there any more.
    pub(super) fn gone(&mut self, key: &StorageKey) {
        if let Some(size) = self.leaving.remove(key) {
            self.evicted.values += 1;
            self.evicted.bytes += size;
        }
    }

    /// A victim could not be removed.
    pub(super) fn stays(&mut self, key: &StorageKey) {
        if let Some(size) = self.leaving.remove(key) {
            self.ledger.insert(key.clone(), size);
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            max: self.max,
            used: self.used(),
            staged: self.staged,
            archives: self.ledger.tally(Class::Archives),
            documents: self.ledger.tally(Class::Documents),
            records: self.ledger.tally(Class::Records).and(self.ledger.tally(Class::Sightings)),
            quarantined: self.quarantined,
            evicted: self.evicted,
            counted: self.counted,
        }
    }
}
