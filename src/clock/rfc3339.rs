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
    let at = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
    let since = at.duration_since(UNIX_EPOCH).map_err(D::Error::custom)?;
    Ok(Timestamp(u64::try_from(since.as_millis()).map_err(D::Error::custom)?))
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
