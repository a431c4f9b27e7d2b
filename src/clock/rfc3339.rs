//! Instants in documents that people read: RFC 3339, to the millisecond.
//!
//! Owns that form, for serde's `with`. Must not know which documents have it.

use std::time::UNIX_EPOCH;

use super::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes one.
pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(at.expressible()))
}

/// Reads one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("expected an instant after 1970 as RFC 3339 writes it"))
}

/// Reads one in any zone; `None` for what is none, or lies before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.to_ascii_uppercase();
    let (local, ahead) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, ahead(zone)?)
        }
    };
    let at = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let local = i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    u64::try_from(local.checked_sub(ahead)?).ok().map(Timestamp)
}

/// By how many milliseconds the clocks of a zone, as in `+05:30`, are ahead.
fn ahead(zone: &str) -> Option<i64> {
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let (hours, minutes) = zone.split_once(':')?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Those that may be missing.
pub mod option {
    use super::{Deserializer, Serializer, Timestamp};

    /// Writes one, or null.
    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads one that is there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_is_read_in_any_zone() {
        let at = Some(Timestamp(1_767_323_045_000));
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02t03:04:05.000z",
            "2026-01-02T03:04:05+00:00",
            "2026-01-02T08:34:05.000000+05:30",
            "2026-01-01T19:04:05-08:00",
        ] {
            assert_eq!(parse(text), at, "{text}");
        }
        for text in [
            "",
            "Z",
            "soon",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+0000",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05+-1:00",
            "1970-01-01T00:00:00+01:00",
            "2026-01-02T03:04:05\u{e9}00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
