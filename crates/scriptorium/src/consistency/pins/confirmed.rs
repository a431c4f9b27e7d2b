//! Pins that this process read or wrote, for when the store cannot be read.
//!
//! Owns their bound. Must not be used while the store answers.

use super::Pin;
use crate::domain::{Purl, Registry};

/// At most so many pins are remembered, of a few hundred bytes each.
const MOST: u64 = 20_000;

/// Pins by registry and release.
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
