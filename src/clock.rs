//! Time, passed in: the only place that reads a clock.
//!
//! Owns both kinds of time: wall-clock instants, which are stored and survive a restart, and monotonic
//! time, which measures waiting. Must not decide anything.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

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

    /// RFC 3339 in milliseconds, as logs have it.
    #[must_use]
    pub fn precisely(self) -> impl fmt::Display {
        humantime::format_rfc3339_millis(self.expressible())
    }

    /// The nearest instant that RFC 3339 has a text for: its years have four digits.
    fn expressible(self) -> SystemTime {
        const LAST: u64 = 253_402_300_799_999;
        UNIX_EPOCH + Duration::from_millis(self.0.min(LAST))
    }
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
