//! Time, passed in: the only place that reads a clock.
//!
//! Owns both kinds of time: wall-clock instants, which are stored and survive a restart, and monotonic
//! time, which measures waiting. Must not decide anything.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub mod pace;
pub mod rfc3339;

/// A wall-clock instant in milliseconds since 1970, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was; `None` when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }

    /// RFC 3339 in milliseconds, as logs have it. By hand, for it is part of every hit.
    #[must_use]
    pub fn precisely(self) -> [u8; 24] {
        let millis = self.0.min(Self::LAST);
        let (year, month, day) = date(millis / 86_400_000);
        let digit = |number: u64| b'0' + (number % 10) as u8;
        let two = |number: u64| [digit(number / 10), digit(number)];
        let [y0, y1] = two(year / 100);
        let [y2, y3] = two(year);
        let [mo0, mo1] = two(month);
        let [d0, d1] = two(day);
        let [h0, h1] = two(millis / 3_600_000 % 24);
        let [mi0, mi1] = two(millis / 60_000 % 60);
        let [s0, s1] = two(millis / 1000 % 60);
        let [ms0, ms1, ms2] = [digit(millis / 100), digit(millis / 10), digit(millis)];
        [
            y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T', h0, h1, b':', mi0, mi1, b':', s0, s1, b'.',
            ms0, ms1, ms2, b'Z',
        ]
    }

    /// The last instant that RFC 3339 has a text for: its years have four digits.
    const LAST: u64 = 253_402_300_799_999;

    /// The nearest instant that has one.
    fn expressible(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.min(Self::LAST))
    }
}

/// Year, month and day of so many days after 1970 began. Counted in years from March, whose last day may be the 29th
/// of February, and in the 400 years after which the calendar begins anew.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let from_march_0000 = days + 719_468;
    let (era, day) = (from_march_0000 / ERA, from_march_0000 % ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (carry, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (400 * era + year + carry, month, day)
}

/// As a person reads it: RFC 3339, in whole seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.expressible()).fmt(f)
    }
}

/// What time it is.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock, which an administrator may turn back.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
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

/// A clock that a test turns by hand.
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
        let expected = humantime::format_rfc3339_millis(at.expressible()).to_string();
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
