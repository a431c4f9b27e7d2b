//! The values of one class, and which of them is worth least.
//!
//! Owns how uses fade and what a value is worth. Must not know classes or readers.

use fastrand::Rng;
use indexmap::IndexMap;

use super::{StorageKey, Tally};

/// What a request costs, in bytes that could have been transferred instead. Larger keeps more small values and so
/// saves more requests; smaller saves more bytes.
const REQUEST: f32 = 1024.0 * 1024.0;
/// How often the values of a pool are used, on average, while old uses fade to half.
const USES_PER_HALVING: f32 = 4.0;
/// How many values are drawn for each that goes.
const DRAWN: usize = 64;
/// More uses than can be counted one by one.
const MOST_USES: f32 = (1 << 24) as f32;

/// Uses that fade.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heat {
    /// As of `at`.
    pub uses: f32,
    /// The pool's uses by then, which wrap: who was idle for four thousand million of them looks idle for less.
    pub at: u32,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    heat: Heat,
}

/// Values that compete for space.
#[derive(Debug, Default)]
pub(super) struct Pool {
    entries: IndexMap<StorageKey, Entry>,
    bytes: u64,
    /// All uses so far: the clock that heat fades by.
    uses: u32,
}

impl Pool {
    pub(super) fn tally(&self) -> Tally {
        Tally { values: self.entries.len(), bytes: self.bytes }
    }

    pub(super) fn size_of(&self, key: &StorageKey) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.size)
    }

    /// Gives a value another size; `false` when there is none.
    pub(super) fn resize(&mut self, key: &StorageKey, size: u64) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        self.bytes = self.bytes - entry.size + size;
        entry.size = size;
        true
    }

    /// Adds a value that is used now and left with `heat` when it was here before.
    pub(super) fn insert(&mut self, key: StorageKey, size: u64, heat: Option<Heat>) {
        let place = self.add(key, size, heat.unwrap_or(Heat { uses: 0.0, at: 0 }));
        self.touch_at(place);
    }

    /// Adds a value unless it is here.
    pub(super) fn restore(&mut self, key: StorageKey, size: u64, uses: f32) {
        if !self.entries.contains_key(&key) {
            // The number was read from a file.
            let uses = if uses.is_finite() { uses.clamp(0.0, MOST_USES) } else { 0.0 };
            let heat = Heat { uses, at: self.uses };
            self.add(key, size, heat);
        }
    }

    pub(super) fn remove(&mut self, key: &StorageKey) -> Option<(u64, Heat)> {
        let Entry { size, heat } = self.entries.swap_remove(key)?;
        self.bytes -= size;
        Some((size, heat))
    }

    pub(super) fn touch(&mut self, key: &StorageKey) {
        if let Some(place) = self.entries.get_index_of(key) {
            self.touch_at(place);
        }
    }

    /// The value worth least among some drawn at random, or among all when none of those may go.
    pub(super) fn cheapest(
        &self,
        rng: &mut Rng,
        may_go: impl Fn(&StorageKey) -> bool,
    ) -> Option<(StorageKey, u64)> {
        let len = self.entries.len();
        let drawn = || self.cheapest_at((0..DRAWN).map(|_| rng.usize(..len)), &may_go);
        let of_few = (len > DRAWN).then(drawn).flatten();
        of_few.or_else(|| self.cheapest_at(0..len, &may_go))
    }

    /// All of it, what is worth least first.
    pub(super) fn ordered(&self) -> impl Iterator<Item = (&StorageKey, u64)> {
        let mut all: Vec<_> =
            self.entries.iter().map(|(key, entry)| (self.worth(entry), key, entry.size)).collect();
        all.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        all.into_iter().map(|(_, key, size)| (key, size))
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = (&StorageKey, u64, f32)> {
        self.entries.iter().map(|(key, entry)| (key, entry.size, self.faded(entry.heat)))
    }

    /// Where it was added.
    fn add(&mut self, key: StorageKey, size: u64, heat: Heat) -> usize {
        self.bytes += size;
        self.entries.insert_full(key, Entry { size, heat }).0
    }

    fn touch_at(&mut self, place: usize) {
        self.uses = self.uses.wrapping_add(1);
        let Some(heat) = self.entries.get_index(place).map(|(_, entry)| entry.heat) else { return };
        let uses = (self.faded(heat) + 1.0).min(MOST_USES);
        if let Some((_, entry)) = self.entries.get_index_mut(place) {
            entry.heat = Heat { uses, at: self.uses };
        }
    }

    fn cheapest_at(
        &self,
        places: impl Iterator<Item = usize>,
        may_go: impl Fn(&StorageKey) -> bool,
    ) -> Option<(StorageKey, u64)> {
        let mut cheapest = None;
        let mut least = f32::INFINITY;
        for place in places {
            let Some((key, entry)) = self.entries.get_index(place) else { continue };
            let worth = self.worth(entry);
            // Whether it may go is asked of few: that is the dearer question.
            if worth < least && may_go(key) {
                (cheapest, least) = (Some((key, entry.size)), worth);
            }
        }
        cheapest.map(|(key, size)| (key.clone(), size))
    }

    /// The logarithm of what keeping a value saves per byte, for it orders also values that were idle for so long
    /// that their uses would all round to zero.
    fn worth(&self, entry: &Entry) -> f32 {
        let size = entry.size.max(1) as f32;
        (entry.heat.uses * (REQUEST + size) / size).log2() - self.halvings(entry.heat)
    }

    fn faded(&self, heat: Heat) -> f32 {
        heat.uses * (-self.halvings(heat)).exp2()
    }

    fn halvings(&self, heat: Heat) -> f32 {
        let idle = self.uses.wrapping_sub(heat.at) as f32;
        idle / (USES_PER_HALVING * self.entries.len().max(1) as f32)
    }
}
