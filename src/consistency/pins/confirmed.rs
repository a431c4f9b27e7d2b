//! Pins that this process read or wrote, for the time when the store cannot be read.
//!
//! Owns how many there may be. Must not be asked while the store answers: what it says counts.

use super::Pin;
use crate::domain::{Purl, Registry};

/// Pins that are remembered at most, a few hundred bytes each.
const MOST: u64 = 20_000;

/// Pins by whom they bind, and to what.
#[derive(Debug, Clone)]
pub(super) struct Confirmed(moka::sync::Cache<(Registry, Purl), Pin>);

impl Default for Confirmed {
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST))
    }
}

impl Confirmed {
    pub(super) fn note(&self, registry: &Registry, pin: &Pin) {
        self.0.insert((registry.clone(), pin.release()), pin.clone());
    }

    pub(super) fn forget(&self, registry: &Registry, release: &Purl) {
        self.0.invalidate(&(registry.clone(), release.clone()));
    }

    pub(super) fn of(&self, registry: &Registry, release: &Purl) -> Option<Pin> {
        self.0.get(&(registry.clone(), release.clone()))
    }
}
