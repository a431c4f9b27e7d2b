//! How long a connection that was used before may be silent before it is taken for dead.
//!
//! A broken path and a slow registry look the same. So the wait is short, but at least twice as long as recent
//! answers took. Owns that estimate. Must not know what is done about a dead connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LEAST: Duration = Duration::from_secs(6);
/// Each quicker answer lowers the estimate by one part in so many.
const FADES: u64 = 16;

/// The estimate for one registry, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Patience(AtomicU64);

impl Patience {
    /// The current wait, at most `most`.
    pub(super) fn now(&self, most: Duration) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed)).max(LEAST).min(most)
    }

    /// Learns from an answer that took so long.
    pub(super) fn learn(&self, took: Duration) {
        let twice = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
        let learnt = |held: u64| Some(twice.max(held - held.div_ceil(FADES)));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learnt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_registry_is_waited_for_and_a_quick_one_is_not() {
        let patience = Patience::default();
        assert_eq!(patience.now(30 * SECOND), LEAST);
        patience.learn(10 * SECOND);
        assert_eq!(patience.now(30 * SECOND), 20 * SECOND);
        patience.learn(SECOND);
        assert!(patience.now(30 * SECOND) > 18 * SECOND, "one quick answer says little");
        for _ in 0..100 {
            patience.learn(SECOND / 10);
        }
        assert_eq!(patience.now(30 * SECOND), LEAST);
        assert_eq!(patience.now(SECOND), SECOND, "no longer than for anybody");
    }
}
