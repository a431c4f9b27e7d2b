//! Counters for the hit path, which are found again without a lock or an allocation.
//!
//! Owns the table they are found in. Must not know what is counted.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

/// Two labels from closed sets and, where the family has one, a status.
type Key = ([&'static str; 2], Option<u16>);

/// A family of counters for the hit path: each is looked up once, then found again without a lock or an allocation.
///
/// An open-addressed table of fixed size whose slots are written once. When a key finds no free slot nearby, it is
/// counted all the same, at the price of a look-up.
#[derive(Debug)]
pub(super) struct Counters {
    family: IntCounterVec,
    slots: Box<[OnceLock<(Key, IntCounter)>]>,
}

impl Counters {
    const SLOTS_LOG2: u32 = 9;
    const PROBES: usize = 8;

    pub(super) fn new(family: IntCounterVec) -> Self {
        let slots = (1 << Self::SLOTS_LOG2) + Self::PROBES;
        Self { family, slots: (0..slots).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn count(&self, labels: [&'static str; 2], status: Option<u16>) {
        let key = (labels, status);
        for slot in self.slots.iter().skip(Self::place(key)).take(Self::PROBES) {
            let (held, counter) = slot.get_or_init(|| (key, self.resolve(key)));
            if *held == key {
                return counter.inc();
            }
        }
        self.resolve(key).inc();
    }

    /// Fibonacci hashing of where the labels lie: a label that lies in two places only takes a second slot.
    fn place(([first, second], status): Key) -> usize {
        let mixed = first.as_ptr() as u64
            ^ (second.as_ptr() as u64).rotate_left(20)
            ^ u64::from(status.unwrap_or_default()).rotate_left(40);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - Self::SLOTS_LOG2)) as usize
    }

    fn resolve(&self, ([first, second], status): Key) -> IntCounter {
        match status {
            Some(status) => self.family.with_label_values(&[first, second, &status.to_string()]),
            None => self.family.with_label_values(&[first, second]),
        }
    }
}
