//! Progress: does a transfer move?
//!
//! | rule | a transfer is stalled |
//! |---|---|
//! | longest silence | when nothing moved for so long |
//! | slowest average | when, after a time to start, fewer bytes a second came on average |
//!
//! The average counts the time that was spent waiting for the sender, not the time spent on the bytes between two waits.
//! Time is passed in, except to [`Progress::wait`], which measures one wait. Owns both rules. Must not know who sends, nor
//! what becomes of a transfer that is stalled.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A transfer that does not move, or moves too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transfer stopped or is too slow")]
pub(crate) struct Stalled;

/// The slowest average at which bytes are waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlowestAverage {
    bytes_per_second: u64,
    /// How long a transfer may take to start.
    after: Duration,
}

impl SlowestAverage {
    /// For most transfers.
    pub(crate) const USUAL: Self = Self { bytes_per_second: 4 << 10, after: Duration::from_secs(60) };
    /// For a body that is held in memory while it comes: 32 MiB of it are there within 17 minutes.
    pub(crate) const IN_MEMORY: Self = Self { bytes_per_second: 32 << 10, after: Duration::from_secs(30) };
}

/// What is left of the longest silence at `now`, after a transfer that moved last at `moved_at`. `None` when it is over.
pub(crate) fn silence_left(longest: Duration, moved_at: Instant, now: Instant) -> Option<Duration> {
    longest.checked_sub(now.saturating_duration_since(moved_at)).filter(|left| !left.is_zero())
}

/// How far a transfer has come, and when it moved last.
#[derive(Debug)]
pub(crate) struct Progress {
    longest_silence: Duration,
    slowest_average: Option<SlowestAverage>,
    moved_at: Instant,
    bytes: u64,
    waited: Duration,
}

impl Progress {
    /// A transfer that moved at `now` and may be silent for `longest_silence`.
    #[must_use]
    pub(crate) fn new(longest_silence: Duration, now: Instant) -> Self {
        Self { longest_silence, slowest_average: None, moved_at: now, bytes: 0, waited: Duration::ZERO }
    }

    /// The same, after so many bytes.
    #[must_use]
    pub(crate) fn at(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// A transfer that may not be slower than `slowest`. Its sender bounds the silence itself.
    #[must_use]
    pub(crate) fn at_least(slowest: SlowestAverage) -> Self {
        Self { slowest_average: Some(slowest), ..Self::new(Duration::MAX, Instant::now()) }
    }

    /// The same, with a bound on its silence as well.
    #[must_use]
    pub(crate) fn silent_for(self, longest_silence: Duration) -> Self {
        Self { longest_silence, ..self }
    }

    /// Waits for what comes next, and counts the time that takes.
    ///
    /// # Errors
    /// When nothing comes for the longest silence.
    pub(crate) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Stalled> {
        let since = Instant::now();
        let next = timeout(self.longest_silence, next).await;
        self.waited = self.waited.saturating_add(since.elapsed());
        next.map_err(|_| Stalled)
    }

    /// Counts `bytes` that came.
    ///
    /// # Errors
    /// When the average is too slow by now.
    pub(crate) fn came(&mut self, bytes: usize) -> Result<(), Stalled> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let is_slow = self.slowest_average.is_some_and(|slowest| {
            self.waited > slowest.after && self.bytes / slowest.bytes_per_second < self.waited.as_secs()
        });
        if is_slow { Err(Stalled) } else { Ok(()) }
    }

    /// Notes that `total` bytes had moved by `now`, and answers with whether these are more than before.
    ///
    /// # Errors
    /// When they are not, for the longest silence.
    pub(crate) fn reached(&mut self, total: u64, now: Instant) -> Result<bool, Stalled> {
        let moved = total != self.bytes;
        if moved {
            (self.bytes, self.moved_at) = (total, now);
        }
        silence_left(self.longest_silence, self.moved_at, now).map(|_| moved).ok_or(Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_cut_off_and_a_slow_start_is_not() {
        let seconds = Duration::from_secs;
        let enough = usize::try_from(100 * SlowestAverage::USUAL.bytes_per_second).unwrap();
        for (received, waited, cut) in [
            (0, seconds(60), false),
            (0, seconds(61), true),
            (enough - 1, seconds(100), true),
            (enough, seconds(100), false),
            (usize::MAX, seconds(1 << 40), false),
        ] {
            let mut progress = Progress { waited, ..Progress::at_least(SlowestAverage::USUAL) };
            assert_eq!(progress.came(received).is_err(), cut, "{received} bytes in {waited:?}");
        }
        let in_memory = |waited| Progress { waited, ..Progress::at_least(SlowestAverage::IN_MEMORY) };
        assert_eq!(in_memory(seconds(30)).came(0), Ok(()));
        assert_eq!(in_memory(seconds(100)).came(enough), Err(Stalled));
        assert_eq!(in_memory(seconds(100)).came(8 * enough), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_counts_in_the_average() {
        let mut progress = Progress::at_least(SlowestAverage::USUAL);
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert_eq!(progress.came(1), Ok(()));
        progress.wait(tokio::time::sleep(Duration::from_secs(59))).await.unwrap();
        assert_eq!(progress.came(1), Ok(()));
        progress.wait(tokio::time::sleep(Duration::from_secs(2))).await.unwrap();
        assert_eq!(progress.came(1), Err(Stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_is_waited_for_as_long_as_it_may_be() {
        let mut progress = Progress::at_least(SlowestAverage::USUAL).silent_for(Duration::from_secs(5));
        let began = Instant::now();
        assert_eq!(progress.wait(std::future::pending::<()>()).await, Err(Stalled));
        assert_eq!(began.elapsed().as_secs(), 5);
        assert_eq!(progress.wait(async { 7 }).await, Ok(7));
    }

    #[test]
    fn what_moved_is_waited_for_anew() {
        let (longest, began) = (Duration::from_secs(60), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut progress = Progress::new(longest, began);
        for (total, second, reached) in [
            (0, 59, Ok(false)),
            (1, 59, Ok(true)),
            (1, 118, Ok(false)),
            (2, 200, Ok(true)),
            (2, 259, Ok(false)),
            (2, 260, Err(Stalled)),
            (3, 261, Ok(true)),
        ] {
            assert_eq!(progress.reached(total, at(second)), reached, "{total} at {second}");
        }
        assert_eq!(silence_left(longest, began, at(10)), Some(Duration::from_secs(50)));
        assert_eq!(silence_left(longest, began, at(60)), None);
        assert_eq!(silence_left(longest, at(60), began), Some(longest));
    }
}
