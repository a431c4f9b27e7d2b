//! Instants in documents that people read: RFC 3339 in milliseconds.
//!
//! Owns that form, for serde's `with`. Must not know which documents have it.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::Timestamp;

pub(crate) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("expected an instant after 1970 as RFC 3339 writes it"))
}

/// Reads an instant in any zone; `None` for another text, and for an instant before 1970. The library also takes a space
/// for the `T`.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc3339(text).ok().filter(|_| !text.contains(' '))?;
    u64::try_from(at.timestamp_millis()).ok().map(Timestamp)
}

/// Instants that may be missing.
pub(crate) mod option {
    use super::{Deserializer, Serializer, Timestamp};

    pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
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
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
