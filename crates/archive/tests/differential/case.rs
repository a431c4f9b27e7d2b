//! One case: a seed archive and its mutations, reproducible from a few numbers.
//!
//! Owns how a case follows from a seed and its number, and how it is minimized.

use std::fmt;

use fastrand::Rng;

use crate::corpus::Base;
use crate::mutate::change;

/// The numbers that reproduce its bytes.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    base: usize,
    changes: Vec<u64>,
}

impl Case {
    /// The case of that number.
    pub(crate) fn draw(seed: u64, number: u64, bases: &[Base]) -> Self {
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let base = rng.usize(..bases.len());
        let count = [1, 1, 1, 2, 2, 3, 4][rng.usize(..7)];
        Self { seed, number, base, changes: (0..count).map(|_| rng.u64(..)).collect() }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self, bases: &[Base]) -> Vec<u8> {
        let mut draft = bases[self.base].draft.clone();
        for seed in &self.changes {
            change(&mut draft, *seed, bases);
        }
        draft.bytes()
    }

    /// The number of its mutations.
    pub(crate) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The case without the mutations that `still` does not need.
    pub(crate) fn shrink(mut self, mut still: impl FnMut(&Self) -> bool) -> Self {
        let mut at = 0;
        while at < self.changes.len() {
            let mut smaller = self.clone();
            smaller.changes.remove(at);
            if still(&smaller) {
                self = smaller;
            } else {
                at += 1;
            }
        }
        self
    }

    /// Its seed archive.
    pub(crate) fn base<'a>(&self, bases: &'a [Base]) -> &'a str {
        &bases[self.base].name
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCRIPTORIUM_FUZZ_SEED={} SCRIPTORIUM_FUZZ_ONLY={}", self.seed, self.number)
    }
}
