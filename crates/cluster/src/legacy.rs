//! What a process that ends in order leaves to the one that takes its place: the permits that it used count on, and its share
//! comes back when it would have come back.
//!
//! Clocks of processes have no common beginning, so every time here is how long something lasts yet. The successor reads it
//! later than it was written, so for the successor everything lasts a little longer, never less. Owns that form. Must not know
//! how it is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Permits that come free within so long of each other are one entry.
const STEP_MS: u64 = 2_000;

/// What a process leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legacy {
    /// For how long processes have been there without one that was killed; nothing if there never was one.
    pub age_ms: Option<u64>,
    /// What it leaves in each pool.
    pub pools: BTreeMap<String, PermitLegacy>,
}

/// What a process leaves in one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitLegacy {
    /// What the pool calls the place of the process.
    pub(crate) node: String,
    /// Its last turn.
    pub(crate) turn: u64,
    returns_ms: u64,
    /// In how long how many permits are cool.
    cooling: Vec<(u64, u32)>,
    /// The pool's memories that it knew, the last of which it believed.
    pub(crate) memories: Vec<String>,
    /// Whether the pool has to forget what it knows.
    pub(crate) void: bool,
}

impl Legacy {
    /// For how long processes have been there.
    pub fn age(&self) -> Option<Duration> {
        self.age_ms.map(Duration::from_millis)
    }
}

impl PermitLegacy {
    /// `cooling` says in how long how many permits are cool.
    pub(crate) fn new(
        node: &str,
        turn: u64,
        returns: Duration,
        cooling: impl Iterator<Item = (Duration, u32)>,
        memories: Vec<String>,
        void: bool,
    ) -> Self {
        let mut steps = BTreeMap::<u64, u32>::new();
        for (cool, permits) in cooling.filter(|(_, permits)| *permits > 0) {
            let permits_then = steps.entry(millis(cool).div_ceil(STEP_MS)).or_default();
            *permits_then = permits_then.saturating_add(permits);
        }
        let cooling = steps.into_iter().map(|(step, permits)| (step * STEP_MS, permits)).collect();
        Self { node: node.to_owned(), turn, returns_ms: millis(returns), cooling, memories, void }
    }

    /// In how long its share comes back.
    pub(crate) fn returns(&self) -> Duration {
        Duration::from_millis(self.returns_ms)
    }

    /// In how long how many permits are cool.
    pub(crate) fn cooling(&self) -> impl Iterator<Item = (Duration, u32)> {
        self.cooling.iter().map(|(cool, permits)| (Duration::from_millis(*cool), *permits))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
