//! The files of a bibliotheca, as clients ask for them.
//!
//! Owns which document permits each file. Must not know what that document says.

use super::{DocumentKey, Sha256, Version, VolumeName};

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileKey {
    /// The archive.
    Archive(VolumeName, Version),
    /// The bytes of a trust attachment, by their digest.
    TrustArtifact(VolumeName, Version, Sha256),
}

impl FileKey {
    /// The name used in metrics and logs.
    #[must_use]
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Archive(..) => "archive",
            Self::TrustArtifact(..) => "trust-artifact",
        }
    }

    /// The document that must permit the file before a byte of it is sent.
    #[must_use]
    pub(crate) fn gate(&self) -> DocumentKey {
        match self {
            Self::Archive(name, version) => DocumentKey::Release(name.clone(), version.clone()),
            Self::TrustArtifact(name, version, _) => DocumentKey::TrustDetail(name.clone(), version.clone()),
        }
    }
}
