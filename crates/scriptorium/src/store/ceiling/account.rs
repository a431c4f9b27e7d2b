//! The account of a bounded store: the bytes that are stored, being written and being evicted.
//!
//! Owns the sums, which are never less than the space in use. Must not know how anything is removed.

use std::collections::HashMap;

use crate::store::ledger::{EvictionClass, Ledger};
use crate::store::space::Tally;
use crate::store::{StorageKey, StorageKeys};

/// Above this share of the ceiling, in percent, the background evicts.
const HIGH: u64 = 95;
/// It stops at this share.
const LOW: u64 = 90;

/// Above this part of the store, sightings are evicted before all other values.
const SIGHTINGS_PART: u64 = 16;
/// Above this number of them, they are evicted even if there is room.
const MOST_SIGHTINGS: usize = 100_000;

/// How full a store is, in bytes of whole disk pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) max: u64,
    /// Everything, including bytes that are being written.
    pub(crate) used: u64,
    /// Bytes that are being written.
    pub(crate) staged: u64,
    /// Archives and trust artifacts.
    pub(crate) archives: Tally,
    pub(crate) documents: Tally,
    /// Pins, histories, divergences and the like.
    pub(crate) records: Tally,
    pub(crate) quarantined: u64,
    /// Evicted since the start.
    pub(crate) evicted: Tally,
    /// Whether the values of an earlier process are counted yet.
    pub(crate) counted: bool,
}

impl Usage {
    /// What may be written before anything is evicted for it.
    pub(crate) fn free(&self) -> u64 {
        (self.max / 100 * HIGH).saturating_sub(self.used)
    }
}

/// What values that come together find, in bytes of whole disk pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vacancy {
    /// What they may take at most: the rest is of what may not be evicted.
    pub(crate) most: u64,
    /// What they may take before anything is evicted for them.
    pub(crate) free: u64,
}

#[derive(Debug)]
pub(super) struct Account {
    max: u64,
    pub(super) ledger: Ledger,
    staged: u64,
    pub(super) quarantined: u64,
    /// Chosen for eviction and not removed yet.
    leaving: HashMap<StorageKey, u64>,
    evicted: Tally,
    pub(super) counted: bool,
    /// Whether values make room for others.
    evicts: bool,
}

impl Account {
    pub(super) fn new(max: u64, ledger: Ledger) -> Self {
        Self {
            max,
            ledger,
            staged: 0,
            quarantined: 0,
            leaving: HashMap::new(),
            evicted: Tally::default(),
            counted: false,
            evicts: true,
        }
    }

    /// From now on nothing is evicted: where there is no room the storage is full.
    pub(super) fn evict_nothing(&mut self) {
        self.evicts = false;
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    pub(super) fn resize(&mut self, max: u64) {
        self.max = max;
    }

    fn used(&self) -> u64 {
        self.ledger.total() + self.staged + self.quarantined + self.leaving.values().sum::<u64>()
    }

    /// Reserves `bytes` for a write, if there is room.
    pub(super) fn stage(&mut self, bytes: u64) -> bool {
        let fits = self.used().saturating_add(bytes) <= self.max;
        if fits {
            self.staged += bytes;
        }
        fits
    }

    /// Ends a reservation: the bytes are written and counted, or will not be written.
    pub(super) fn unstage(&mut self, bytes: u64) {
        self.staged = self.staged.saturating_sub(bytes);
    }

    /// Undoes the counting of a commit that failed: `before` is stored again, and `staged` bytes are staged again.
    pub(super) fn uncommit(&mut self, key: &StorageKey, before: Option<u64>, staged: u64) {
        self.staged += staged;
        match before {
            Some(size) => self.ledger.insert(key.clone(), size),
            None => drop(self.ledger.remove(key)),
        }
    }

    /// Counts the value of `key`, which is about to be moved, as staged until it is moved. Returns its bytes.
    pub(super) fn stage_again(&mut self, key: &StorageKey) -> u64 {
        let size = self.ledger.remove(key).unwrap_or(0);
        self.staged += size;
        size
    }

    /// Whether the background should evict.
    pub(super) fn is_high(&self) -> bool {
        self.used() > self.max / 100 * HIGH || self.is_crowded()
    }

    /// Whether there are too many sightings, whatever room there is.
    fn is_crowded(&self) -> bool {
        self.ledger.tally(EvictionClass::Sightings).values > MOST_SIGHTINGS
    }

    /// Chooses a value for eviction while the store is fuller than it should be. Sightings stay while they keep to their share:
    /// nobody can be asked for them again, and they take next to nothing.
    pub(super) fn surplus(&mut self) -> Option<StorageKey> {
        let is_full = self.used() > self.max / 100 * LOW;
        let sighting = self.surplus_sighting();
        let chosen =
            sighting.or_else(|| is_full.then(|| self.ledger.victim_of(&EvictionClass::FETCHABLE)).flatten());
        self.leave(chosen)
    }

    /// Chooses a value for eviction. It counts until it is [`evicted`](Self::evicted), and nobody may read it.
    pub(super) fn victim(&mut self) -> Option<StorageKey> {
        let chosen = self.surplus_sighting().or_else(|| self.ledger.victim());
        self.leave(chosen)
    }

    /// A sighting to evict before anything else, because there are too many of them.
    fn surplus_sighting(&mut self) -> Option<(StorageKey, u64)> {
        let bytes = self.ledger.tally(EvictionClass::Sightings).bytes;
        let are_many = bytes > self.max / SIGHTINGS_PART || self.is_crowded();
        are_many.then(|| self.ledger.victim_of(&[EvictionClass::Sightings])).flatten()
    }

    /// Takes a chosen value out of the ledger, if this account evicts at all.
    fn leave(&mut self, chosen: Option<(StorageKey, u64)>) -> Option<StorageKey> {
        let (key, size) = chosen.filter(|_| self.evicts)?;
        self.ledger.remove(&key);
        self.leaving.insert(key.clone(), size);
        Some(key)
    }

    /// Whether `key` was chosen for eviction.
    pub(super) fn is_leaving(&self, key: &StorageKey) -> bool {
        !self.leaving.is_empty() && self.leaving.contains_key(key)
    }

    /// Whether an eviction is under way.
    pub(super) fn is_any_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Ends an eviction: the value was removed.
    pub(super) fn evicted(&mut self, key: &StorageKey) {
        if let Some(bytes) = self.leaving.remove(key) {
            self.evicted.add(Tally { values: 1, bytes });
        }
    }

    /// Ends an eviction: the value could not be removed.
    pub(super) fn stays(&mut self, key: &StorageKey) {
        if let Some(size) = self.leaving.remove(key) {
            self.ledger.insert(key.clone(), size);
        }
    }

    /// What the values of `keys` find, which may be stored already or not.
    pub(super) fn vacancy(&self, keys: &StorageKeys) -> Vacancy {
        let fixed = self.ledger.fixed(keys) + self.quarantined;
        Vacancy { most: self.max.saturating_sub(fixed), free: self.usage().free() }
    }

    pub(super) fn usage(&self) -> Usage {
        let mut records = self.ledger.tally(EvictionClass::Records);
        records.add(self.ledger.tally(EvictionClass::Sightings));
        Usage {
            max: self.max,
            used: self.used(),
            staged: self.staged,
            archives: self.ledger.tally(EvictionClass::Archives),
            documents: self.ledger.tally(EvictionClass::Documents),
            records,
            quarantined: self.quarantined,
            evicted: self.evicted,
            counted: self.counted,
        }
    }
}
