//! What is remembered of values that are gone.
//!
//! Owns a fixed number of places that they compete for, the latest in each winning: a scan of any length costs no
//! more than that. A value mistaken for another gets the other's uses, no more. Must not know why a value went.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::StorageKey;
use super::pool::Heat;

const PLACES: usize = 1 << 14;

#[derive(Debug, Clone, Copy)]
struct Ghost {
    tag: u32,
    heat: Heat,
}

/// The uses of values that are gone.
#[derive(Debug)]
pub(super) struct Ghosts {
    places: Box<[Option<Ghost>]>,
}

impl Default for Ghosts {
    fn default() -> Self {
        Self { places: vec![None; PLACES].into() }
    }
}

impl Ghosts {
    /// Remembers a value that goes.
    pub(super) fn keep(&mut self, key: &StorageKey, heat: Heat) {
        let (place, tag) = Self::place(key);
        self.places[place] = Some(Ghost { tag, heat });
    }

    /// What is remembered of a value that comes back.
    pub(super) fn take(&mut self, key: &StorageKey) -> Option<Heat> {
        let (place, tag) = Self::place(key);
        self.places[place].take_if(|ghost| ghost.tag == tag).map(|ghost| ghost.heat)
    }

    /// Unkeyed, so that the same values compete on every run: who steers the collisions gains nothing.
    fn place(key: &StorageKey) -> (usize, u32) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        (hash as usize % PLACES, (hash >> 32) as u32)
    }
}
