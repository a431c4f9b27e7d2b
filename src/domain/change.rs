//! What a client asks a bibliotheca to change (specification, section "Write routes").
//!
//! Owns the writes' names and the grammar of an upload's id. Must not know how a write travels.

use std::fmt;
use std::str::FromStr;

use super::{Version, VolumeName};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Ask to upload a new version of a volume.
    Publish(VolumeName),
    /// Make an uploaded archive a release.
    Finalize(VolumeName, UploadId),
    /// Take a release back.
    Unpublish(VolumeName, Version),
    /// Ask to upload a trust attachment of a release.
    Attach(VolumeName, Version),
    /// Make an uploaded trust attachment known.
    FinalizeAttachment(VolumeName, Version, UploadId),
    /// The bytes of an upload, at the place this proxy gave out for them.
    Upload(UploadId),
}

impl Change {
    /// The name used in metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Finalize(..) => "finalize",
            Self::Unpublish(..) => "unpublish",
            Self::Attach(..) => "attach",
            Self::FinalizeAttachment(..) => "finalize-attachment",
            Self::Upload(_) => "upload",
        }
    }
}

/// What a registry, or this proxy, calls an upload: 1 to 200 unreserved characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId(String);

/// A text that is no upload's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 200 letters, digits, `-`, `.`, `_` or `~`, and not dots alone")]
pub struct InvalidUploadId;

impl UploadId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, InvalidUploadId> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let valid = (1..=200).contains(&text.len())
            && text.bytes().all(unreserved)
            && !text.bytes().all(|byte| byte == b'.');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidUploadId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_id_cannot_leave_its_segment() {
        for id in ["u", "0f3e-4", "a.b_c~d", &"x".repeat(200)] {
            assert_eq!(id.parse::<UploadId>().unwrap().as_str(), id);
        }
        for id in ["", ".", "..", "a/b", "a%2fb", "a?b", "a b", "\u{e9}", &"x".repeat(201)] {
            assert_eq!(id.parse::<UploadId>(), Err(InvalidUploadId), "{id}");
        }
    }
}
