//! Points in time as a manifest writes them: RFC 3339 in UTC, to the second.
//!
//! Owns the one text form of a second. Must not know what time it is.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as `2026-11-30T04:43:05Z`: UTC, whole seconds, from 1970 to 9999")]
pub struct InvalidTime;

/// A second, counted from the beginning of 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcSecond(u64);

impl UtcSecond {
    /// The last second that four digits of a year can name.
    const LAST: u64 = 253_402_300_799;

    /// The second that begins `seconds` after 1970 began.
    ///
    /// # Errors
    /// [`InvalidTime`] after the year 9999.
    pub fn new(seconds: u64) -> Result<Self, InvalidTime> {
        if seconds <= Self::LAST { Ok(Self(seconds)) } else { Err(InvalidTime) }
    }

    /// The same, or the last one there is.
    #[must_use]
    pub fn saturating(seconds: u64) -> Self {
        Self(seconds.min(Self::LAST))
    }

    /// How many seconds after 1970 began.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    fn system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0)
    }
}

impl fmt::Display for UtcSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&humantime::format_rfc3339_seconds(self.system()), f)
    }
}

impl FromStr for UtcSecond {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let at = humantime::parse_rfc3339(text).map_err(|_| InvalidTime)?;
        let second = Self::new(at.duration_since(UNIX_EPOCH).map_err(|_| InvalidTime)?.as_secs())?;
        // One second has one text.
        if second.to_string() == text { Ok(second) } else { Err(InvalidTime) }
    }
}

impl Serialize for UtcSecond {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_text() {
        for seconds in [0, 1_796_000_000, UtcSecond::LAST] {
            let second = UtcSecond::new(seconds).unwrap();
            assert_eq!(second.to_string().parse(), Ok(second));
        }
        assert_eq!(UtcSecond::new(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UtcSecond::new(UtcSecond::LAST + 1), Err(InvalidTime));
        for bad in [
            "",
            "2026-11-30",
            "2026-11-30T04:43:05",
            "2026-11-30T04:43:05.5Z",
            "2026-11-30T04:43:05+00:00",
            "2026-11-30 04:43:05Z",
            "2026-11-31T04:43:05Z",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(bad.parse::<UtcSecond>(), Err(InvalidTime), "{bad}");
        }
    }
}
