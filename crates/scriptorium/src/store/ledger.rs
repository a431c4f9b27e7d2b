//! The size and the uses of every stored value, and the choice of the next value to evict.
//!
//! A value is worth what its next miss costs (one request and its bytes) times how often it is used, for each byte that
//! it takes. Uses fade by half while the values of a class are used four times each on average, so neither a clock nor a
//! setting is needed, and a quiet night changes nothing. The cheapest of a few values drawn at random is evicted.
//! `benches/evict` compares this with LRU.
//!
//! Owns that choice and the counts that it rests on. What must stay is handed in as sets of
//! keys. Must not know files, time or I/O.

use std::collections::HashMap;

use fastrand::Rng;

use super::space::Tally;
use super::{StorageKey, StorageKeys};
use pool::ValuePool;

mod pool;

#[cfg(test)]
mod tests;

/// In which order values are evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EvictionClass {
    /// Archives and trust artifacts are evicted first, since a registry has them.
    Archives,
    /// Documents are small, and evicted when no archive may be.
    Documents,
    /// Pins of releases whose archive was never verified, and evidence, are evicted last. They go before all others when they
    /// take more than their share, since a registry can invent any number of them.
    Sightings,
    /// Records that only this proxy has, such as pins, are never evicted.
    Records,
}

impl EvictionClass {
    /// Those that a registry has, in the order in which they are evicted.
    pub(super) const FETCHABLE: [Self; 2] = [Self::Archives, Self::Documents];

    /// Those of which anything may be evicted, in that order.
    pub(super) const EVICTABLE: [Self; 3] = [Self::Archives, Self::Documents, Self::Sightings];

    pub(crate) fn of(key: &StorageKey) -> Self {
        match key {
            StorageKey::Archive(_) | StorageKey::TrustArtifact(_) => Self::Archives,
            StorageKey::Document { .. } | StorageKey::OfRelease { .. } | StorageKey::Slot { .. } => {
                Self::Documents
            }
            StorageKey::Sighting { .. } | StorageKey::Evidence(_) => Self::Sightings,
            StorageKey::Pin { .. }
            | StorageKey::History(_)
            | StorageKey::Divergence(_)
            | StorageKey::Upload(_)
            | StorageKey::Session(_)
            | StorageKey::Mirror(_)
            | StorageKey::Invalidations
            | StorageKey::Refusals
            | StorageKey::News
            | StorageKey::Starts
            | StorageKey::Bundles
            | StorageKey::Uses
            | StorageKey::Quarantined(_) => Self::Records,
        }
    }
}

/// The account of everything that is stored.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By class.
    pools: [ValuePool; 4],
    /// Apart from the values: a reader may come before its value is stored, and stay when it is replaced.
    readers: HashMap<StorageKey, u32>,
    /// What must stay, by who asked for that.
    kept: HashMap<String, StorageKeys>,
    rng: Rng,
}

impl Ledger {
    /// An empty ledger, which draws the candidates for eviction with `rng`.
    pub(crate) fn new(rng: Rng) -> Self {
        Self { pools: Default::default(), readers: HashMap::new(), kept: HashMap::new(), rng }
    }

    /// Counts a value of `size` bytes. A new value counts as used once; one that replaces another keeps its uses.
    pub(crate) fn insert(&mut self, key: StorageKey, size: u64) {
        self.pool_mut(&key).insert(key, size);
    }

    /// Counts a value that was found in the storage, with its uses so far, unless `key` is known: what was inserted
    /// meanwhile is newer.
    pub(crate) fn restore(&mut self, key: StorageKey, size: u64, uses: f32) {
        self.pool_mut(&key).restore(key, size, uses);
    }

    /// Forgets a value and returns its size.
    pub(crate) fn remove(&mut self, key: &StorageKey) -> Option<u64> {
        self.pool_mut(key).remove(key)
    }

    /// Counts a use of a value, if it is stored.
    pub(crate) fn touch(&mut self, key: &StorageKey) {
        self.pool_mut(key).touch(key);
    }

    /// Counts a reader: the value, even one that arrives later, is not evicted until its readers are released.
    pub(crate) fn hold(&mut self, key: &StorageKey) {
        match self.readers.get_mut(key) {
            Some(readers) => *readers = readers.saturating_add(1),
            None => drop(self.readers.insert(key.clone(), 1)),
        }
    }

    /// Ends one [`hold`](Self::hold).
    pub(crate) fn release(&mut self, key: &StorageKey) {
        match self.readers.get_mut(key) {
            Some(readers) if *readers > 1 => *readers -= 1,
            _ => drop(self.readers.remove(key)),
        }
    }

    /// Keeps `keys` from being evicted, in place of what was kept for `owner` before. None of them has to be stored.
    pub(crate) fn keep(&mut self, owner: &str, keys: StorageKeys) {
        if keys.is_empty() {
            self.kept.remove(owner);
        } else {
            self.kept.insert(owner.to_owned(), keys);
        }
    }

    /// The bytes of everything that may be evicted.
    pub(crate) fn evictable(&self) -> u64 {
        let classes = EvictionClass::EVICTABLE.into_iter();
        let bytes: u64 = classes.map(|class| self.tally(class).bytes).sum();
        bytes - self.kept_bytes(&StorageKeys::default())
    }

    /// The bytes of everything that may never be evicted, without `besides`.
    pub(crate) fn fixed(&self, besides: &StorageKeys) -> u64 {
        self.tally(EvictionClass::Records).bytes + self.kept_bytes(besides)
    }

    /// The bytes of what is kept and could be evicted otherwise, without `besides`.
    fn kept_bytes(&self, besides: &StorageKeys) -> u64 {
        if self.kept.is_empty() {
            return 0;
        }
        let stored =
            EvictionClass::EVICTABLE.into_iter().flat_map(|class| self.pools[class as usize].sizes());
        stored.filter(|(key, _)| self.is_kept(key) && !besides.contains(key)).map(|(_, size)| size).sum()
    }

    fn is_kept(&self, key: &StorageKey) -> bool {
        self.kept.values().any(|keys| keys.contains(key))
    }

    /// The size of a value that is stored.
    pub(crate) fn size_of(&self, key: &StorageKey) -> Option<u64> {
        self.pools[EvictionClass::of(key) as usize].size_of(key)
    }

    /// The bytes of everything that is stored.
    pub(crate) fn total(&self) -> u64 {
        self.pools.iter().map(|pool| pool.tally().bytes).sum()
    }

    pub(crate) fn tally(&self, class: EvictionClass) -> Tally {
        self.pools[class as usize].tally()
    }

    /// The value to evict next, and its size; `None` when nothing may be evicted. It counts until it is removed: asked
    /// again before that, the answer may be the same.
    pub(crate) fn victim(&mut self) -> Option<(StorageKey, u64)> {
        self.victim_of(&EvictionClass::EVICTABLE)
    }

    /// The same of these classes, in their order.
    pub(crate) fn victim_of(&mut self, classes: &[EvictionClass]) -> Option<(StorageKey, u64)> {
        let Self { pools, readers, kept, rng } = self;
        let is_kept = |key: &StorageKey| kept.values().any(|keys| keys.contains(key));
        let is_free = |key: &StorageKey| !readers.contains_key(key) && !is_kept(key);
        classes.iter().find_map(|class| pools[*class as usize].cheapest(rng, is_free))
    }

    /// Up to `most` values that would be evicted soon, with their sizes. Only a part of a large store is looked at.
    pub(crate) fn next_victims(&mut self, most: usize) -> Vec<(StorageKey, u64)> {
        let Self { pools, readers, kept, rng } = self;
        let is_kept = |key: &StorageKey| kept.values().any(|keys| keys.contains(key));
        let is_free = |key: &StorageKey| !readers.contains_key(key) && !is_kept(key);
        let mut next = Vec::new();
        for class in EvictionClass::EVICTABLE {
            next.extend(pools[class as usize].cheapest_few(rng, most - next.len(), is_free));
        }
        next
    }

    /// Everything that may be evicted, with its size, in the exact order that [`victim`](Self::victim) approximates.
    pub(crate) fn order(&self) -> impl Iterator<Item = (&StorageKey, u64)> {
        let ordered =
            EvictionClass::EVICTABLE.into_iter().flat_map(|class| self.pools[class as usize].ordered());
        ordered.filter(|(key, _)| !self.readers.contains_key(*key) && !self.is_kept(key))
    }

    /// Every value with its size and its uses, as [`restore`](Self::restore) takes them.
    pub(crate) fn snapshot(&self) -> impl Iterator<Item = (&StorageKey, u64, f32)> {
        self.pools.iter().flat_map(ValuePool::snapshot)
    }

    fn pool_mut(&mut self, key: &StorageKey) -> &mut ValuePool {
        &mut self.pools[EvictionClass::of(key) as usize]
    }
}
