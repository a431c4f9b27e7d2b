//! What the upstream saw of one request: its head, as much of its body as came, and how the body ended.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::wire::{Fields, Framing};

/// As much of a body is kept; the rest is only counted.
const MOST_KEPT: usize = 64 << 20;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    /// The first 64 MiB of what came of the body so far.
    pub(crate) body: Vec<u8>,
    /// How much of the body came so far.
    pub(crate) length: u64,
    pub(crate) ending: Ending,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is still coming, or was never read.
    Open,
    Whole,
    /// The connection ended, or was cut here, before the body did.
    Short,
}

impl Seen {
    pub(super) fn new(start: &str, fields: Fields) -> Self {
        let mut words = start.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let framing = Framing::of(&fields);
        let ending = if framing == Framing::None { Ending::Whole } else { Ending::Open };
        let (method, target) = (method.to_owned(), target.replace("%40", "@"));
        Self { method, target, fields, framing, body: Vec::new(), length: 0, ending }
    }

    pub(super) fn take(&mut self, piece: &[u8]) {
        let room = MOST_KEPT - self.body.len();
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += piece.len() as u64;
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether it asks for this target; one without its query stands for every query.
    pub(crate) fn asks_for(&self, target: &str) -> bool {
        self.target == target || self.path() == target
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The token of its `Authorization`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Its body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The SHA-256 of its body, in hex.
    pub(crate) fn sha256(&self) -> String {
        hex_digest(&self.body)
    }
}

/// The SHA-256 of these bytes, in hex.
pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
