//! Pins that the store did not take.
//!
//! They bind as long as the process lives, and wait here until the store takes writes again. Owns them and their bound. Must
//! not know why a write failed.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

use super::{Pin, Proof};
use crate::store::StorageKey;

/// At most so many pins wait, of a few hundred bytes each.
const MOST: usize = 10_000;

/// Pins by their keys.
#[derive(Debug, Default)]
pub(super) struct Unwritten(Mutex<HashMap<StorageKey, (Pin, Proof)>>);

impl Unwritten {
    /// The pin that waits for `place`.
    pub(super) fn at(&self, place: &StorageKey) -> Option<(Pin, Proof)> {
        self.pins().get(place).cloned()
    }

    /// Keeps `pin`, unless one waits already. Answers with the one in force; `None` if there is no room.
    pub(super) fn keep(&self, place: StorageKey, pin: Pin, proof: Proof) -> Option<(Pin, Proof)> {
        let mut pins = self.pins();
        if pins.len() >= MOST && !pins.contains_key(&place) {
            return None;
        }
        Some(pins.entry(place).or_insert((pin, proof)).clone())
    }

    /// There is a pin at `place` now.
    pub(super) fn forget(&self, place: &StorageKey) {
        self.pins().remove(place);
    }

    pub(super) fn all(&self) -> Vec<(StorageKey, Pin, Proof)> {
        self.pins().iter().map(|(place, (pin, proof))| (place.clone(), pin.clone(), *proof)).collect()
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<StorageKey, (Pin, Proof)>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{Integrity, Sha256};

    fn pin(number: usize, content: &str) -> Pin {
        Pin {
            volume: "@acme/x".parse().unwrap(),
            commit: None,
            version: format!("{number}.0.0").parse().unwrap(),
            integrity: Integrity::new(Sha256::of(content.as_bytes())),
            since: Timestamp(7),
            upstream: "public".into(),
            origin: None,
        }
    }

    #[test]
    fn the_first_stays_and_there_is_an_end_of_room() {
        let unwritten = Unwritten::default();
        let place = |number| super::super::form::of_release(&pin(number, "a").release());
        let keep = |number, content| {
            let kept = unwritten.keep(place(number), pin(number, content), Proof::Seen);
            kept.map(|(pin, _)| pin)
        };
        for number in 0..MOST {
            assert_eq!(keep(number, "a"), Some(pin(number, "a")));
        }
        assert_eq!(keep(MOST, "a"), None);
        assert_eq!(keep(0, "b"), Some(pin(0, "a")), "the first binds");
        unwritten.forget(&place(1));
        assert_eq!(keep(MOST, "a"), Some(pin(MOST, "a")));
        assert_eq!(unwritten.all().len(), MOST);
    }
}
