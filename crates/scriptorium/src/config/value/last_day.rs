//! The last day on which something holds, through its end in UTC.
//!
//! Owns the text form. Must not know what ends, nor which day it is.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime};

use super::InvalidValue;

const FORM: &str = "%Y-%m-%d";

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LastDay(NaiveDate);

impl LastDay {
    /// The first millisecond since 1970 after the day.
    pub(crate) fn end(self) -> u64 {
        let next = self.0.succ_opt().unwrap_or(self.0).and_time(NaiveTime::MIN).and_utc();
        u64::try_from(next.timestamp_millis()).unwrap_or(0)
    }
}

impl FromStr for LastDay {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let day = NaiveDate::parse_from_str(text, FORM).map_err(|_| InvalidValue)?;
        // The library takes other spellings too.
        if day.format(FORM).to_string() == text { Ok(Self(day)) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for LastDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format(FORM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_holds_through_its_end() {
        let day: LastDay = "1970-01-01".parse().unwrap();
        assert_eq!(day.end(), 86_400_000);
        assert_eq!("2027-01-31".parse::<LastDay>().unwrap().to_string(), "2027-01-31");
        for bad in ["", "2027", "2027-1-31", "2027-02-30", "31.1.2027", "2027-01-31T00:00:00Z", "+2027-01-31"]
        {
            assert!(bad.parse::<LastDay>().is_err(), "{bad}");
        }
    }
}
