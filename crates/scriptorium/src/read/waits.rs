//! A bound on the requests that wait for one registry, so that a registry that hangs cannot take all request slots.
//!
//! A request beyond the bound fails at once, or gets a stale answer. Background work is not counted. Owns that bound. Must
//! not know what is asked for.

use std::sync::Arc;

use crate::admission::{Admission, Slot};
use crate::domain::Registry;
use crate::upstream::{CouldNotAsk, FetchContext};

/// The smallest share, unless there are fewer slots.
const FEWEST: usize = 16;

/// One request that waits for a registry, until this is dropped.
pub(crate) type Waiting = Slot<Arc<Registry>>;

#[derive(Debug)]
pub(super) struct Waits(Arc<Admission<Arc<Registry>>>);

impl Default for Waits {
    /// Without a bound.
    fn default() -> Self {
        Self(Admission::new(usize::MAX, usize::MAX))
    }
}

impl Waits {
    /// Gives each registry half of so many request slots.
    pub(super) fn share(&self, places: usize) {
        self.0.resize(usize::MAX, places.div_ceil(2).max(FEWEST).min(places));
    }

    /// Counts a request that waits for `registry`, if a client waits for it.
    ///
    /// # Errors
    /// [`CouldNotAsk::Busy`] when too many wait already.
    pub(super) fn enter(
        &self,
        registry: &Arc<Registry>,
        context: FetchContext<'_>,
    ) -> Result<Option<Waiting>, CouldNotAsk> {
        if context.is_background() {
            return Ok(None);
        }
        self.0.take_now(registry, 1).map(Some).map_err(|_| CouldNotAsk::Busy)
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
            let mut held: Vec<_> = (0..share).map(|_| waits.enter(one, context()).unwrap()).collect();
            assert_eq!(waits.enter(one, context()).unwrap_err(), CouldNotAsk::Busy, "of {places}");
            assert!(waits.enter(one, context().in_background()).unwrap().is_none(), "nobody waits for that");
            if share > 0 {
                waits.enter(two, context()).unwrap();
                held.pop();
                waits.enter(one, context()).unwrap();
            }
            drop(held);
            assert_eq!(waits.0.holders(), 0);
        }
    }

    fn context() -> FetchContext<'static> {
        FetchContext::foreground("id-1")
    }
}
