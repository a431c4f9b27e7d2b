//! The head of a manifest: what kind of bundle it is, whose, and when it was made.
//!
//! Owns the fields that stand once. Must not know the lists.

use archive::Sha256;
use serde::{Deserialize, Serialize};

use crate::keys::KeyId;
use crate::layout::{MAX_NUMBER, MAX_STRING};
use crate::time::UtcSecond;

/// The value of `format`.
pub const FORMAT: &str = "scriptorium-bundle/1";

/// What of a mirror is in a bundle: the field `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Everything.
    Full,
    /// What a receipt lacks.
    Delta,
    /// Documents, no files.
    Lifecycle,
}

impl Coverage {
    /// As the manifest writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// What stands once in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestHead {
    /// The base URLs of the registries whose documents are listed, in the order of the registries' names, with a blank between them.
    pub origin: String,
    /// The key that signs it.
    pub key_id: KeyId,
    /// Its place among the bundles of this key: from 1 to 2^53-1.
    pub sequence: u64,
    /// What is in it.
    pub kind: Coverage,
    /// The receipt that it was made for; a delta has one, a full bundle none.
    pub base: Option<Sha256>,
    /// When it was made.
    pub created: UtcSecond,
    /// When it may no longer be taken in.
    pub expires: Option<UtcSecond>,
}

/// Why a head is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    /// The sequence is out of bounds.
    #[error("`sequence` is expected to be from 1 to 9007199254740991")]
    Sequence,
    /// The origin is empty, long or not for one line.
    #[error("`origin` is expected to be a text of one line")]
    Origin,
    /// Kind and base contradict each other.
    #[error("`base` is expected in a delta, and not in a full bundle")]
    Base,
}

impl ManifestHead {
    /// Checks the fields against their bounds and one another.
    ///
    /// # Errors
    /// [`InvalidHead`] names the field.
    pub fn check(&self) -> Result<(), InvalidHead> {
        if !(1..=MAX_NUMBER).contains(&self.sequence) {
            return Err(InvalidHead::Sequence);
        }
        if !is_line(&self.origin) {
            return Err(InvalidHead::Origin);
        }
        match (self.kind, self.base) {
            (Coverage::Full, Some(_)) | (Coverage::Delta, None) => Err(InvalidHead::Base),
            (Coverage::Full, None) | (Coverage::Delta, Some(_)) | (Coverage::Lifecycle, _) => Ok(()),
        }
    }

    /// Whether its time is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UtcSecond) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Whether a text can stand in a line of a log or a header: not empty, bounded, and without control characters.
pub(super) fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_STRING / 2 && !text.chars().any(char::is_control)
}
