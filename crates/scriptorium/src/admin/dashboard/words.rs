//! Numbers, sizes and times in words.
//!
//! Owns these words. Must not know what they are about.

use std::time::Duration;

use bytesize::ByteSize;
use maud::{Markup, html};

use crate::clock::Timestamp;

const MINUTE: u64 = 60_000;

/// The number of a minute since 1970.
pub(crate) fn minute(at: Timestamp) -> u64 {
    at.0 / MINUTE
}

/// The beginning of a minute, by its number, as a time of day in UTC.
pub(super) fn time_of_day(minute: u64) -> String {
    let text = Timestamp(minute.saturating_mul(MINUTE)).to_string();
    text.get(11..16).unwrap_or_default().to_owned()
}

/// "1.5 GiB".
pub(super) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// "1,234,567".
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A part of a whole in percent, rounded.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 0,
        whole => ((u128::from(part) * 200 / u128::from(whole)).div_ceil(2)).min(100) as u64,
    }
}

/// The two largest units of a time: "3days 4h".
pub(super) fn span(time: Duration) -> String {
    let unit = match time.as_secs() {
        0..60 => 1,
        60..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    humantime::format_duration(Duration::from_secs(time.as_secs() / unit * unit)).to_string()
}

/// "4m 5s ago", with the time itself beside it.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> Markup {
    let text = match now.since(at) {
        Some(time) if time < Duration::from_secs(1) => "now".to_owned(),
        Some(time) => format!("{} ago", span(time)),
        None => at.to_string(),
    };
    html! { time datetime=(at) title=(at) { (text) } }
}

/// Characters of a text that somebody else wrote.
const LONGEST: usize = 300;

/// A text that somebody else may have written, short enough for a line.
pub(super) fn bounded(text: &str) -> String {
    let mut bounded: String = text.chars().take(LONGEST).collect();
    if bounded.len() < text.len() {
        bounded.push('…');
    }
    bounded
}

/// A page without characters that nobody sees, or that turn what stands after them round.
pub(super) fn visible(page: String) -> String {
    let is_hidden = |one: char| {
        one.is_control() && one != '\n'
            || matches!(one, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if page.contains(is_hidden) { page.replace(is_hidden, "\u{fffd}") } else { page }
}

/// "1.5 s", "23 ms".
pub(super) fn latency(took: Duration) -> String {
    match took.as_millis() {
        0 => format!("{} µs", took.as_micros()),
        millis @ 1..1000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [(0, 0), (1, 3), (1, 2), (2, 1)].map(|(part, whole)| percent(part, whole)),
            [0, 33, 50, 100]
        );
        assert_eq!(counted(1, "hit", "hits"), "1 hit");
        assert_eq!(bytes(1536 << 20), "1.5 GiB");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(span(Duration::from_secs(59)), "59s");
        assert_eq!(span(Duration::from_secs(3 * 3_600 + 59)), "3h");
        assert_eq!(span(Duration::from_secs(3 * 86_400 + 4 * 3_600 + 59)), "3days 4h");
        assert_eq!(latency(Duration::from_micros(80)), "80 µs");
        assert_eq!(latency(Duration::from_millis(1_540)), "1.5 s");
        assert_eq!(time_of_day(minute(Timestamp(1_700_000_000_000))), "22:13");
        assert!(ago(Timestamp(65_000), Timestamp(0)).into_string().contains(">1m 5s ago<"));
        assert!(ago(Timestamp(0), Timestamp(5_000)).into_string().contains(">1970-01-01T00:00:05Z<"));
    }
}
