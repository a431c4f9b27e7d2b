//! Who waits for a registry: so many requests at once, so that a registry that hangs cannot have the places of all.
//!
//! Whoever finds no more room is told at once that the registry is not asked, or given what is held, stale. Owns that
//! bound. Must not know what is asked for, nor count work that nobody waits for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Registry;
use crate::upstream::{CouldNotAsk, Errand};

/// No share is smaller, unless there are fewer places.
const FEWEST: usize = 16;

/// The requests that wait, by registry.
#[derive(Debug)]
pub(super) struct Waits {
    most: AtomicUsize,
    under_way: Mutex<HashMap<Arc<Registry>, usize>>,
}

/// One request that waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    waits: &'a Waits,
    registry: Arc<Registry>,
}

impl Default for Waits {
    /// As many as there are.
    fn default() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), under_way: Mutex::default() }
    }
}

impl Waits {
    /// Leaves a registry half of so many `places`.
    pub(super) fn share(&self, places: usize) {
        let most = places.div_ceil(2).max(FEWEST).min(places);
        self.most.store(most, Ordering::Relaxed);
    }

    /// Counts one request more that waits for `registry`, where a client waits for its `errand`.
    ///
    /// # Errors
    /// [`CouldNotAsk::Busy`] when as many wait as may.
    pub(super) fn enter(
        &self,
        registry: &Arc<Registry>,
        errand: Errand<'_>,
    ) -> Result<Option<Waiting<'_>>, CouldNotAsk> {
        if errand.is_behind() {
            return Ok(None);
        }
        let mut under_way = self.under_way();
        let waiting = under_way.entry(Arc::clone(registry)).or_default();
        if *waiting >= self.most.load(Ordering::Relaxed) {
            return Err(CouldNotAsk::Busy);
        }
        *waiting += 1;
        Ok(Some(Waiting { waits: self, registry: Arc::clone(registry) }))
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Arc<Registry>, usize>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut under_way = self.waits.under_way();
        if let Some(waiting) = under_way.get_mut(&self.registry) {
            *waiting -= 1;
            if *waiting == 0 {
                under_way.remove(&self.registry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_half_of_the_places_and_those_who_leave_make_room() {
        let waits = Waits::default();
        let registries = ["one", "two"].map(|name| Arc::new(Registry::new(name, "https://here")));
        let [one, two] = &registries;
        for (places, share) in [(4096, 2048), (33, 17), (20, 16), (16, 16), (3, 3), (0, 0)] {
            waits.share(places);
            let mut held: Vec<_> = (0..share).map(|_| waits.enter(one, errand()).unwrap()).collect();
            assert_eq!(waits.enter(one, errand()).unwrap_err(), CouldNotAsk::Busy, "of {places}");
            assert!(waits.enter(one, errand().behind()).unwrap().is_none(), "nobody waits for that");
            if share > 0 {
                waits.enter(two, errand()).unwrap();
                held.pop();
                waits.enter(one, errand()).unwrap();
            }
            drop(held);
            assert!(waits.under_way().values().all(|waiting| *waiting == 0));
        }
    }

    fn errand() -> Errand<'static> {
        Errand::foreground("id-1")
    }
}
