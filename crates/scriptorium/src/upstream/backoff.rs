//! How long to wait before a retry.
//!
//! Owns the curve and the randomness. Must not know what is retried, nor whether it should be.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// The wait before the retry that follows `attempt` earlier retries. It doubles each time, and is spread by half.
pub(super) fn before_retry(attempt: u32, roll: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    spread(doubled.min(LONGEST), 0.5, roll).min(LONGEST)
}

/// `around`, made shorter or longer by at most the fraction `share`, as `roll` in `0.0..1.0` says.
pub(super) fn spread(around: Duration, share: f64, roll: f64) -> Duration {
    around.mul_f64(1.0 - share + 2.0 * share * roll)
}

/// A random number in `0.0..1.0`, good enough to keep clients from retrying in step.
pub(super) fn roll() -> f64 {
    let random = RandomState::new().hash_one(()) >> 32;
    random as f64 / (1_u64 << 32) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_second() {
        let waits = [0, 1, 4, 5, 31, 32, u32::MAX].map(|attempt| before_retry(attempt, 0.5).as_millis());
        assert_eq!(waits, [50, 100, 800, 1000, 1000, 1000, 1000]);
        assert_eq!(before_retry(0, 0.0).as_millis(), 25);
        assert_eq!(before_retry(0, 0.999_999).as_millis(), 74);
        assert_eq!(before_retry(9, 0.999_999), LONGEST);
    }

    #[test]
    fn rolls_differ_and_stay_in_range() {
        let rolls: Vec<_> = std::iter::repeat_with(roll).take(100).collect();
        assert!(rolls.iter().all(|roll| (0.0..1.0).contains(roll)));
        assert!(rolls.iter().any(|roll| *roll < 0.5) && rolls.iter().any(|roll| *roll >= 0.5));
    }
}
