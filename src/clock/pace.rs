//! How slow a sender may be: one that trickles bytes must not keep a place that others wait for.
//!
//! Owns that rule. What counts is the time spent waiting for the sender, not what is done between two pieces. Must
//! not know who sends, nor how long a silence may be.

use std::time::Duration;

use tokio::time::Instant;

/// Slowest average at which bytes are waited for, in bytes a second, once they had time to get going.
const SLOWEST: u64 = 4 * 1024;
const GETTING_GOING: Duration = Duration::from_secs(60);

/// The same of a body that keeps what many need, memory say: 32 MiB of it are there within 17 minutes.
const PROMPT: u64 = 32 * 1024;
const GETTING_GOING_PROMPTLY: Duration = Duration::from_secs(30);

/// A sender that is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slower on average than anybody is waited for")]
pub struct Trickles;

/// How fast a body has come.
#[derive(Debug)]
pub struct Pace {
    came: u64,
    waited: Duration,
    slowest: u64,
    getting_going: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { came: 0, waited: Duration::ZERO, slowest: SLOWEST, getting_going: GETTING_GOING }
    }
}

impl Pace {
    /// That of a body that is not waited for long.
    #[must_use]
    pub fn prompt() -> Self {
        Self { slowest: PROMPT, getting_going: GETTING_GOING_PROMPTLY, ..Self::default() }
    }

    /// Counts what `next` takes as waiting for the sender.
    pub async fn waiting<T>(&mut self, next: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let next = next.await;
        self.waited = self.waited.saturating_add(since.elapsed());
        next
    }

    /// Counts `bytes` that came.
    ///
    /// # Errors
    /// [`Trickles`] when that is too slow by now.
    pub fn came(&mut self, bytes: usize) -> Result<(), Trickles> {
        self.came = self.came.saturating_add(bytes as u64);
        let slow = self.waited > self.getting_going && self.came / self.slowest < self.waited.as_secs();
        if slow { Err(Trickles) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_cut_off_and_a_slow_start_is_not() {
        let seconds = Duration::from_secs;
        let enough = usize::try_from(100 * SLOWEST).unwrap();
        for (received, waited, cut) in [
            (0, seconds(60), false),
            (0, seconds(61), true),
            (enough - 1, seconds(100), true),
            (enough, seconds(100), false),
            (usize::MAX, seconds(1 << 40), false),
        ] {
            let mut pace = Pace { waited, ..Pace::default() };
            assert_eq!(pace.came(received).is_err(), cut, "{received} bytes in {waited:?}");
        }
        let prompt = |waited| Pace { waited, ..Pace::prompt() };
        assert_eq!(prompt(seconds(30)).came(0), Ok(()));
        assert_eq!(prompt(seconds(100)).came(enough), Err(Trickles));
        assert_eq!(prompt(seconds(100)).came(8 * enough), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_counts() {
        let mut pace = Pace::default();
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert_eq!(pace.came(1), Ok(()));
        pace.waiting(tokio::time::sleep(Duration::from_secs(59))).await;
        assert_eq!(pace.came(1), Ok(()));
        pace.waiting(tokio::time::sleep(Duration::from_secs(2))).await;
        assert_eq!(pace.came(1), Err(Trickles));
    }
}
