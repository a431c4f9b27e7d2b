//! The stored form of a document: a line with format and checksum, a line of JSON metadata, then the body as it came.
//!
//! ```text
//! scriptorium-document 1 <CRC32C of the rest, 8 hex digits>\n
//! {"key":"/api/v1/…","status":200,"fetched_at":…,"upstream":"public",…}\n
//! <body>
//! ```
//! Owns that format and its version. A stored document that is damaged, foreign or of another version is a
//! miss, never an error. Must not know what bodies mean.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use serde::{Deserialize, Serialize};

use super::keeping::Keeping;
use super::turn::LifecycleTurn;
use crate::clock::Timestamp;
use crate::domain::Registry;

const MAGIC: &str = "scriptorium-document 1 ";
const HEADER: usize = MAGIC.len() + 8 + 1;

/// Why a stored document cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// Not a document of this version.
    #[error("not a stored document of this version")]
    Foreign,
    /// Bytes changed since it was written.
    #[error("checksum mismatch")]
    Damaged,
}

/// What is known about a stored answer besides its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The question, in its canonical spelling.
    pub(crate) key: String,
    /// The HTTP status upstream answered with.
    pub(crate) status: u16,
    /// When it was last fetched or confirmed.
    pub(crate) fetched_at: Timestamp,
    /// How old it already was then, in seconds: upstream's own `Age`.
    #[serde(default)]
    pub(crate) upstream_age: u64,
    /// The upstream's name in the configuration.
    pub(crate) upstream: String,
    /// The upstream's base URL.
    pub(crate) origin: String,
    /// The upstream's validator, for conditional requests.
    #[serde(default)]
    pub(crate) etag: Option<String>,
    /// The URL after redirects, if there were any; relative links are resolved against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// What the registry allows to be done with it.
    #[serde(default, skip_serializing_if = "Keeping::is_free")]
    pub(crate) keeping: Keeping,
    /// The last change of the state that it says of its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<Box<LifecycleTurn>>,
}

impl Meta {
    #[must_use]
    pub(crate) fn registry(&self) -> Registry {
        Registry::new(&*self.upstream, &*self.origin)
    }

    /// Whether it is an answer of `registry`.
    #[must_use]
    pub(crate) fn is_of(&self, registry: &Registry) -> bool {
        self.upstream == registry.name() && self.origin == registry.origin()
    }
}

/// An answer as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) meta: Meta,
    pub(crate) body: Bytes,
}

impl Envelope {
    /// The stored form.
    #[must_use]
    pub(crate) fn encode(&self) -> Bytes {
        let meta = serde_json::to_string(&self.meta).unwrap_or_default();
        let mut rest = Vec::with_capacity(HEADER + meta.len() + 1 + self.body.len());
        rest.extend_from_slice(&[0; HEADER]);
        rest.extend_from_slice(meta.as_bytes());
        rest.push(b'\n');
        rest.extend_from_slice(&self.body);
        let header = first_line(&rest[HEADER..]);
        rest[..HEADER].copy_from_slice(header.as_bytes());
        rest.into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`EnvelopeError`] when it is damaged or foreign; the caller treats that as a miss.
    pub(crate) fn decode(stored: &Bytes) -> Result<Self, EnvelopeError> {
        let header = stored.get(..HEADER).filter(|header| header.starts_with(MAGIC.as_bytes()));
        let header = header.ok_or(EnvelopeError::Foreign)?;
        let rest = stored.slice(HEADER..);
        if header != first_line(&rest).as_bytes() {
            return Err(EnvelopeError::Damaged);
        }
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(EnvelopeError::Foreign)?;
        let meta = serde_json::from_slice(&rest[..end]).map_err(|_| EnvelopeError::Foreign)?;
        Ok(Self { meta, body: rest.slice(end + 1..) })
    }
}

fn first_line(rest: &[u8]) -> String {
    format!("{MAGIC}{:08x}\n", checksum(CrcAlgorithm::Crc32Iscsi, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Envelope {
        Envelope {
            meta: Meta {
                key: "/api/v1/capabilities".into(),
                status: 200,
                fetched_at: Timestamp(1_700_000_000_000),
                upstream_age: 3,
                upstream: "public".into(),
                origin: "https://up".into(),
                etag: Some("\"a\"".into()),
                at: None,
                keeping: Keeping { no_cache: true, cap: None, withheld: false },
                turn: None,
            },
            body: Bytes::from_static(b"{\n}\n\xff"),
        }
    }

    #[test]
    fn survives_storage() {
        assert_eq!(Envelope::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let stored = sample().encode();
        for at in 0..stored.len() {
            let mut damaged = stored.to_vec();
            damaged[at] ^= 0x20;
            assert!(Envelope::decode(&damaged.into()).is_err(), "byte {at}");
            assert!(Envelope::decode(&stored.slice(..at)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn version_one_is_read_as_it_was_written() {
        let meta =
            r#"{"key":"/k","status":404,"fetched_at":5,"upstream":"u","origin":"http://u","later":true}"#;
        let rest = format!("{meta}\nbody");
        let stored = format!("{}{rest}", first_line(rest.as_bytes()));
        let envelope = Envelope::decode(&stored.into()).unwrap();
        assert_eq!((envelope.meta.status, envelope.meta.etag, &envelope.body[..]), (404, None, &b"body"[..]));
        assert!(envelope.meta.keeping.is_free());
    }

    #[test]
    fn another_version_is_a_miss() {
        let stored = String::from_utf8_lossy(&sample().encode()).replace("document 1", "document 2");
        assert_eq!(Envelope::decode(&stored.into_bytes().into()), Err(EnvelopeError::Foreign));
    }
}
