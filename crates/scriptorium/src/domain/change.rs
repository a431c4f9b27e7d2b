//! The writes of a bibliotheca (specification, section "Write routes").
//!
//! Owns their names, their paths and the grammar of an upload's id. Must not know how a write is relayed.

use std::fmt;
use std::str::FromStr;

use super::link::release_path;
use super::{Version, VolumeName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Asks to upload a new version of a volume.
    Publish(VolumeName),
    /// Makes an uploaded archive a release.
    Finalize(VolumeName, UploadId),
    Unpublish(VolumeName, Version),
    /// Asks to upload a trust attachment of a release.
    Attach(VolumeName, Version),
    /// Publishes an uploaded trust attachment.
    FinalizeAttachment(VolumeName, Version, UploadId),
    /// Sends the bytes of an upload to the URL that this proxy gave for them.
    Upload(UploadId),
}

impl Change {
    /// The name in metrics and logs.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Finalize(..) => "finalize",
            Self::Unpublish(..) => "unpublish",
            Self::Attach(..) => "attach",
            Self::FinalizeAttachment(..) => "finalize-attachment",
            Self::Upload(_) => "upload",
        }
    }

    /// The volume or release that it changes; the URL of an upload says neither.
    pub(crate) fn about(&self) -> Option<String> {
        match self {
            Self::Publish(name) | Self::Finalize(name, _) => Some(name.to_string()),
            Self::Unpublish(name, version)
            | Self::Attach(name, version)
            | Self::FinalizeAttachment(name, version, _) => Some(format!("{name}@{version}")),
            Self::Upload(_) => None,
        }
    }

    /// The release that an attachment belongs to.
    pub(crate) fn attached_to(&self) -> Option<&Version> {
        match self {
            Self::Attach(_, version) | Self::FinalizeAttachment(_, version, _) => Some(version),
            Self::Publish(_) | Self::Finalize(..) | Self::Unpublish(..) | Self::Upload(_) => None,
        }
    }

    /// The path of its route, at a registry as here.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Publish(name) => format!("/api/v1/volumes/{name}"),
            Self::Finalize(name, id) => format!("/api/v1/volumes/{name}/uploads/{id}/finalize"),
            Self::Unpublish(name, version) => release_path(name, version),
            Self::Attach(name, version) => format!("/api/v1/volumes/{name}/{version}/trust/uploads"),
            Self::FinalizeAttachment(name, version, id) => {
                format!("/api/v1/volumes/{name}/{version}/trust/uploads/{id}/finalize")
            }
            Self::Upload(id) => format!("/uploads/{id}"),
        }
    }
}

/// The id of an upload at a registry or at this proxy: 1 to 200 unreserved characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 200 letters, digits, `-`, `.`, `_` or `~`, and not dots alone")]
pub(crate) struct InvalidUploadId;

impl UploadId {
    pub(crate) fn as_str(&self) -> &str {
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
