//! Time, passed in: only this file reads a clock.
//!
//! Owns both kinds of time: wall-clock instants, which are stored and survive a restart, and monotonic time, which
//! measures waiting. Must not decide anything.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

pub(crate) mod rfc3339;

/// A wall-clock instant in milliseconds since 1970, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was; `None` when it lies in the future.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }

    /// The moment that is `time` later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    /// RFC 3339 in milliseconds, as logs have it. Every hit writes one, so the digits are put here.
    pub(crate) fn precisely(self) -> [u8; 24] {
        let at = self.utc();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |place: usize, number: u32| {
            text[place] = b'0' + (number / 10) as u8;
            text[place + 1] = b'0' + (number % 10) as u8;
        };
        let (year, millis) = (at.year().unsigned_abs(), at.timestamp_subsec_millis());
        put(0, year / 100);
        put(2, year % 100);
        put(5, at.month());
        put(8, at.day());
        put(11, at.hour());
        put(14, at.minute());
        put(17, at.second());
        put(20, millis / 10);
        text[22] = b'0' + (millis % 10) as u8;
        text
    }

    /// The last instant that RFC 3339 can write: its years have four digits.
    const LAST: u64 = 253_402_300_799_999;

    /// The nearest instant that RFC 3339 can write.
    fn utc(self) -> DateTime<Utc> {
        i64::try_from(self.0.min(Self::LAST))
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default()
    }
}

/// RFC 3339 in whole seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

pub(crate) trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock, which an administrator may turn back.
    fn now(&self) -> Timestamp;
    /// Time since a fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that a test sets.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ManualClock(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl ManualClock {
    pub(crate) fn at(millis: u64) -> Self {
        Self(millis.into())
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now().0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_spelt(at: Timestamp) {
        let nearest = UNIX_EPOCH + Duration::from_millis(at.0.min(Timestamp::LAST));
        let expected = humantime::format_rfc3339_millis(nearest).to_string();
        assert_eq!(std::str::from_utf8(&at.precisely()).unwrap(), expected);
    }

    #[test]
    fn instants_are_spelt_from_the_first_to_the_last() {
        // Leap days, the days around them, and the ends of what can be said.
        for at in [
            0,
            951_782_399_999,
            951_782_400_000,
            951_868_800_000,
            4_107_542_400_000,
            Timestamp::LAST,
            u64::MAX,
        ] {
            assert_spelt(Timestamp(at));
        }
    }

    proptest! {
        #[test]
        fn instants_are_spelt_as_the_library_does(at in 0..=Timestamp::LAST) {
            assert_spelt(Timestamp(at));
        }
    }
}
