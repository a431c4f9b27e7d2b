//! Who was not let in at the admin port: counted each time, told now and then.
//!
//! Guesses cost who makes them a request each and this port no more than a hash: an alert on the metric bounds them.
//! Owns how often the log speaks of refusals, so that none of them can fill it. Must not know why anybody is refused.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::door::{Arrival, Refused};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// At most one line in this time.
const QUIET: Duration = Duration::from_secs(10);
/// As much of a path is told.
const LONGEST_PATH: usize = 128;

/// What was refused.
#[derive(Debug)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Duration>,
    untold: u64,
}

impl Refusals {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, told: Mutex::default() }
    }

    pub(super) fn count(&self, refused: Refused, arrival: &Arrival<'_>) {
        self.metrics.admin.refused(refused.as_str());
        if matches!(refused, Refused::Method | Refused::Content) {
            // A slip of whoever was let in.
            return;
        }
        let Some(untold) = self.due() else { return };
        let peer = arrival.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let (why, method, path) = (refused.as_str(), arrival.method.as_str(), arrival.uri.path());
        let path = &path[..path.floor_char_boundary(LONGEST_PATH)];
        warn!(target: "scriptorium::admin", why, peer, method, path, untold, "a request to the admin port was refused");
    }

    /// How many refusals were not told since the last that was, where this one may be.
    fn due(&self) -> Option<u64> {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| now.saturating_sub(last) < QUIET) {
            told.untold += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_flood_of_refusals_is_a_line_now_and_then() {
        let clock = Arc::new(ManualClock::at(0));
        let refusals = Refusals::new(Arc::new(Metrics::new().unwrap()), Arc::clone(&clock) as Arc<dyn Clock>);
        let told: Vec<_> = (0..25)
            .filter_map(|_| {
                let due = refusals.due();
                clock.advance(Duration::from_secs(1));
                due
            })
            .collect();
        assert_eq!(told, [0, 9, 9], "each line says how many it stands for");
    }
}
