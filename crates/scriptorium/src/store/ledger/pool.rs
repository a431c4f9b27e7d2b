//! The values of one class, and which of them is worth least.
//!
//! Owns how uses fade and what a value is worth. Must not know classes or readers.

use fastrand::Rng;
use indexmap::IndexMap;
use indexmap::map::Entry;

use super::{StorageKey, Tally};

/// What a request costs, in bytes that could have been transferred instead. A larger number keeps more small values and
/// saves more requests; a smaller one saves more bytes.
const REQUEST: f32 = 1024.0 * 1024.0;
/// How often the values of a pool are used, on average, while old uses fade to half.
const USES_PER_HALVING: f32 = 4.0;
/// How many values are drawn for each that is evicted.
const DRAWN: usize = 64;
/// How many are looked at to say which go next.
const LOOKED_AT: usize = 512;
/// More uses cannot be counted one by one.
const MOST_USES: f32 = (1 << 24) as f32;

#[derive(Debug)]
struct StoredValue {
    size: u64,
    /// As of `used_at`.
    uses: f32,
    /// The pool's uses at the last use, which wrap: after four thousand million uses a value looks used more recently.
    used_at: u32,
}

#[derive(Debug, Default)]
pub(super) struct ValuePool {
    values: IndexMap<StorageKey, StoredValue>,
    bytes: u64,
    /// All uses so far: the clock by which uses fade.
    uses: u32,
}

impl ValuePool {
    pub(super) fn tally(&self) -> Tally {
        Tally { values: self.values.len(), bytes: self.bytes }
    }

    pub(super) fn size_of(&self, key: &StorageKey) -> Option<u64> {
        self.values.get(key).map(|value| value.size)
    }

    /// Adds a value that is used now, or gives one that is there another size.
    pub(super) fn insert(&mut self, key: StorageKey, size: u64) {
        self.bytes += size;
        match self.values.entry(key) {
            Entry::Occupied(mut stored) => {
                self.bytes -= std::mem::replace(&mut stored.get_mut().size, size);
            }
            Entry::Vacant(new) => {
                self.uses = self.uses.wrapping_add(1);
                new.insert(StoredValue { size, uses: 1.0, used_at: self.uses });
            }
        }
    }

    /// Adds a value unless it is there.
    pub(super) fn restore(&mut self, key: StorageKey, size: u64, uses: f32) {
        if let Entry::Vacant(new) = self.values.entry(key) {
            // The number was read from a file.
            let uses = if uses.is_finite() { uses.clamp(0.0, MOST_USES) } else { 0.0 };
            new.insert(StoredValue { size, uses, used_at: self.uses });
            self.bytes += size;
        }
    }

    pub(super) fn remove(&mut self, key: &StorageKey) -> Option<u64> {
        let size = self.values.swap_remove(key)?.size;
        self.bytes -= size;
        Some(size)
    }

    pub(super) fn touch(&mut self, key: &StorageKey) {
        let Some(place) = self.values.get_index_of(key) else { return };
        self.uses = self.uses.wrapping_add(1);
        let uses = (self.faded(&self.values[place]) + 1.0).min(MOST_USES);
        let value = &mut self.values[place];
        (value.uses, value.used_at) = (uses, self.uses);
    }

    /// The value worth least among some drawn at random, or among all if none of those may be evicted.
    pub(super) fn cheapest(
        &self,
        rng: &mut Rng,
        may_go: impl Fn(&StorageKey) -> bool,
    ) -> Option<(StorageKey, u64)> {
        let len = self.values.len();
        let drawn = || self.cheapest_at((0..DRAWN).map(|_| rng.usize(..len)), &may_go);
        let of_few = (len > DRAWN).then(drawn).flatten();
        of_few.or_else(|| self.cheapest_at(0..len, &may_go))
    }

    /// The `most` values worth least of all, or of many drawn at random.
    pub(super) fn cheapest_few(
        &self,
        rng: &mut Rng,
        most: usize,
        may_go: impl Fn(&StorageKey) -> bool,
    ) -> Vec<(StorageKey, u64)> {
        let len = self.values.len();
        let mut places: Vec<usize> = match len > LOOKED_AT {
            true => (0..LOOKED_AT).map(|_| rng.usize(..len)).collect(),
            false => (0..len).collect(),
        };
        places.sort_unstable();
        places.dedup();
        let mut found: Vec<_> = places.into_iter().filter_map(|place| self.values.get_index(place)).collect();
        found.sort_by(|(_, one), (_, other)| self.worth(one).total_cmp(&self.worth(other)));
        let free = found.into_iter().filter(|(key, _)| may_go(key)).take(most);
        free.map(|(key, value)| (key.clone(), value.size)).collect()
    }

    /// All values, the one worth least first.
    pub(super) fn ordered(&self) -> impl Iterator<Item = (&StorageKey, u64)> {
        let mut all: Vec<_> =
            self.values.iter().map(|(key, value)| (self.worth(value), key, value.size)).collect();
        all.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        all.into_iter().map(|(_, key, size)| (key, size))
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = (&StorageKey, u64)> {
        self.values.iter().map(|(key, value)| (key, value.size))
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = (&StorageKey, u64, f32)> {
        self.values.iter().map(|(key, value)| (key, value.size, self.faded(value)))
    }

    fn cheapest_at(
        &self,
        places: impl Iterator<Item = usize>,
        may_go: impl Fn(&StorageKey) -> bool,
    ) -> Option<(StorageKey, u64)> {
        let mut cheapest = None;
        let mut least = f32::INFINITY;
        for (key, value) in places.filter_map(|place| self.values.get_index(place)) {
            let worth = self.worth(value);
            // Asking whether it may go is the more expensive question, so few are asked.
            if worth < least && may_go(key) {
                (cheapest, least) = (Some((key, value.size)), worth);
            }
        }
        cheapest.map(|(key, size)| (key.clone(), size))
    }

    /// The logarithm of what keeping a value saves per byte. Without the logarithm the worths of values that were unused
    /// for long would all round to zero.
    fn worth(&self, value: &StoredValue) -> f32 {
        let size = value.size.max(1) as f32;
        (value.uses * (REQUEST + size) / size).log2() - self.halvings(value)
    }

    fn faded(&self, value: &StoredValue) -> f32 {
        value.uses * (-self.halvings(value)).exp2()
    }

    fn halvings(&self, value: &StoredValue) -> f32 {
        let unused = self.uses.wrapping_sub(value.used_at) as f32;
        unused / (USES_PER_HALVING * self.values.len().max(1) as f32)
    }
}
