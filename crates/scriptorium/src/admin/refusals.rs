//! Refused requests of the admin port: all are counted, some are logged.
//!
//! A guessed token costs the client a request and this port one hash, so an alert on the metric bounds guessing. Owns
//! how often refusals are logged, so that they cannot fill the log. Must not know why a request is refused.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

use super::door::{AdminRefusal, AdminRequest};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// At most one line in this time.
const QUIET: Duration = Duration::from_secs(10);
/// Most bytes of a path that are logged.
const LONGEST_PATH: usize = 128;

#[derive(Debug)]
pub(super) struct RefusalLog {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    told: Mutex<LastLine>,
}

#[derive(Debug, Default)]
struct LastLine {
    last: Option<Duration>,
    untold: u64,
}

impl RefusalLog {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, told: Mutex::default() }
    }

    pub(super) fn count(&self, refused: AdminRefusal, arrival: &AdminRequest<'_>) {
        self.metrics.admin.refused(refused.as_str());
        if matches!(refused, AdminRefusal::Method | AdminRefusal::Content) {
            // A mistake of an admitted caller.
            return;
        }
        let Some(untold) = self.due() else { return };
        let peer = arrival.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let (why, method, path) = (refused.as_str(), arrival.method.as_str(), arrival.uri.path());
        let path = &path[..path.floor_char_boundary(LONGEST_PATH)];
        warn!(target: "scriptorium::admin", why, peer, method, path, untold, "a request to the admin port was refused");
    }

    /// How many refusals were not logged since the last line, if it is time for another line.
    fn due(&self) -> Option<u64> {
        let now = self.clock.monotonic();
        let mut told = self.told.lock();
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
        let refusals =
            RefusalLog::new(Arc::new(Metrics::new().unwrap()), Arc::clone(&clock) as Arc<dyn Clock>);
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
