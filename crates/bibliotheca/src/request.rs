//! One request as the registry received it: its head, the part of its body that arrived, and how the body ended.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::wire::{BodyFraming, HeaderFields};

/// The most bytes of a body that are kept. The bytes after them are only counted.
const MOST_KEPT: usize = 64 << 20;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// In capitals.
    pub method: String,
    /// Path and query, with `%40` read as `@`.
    pub target: String,
    /// The header fields.
    pub fields: HeaderFields,
    /// How the request delimits its body.
    pub framing: BodyFraming,
    /// The first 64 MiB of what arrived of the body so far.
    pub body: Vec<u8>,
    /// How many bytes of the body arrived so far.
    pub length: u64,
    /// How the body ended.
    pub ending: BodyEnding,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnding {
    /// It is still arriving, or was never read.
    Open,
    /// It arrived whole.
    Whole,
    /// The connection ended, or was cut here, before the body did.
    Short,
}

impl ReceivedRequest {
    /// A request without a body for `method` and `target`, as if it had arrived.
    pub fn new(method: &str, target: &str, fields: HeaderFields) -> Self {
        let framing = BodyFraming::of(&fields);
        let ending = if framing == BodyFraming::None { BodyEnding::Whole } else { BodyEnding::Open };
        let (method, target) = (method.to_owned(), target.replace("%40", "@"));
        Self { method, target, fields, framing, body: Vec::new(), length: 0, ending }
    }

    pub(crate) fn extend(&mut self, piece: &[u8]) {
        let room = MOST_KEPT - self.body.len();
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += piece.len() as u64;
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query of the target, without its `?`.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Whether it asks for this target; a target without a query matches every query.
    pub fn asks_for(&self, target: &str) -> bool {
        self.target == target || self.path() == target
    }

    /// Whether its method only reads.
    pub fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// The first value of a header field; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The bearer token of its `Authorization`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Its body as JSON; null when the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The SHA-256 of its body, in hex.
    pub fn sha256(&self) -> String {
        hex_digest(&self.body)
    }
}

/// The SHA-256 of these bytes, in hex.
pub fn hex_digest(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
