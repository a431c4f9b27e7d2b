//! What is stored, how large it is and how much it is used: which value goes first when space is needed.
//!
//! Owns that choice and the counts it rests on. A value is worth what its next miss would cost, times how often it
//! is used: a request and its bytes, for each byte it occupies. Uses fade by half while the values of its class
//! are used four times each on average, so that neither a clock nor a setting is needed and a quiet night costs
//! nothing. The cheapest of a few values drawn at random goes; a value that comes back starts with the uses it
//! left with. Must not know files, time or any I/O.

use std::collections::HashMap;

use fastrand::Rng;

use super::StorageKey;
use ghosts::Ghosts;
use pool::Pool;

mod ghosts;
mod pool;

#[cfg(test)]
mod tests;

/// What a value counts as when space is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Archives and trust artifacts: the first to go, for a registry has them.
    Archives,
    /// Documents: small, and gone only when no archive may go.
    Documents,
    /// Pins of what was only seen: the last to go, and before all others where they take more than their share, for a
    /// registry can invent any number of them.
    Sightings,
    /// What only this proxy knows, as pins: never evicted.
    Records,
}

impl Class {
    /// Every class, the first to be evicted first.
    pub const ALL: [Self; 4] = [Self::Archives, Self::Documents, Self::Sightings, Self::Records];

    /// The class of what lies under `key`.
    #[must_use]
    pub fn of(key: &StorageKey) -> Self {
        match key {
            StorageKey::Archive(_) | StorageKey::TrustArtifact(_) => Self::Archives,
            StorageKey::Document { .. } | StorageKey::OfRelease { .. } | StorageKey::Slot { .. } => {
                Self::Documents
            }
            StorageKey::Sighting { .. } => Self::Sightings,
            StorageKey::Pin { .. }
            | StorageKey::History(_)
            | StorageKey::Divergence(_)
            | StorageKey::Upload(_)
            | StorageKey::Session(_)
            | StorageKey::Invalidations
            | StorageKey::Refusals
            | StorageKey::Uses
            | StorageKey::Quarantined(_) => Self::Records,
        }
    }
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values.
    pub values: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { values: self.values + other.values, bytes: self.bytes + other.bytes }
    }
}

/// The account of everything stored.
#[derive(Debug)]
pub struct Ledger {
    archives: Pool,
    documents: Pool,
    sightings: Pool,
    records: Pool,
    ghosts: Ghosts,
    /// Apart from the values: a reader may come before its value is stored, and stay when it is replaced.
    readers: HashMap<StorageKey, u32>,
    rng: Rng,
}

impl Ledger {
    /// An empty one, which draws the candidates for eviction with `rng`.
    #[must_use]
    pub fn new(rng: Rng) -> Self {
        Self {
            archives: Pool::default(),
            documents: Pool::default(),
            sightings: Pool::default(),
            records: Pool::default(),
            ghosts: Ghosts::default(),
            readers: HashMap::new(),
            rng,
        }
    }

    /// Notes that a value of `size` bytes lies under `key` now. A new one counts as used once; one that replaces
    /// another keeps its uses.
    pub fn insert(&mut self, key: StorageKey, size: u64) {
        let pool = self.pool_mut(Class::of(&key));
        if !pool.resize(&key, size) {
            let heat = self.ghosts.take(&key);
            self.pool_mut(Class::of(&key)).insert(key, size, heat);
        }
    }

    /// Notes a value found in the storage, used `uses` times as of now; does nothing when `key` is known already,
    /// for what was inserted meanwhile is newer.
    pub fn restore(&mut self, key: StorageKey, size: u64, uses: f32) {
        self.pool_mut(Class::of(&key)).restore(key, size, uses);
    }

    /// Notes that nothing lies under `key` any more; the size of what did.
    pub fn remove(&mut self, key: &StorageKey) -> Option<u64> {
        let (size, heat) = self.pool_mut(Class::of(key)).remove(key)?;
        self.ghosts.keep(key, heat);
        Some(size)
    }

    /// Notes a use of a value; of one that is not stored nothing is noted.
    pub fn touch(&mut self, key: &StorageKey) {
        self.pool_mut(Class::of(key)).touch(key);
    }

    /// One reader more; what lies under `key`, or comes to lie there, is no victim until it is released.
    pub fn hold(&mut self, key: &StorageKey) {
        match self.readers.get_mut(key) {
            Some(readers) => *readers = readers.saturating_add(1),
            None => drop(self.readers.insert(key.clone(), 1)),
        }
    }

    /// One reader fewer.
    pub fn release(&mut self, key: &StorageKey) {
        match self.readers.get_mut(key) {
            Some(readers) if *readers > 1 => *readers -= 1,
            _ => drop(self.readers.remove(key)),
        }
    }

    /// The size of what lies under `key`.
    #[must_use]
    pub fn size_of(&self, key: &StorageKey) -> Option<u64> {
        self.pool(Class::of(key)).size_of(key)
    }

    /// The bytes of everything stored.
    #[must_use]
    pub fn total(&self) -> u64 {
        Class::ALL.into_iter().map(|class| self.tally(class).bytes).sum()
    }

    /// How much of a class is stored.
    #[must_use]
    pub fn tally(&self, class: Class) -> Tally {
        self.pool(class).tally()
    }

    /// The value to evict next, and its size; `None` when nothing may go. It stays in the account until it is
    /// removed, so that the bytes count until they are gone: asked again before that, the answer may be the same.
    pub fn victim(&mut self) -> Option<(StorageKey, u64)> {
        let Self { archives, documents, sightings, readers, rng, .. } = self;
        let may_go = |key: &StorageKey| !readers.contains_key(key);
        let cheapest = archives.cheapest(rng, may_go).or_else(|| documents.cheapest(rng, may_go));
        cheapest.or_else(|| sightings.cheapest(rng, may_go))
    }

    /// The same among sightings only, for the time when they take more than their share.
    pub fn sighting(&mut self) -> Option<(StorageKey, u64)> {
        let Self { sightings, readers, rng, .. } = self;
        sightings.cheapest(rng, |key| !readers.contains_key(key))
    }

    /// Everything that may go and its size, what is worth least first: the order that [`victim`](Self::victim)
    /// comes near to without looking at all of it.
    pub fn order(&self) -> impl Iterator<Item = (&StorageKey, u64)> {
        let classes = [Class::Archives, Class::Documents, Class::Sightings].into_iter();
        let ordered = classes.flat_map(|class| self.pool(class).ordered());
        ordered.filter(|(key, _)| !self.readers.contains_key(key))
    }

    /// What [`restore`](Self::restore) takes, of every value: its key, its size and its uses as of now.
    pub fn snapshot(&self) -> impl Iterator<Item = (&StorageKey, u64, f32)> {
        Class::ALL.into_iter().flat_map(|class| self.pool(class).snapshot())
    }

    fn pool(&self, class: Class) -> &Pool {
        match class {
            Class::Archives => &self.archives,
            Class::Documents => &self.documents,
            Class::Sightings => &self.sightings,
            Class::Records => &self.records,
        }
    }

    fn pool_mut(&mut self, class: Class) -> &mut Pool {
        match class {
            Class::Archives => &mut self.archives,
            Class::Documents => &mut self.documents,
            Class::Sightings => &mut self.sightings,
            Class::Records => &mut self.records,
        }
    }
}
