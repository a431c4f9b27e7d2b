//! Seconds, days and spans of time as an operator writes them.
//!
//! Owns their text forms. Must not know what time it is.

use std::time::{Duration, UNIX_EPOCH};

/// The last second that RFC 3339 can write: its years have four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// A second since 1970 in RFC 3339.
#[must_use]
pub fn rfc3339(second: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(second.min(LAST_SECOND))).to_string()
}

/// The day of a second since 1970, as in `2026-12-31`.
#[must_use]
pub fn day_of(second: u64) -> String {
    let mut day = rfc3339(second);
    day.truncate(10);
    day
}

/// The first second after a day that is written as `2026-12-31`.
pub(crate) fn end_of_day(day: &str) -> Option<u64> {
    const DAY: u64 = 86_400;
    let digits = |c: char| c.is_ascii_digit() || c == '-';
    if day.len() != 10 || !day.chars().all(digits) {
        return None;
    }
    let begins = humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).ok()?;
    let begins = begins.duration_since(UNIX_EPOCH).ok()?.as_secs();
    // A day that does not exist would be read as one of the next month.
    (day_of(begins) == day).then_some(begins + DAY)
}

/// A span such as `7d`, in seconds. Less than a second is none.
pub(crate) fn span(text: &str) -> Option<u64> {
    humantime::parse_duration(text).ok().map(|span| span.as_secs())
}

/// A span in words.
pub(crate) fn span_text(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    match seconds {
        seconds if seconds > 0 && seconds % DAY == 0 => format!("{}d", seconds / DAY),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

/// The earlier of two instants, of which each may never come.
pub(crate) fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_to_its_end() {
        assert_eq!(end_of_day("1970-01-01"), Some(86_400));
        assert_eq!(end_of_day("2026-12-31").map(rfc3339).as_deref(), Some("2027-01-01T00:00:00Z"));
        assert_eq!(end_of_day("2028-02-29").map(rfc3339).as_deref(), Some("2028-03-01T00:00:00Z"));
        for bad in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "26-12-31",
            "2026-12-31 ",
            "1969-12-31",
            "2026/12/31",
            "never",
        ] {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_span_is_printed_as_it_is_read() {
        for text in ["7d", "36d", "90m", "1h 30m", "1s"] {
            assert_eq!(span(&span_text(span(text).unwrap())), span(text), "{text}");
        }
        assert_eq!((span("7"), span(""), span("a week"), span("-1d")), (None, None, None, None));
    }
}
