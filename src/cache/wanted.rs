//! What a sealed file must hold to be sent as what was asked for.
//!
//! Owns how an archive and a trust artifact differ in that: the digest each is known by, and what else was said
//! of it. Must not know where the bytes come from, nor who may have them.

use std::fmt;

use crate::domain::{Integrity, Purl, Sha256};
use crate::store::StorageKey;
use crate::store::sealed::Seal;
use crate::upstream::Payload;

/// The content that is asked for. Equal ones pass or fail alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// A release's archive, known by the tree it unpacks to.
    Archive { release: Purl, integrity: Integrity },
    /// The bytes of a trust attachment, known by their own digest, and their length where it was given.
    TrustArtifact { digest: Sha256, size: Option<u64> },
}

/// Content that is not what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    /// An archive of another release that has the same tree.
    #[error("the archive with this integrity is that of {found}, not of {release}")]
    Release { release: Purl, found: String },
    /// A trust artifact of other bytes.
    #[error("the trust detail gives the artifact the digest {expected}, and its bytes hash to {found}")]
    Digest { expected: Sha256, found: Sha256 },
    /// A trust artifact of another length; one that is too long is not read to its end.
    #[error("the trust detail gives the artifact {expected} bytes, and {found} came")]
    Size { expected: u64, found: u64 },
}

impl Wanted {
    pub(super) fn payload(&self) -> Payload {
        match self {
            Self::Archive { .. } => Payload::Archive,
            Self::TrustArtifact { .. } => Payload::TrustArtifact,
        }
    }

    /// Where it lies when it is held.
    pub(super) fn place(&self) -> StorageKey {
        match self {
            Self::Archive { integrity, .. } => StorageKey::Archive(*integrity),
            Self::TrustArtifact { digest, .. } => StorageKey::TrustArtifact(*digest),
        }
    }

    /// What its seal says it is. One artifact may be attached to many releases, so it says nothing.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Archive { release, .. } => release.to_string(),
            Self::TrustArtifact { .. } => String::new(),
        }
    }

    /// Whether `seal` is that of the content known by the digest that is asked for.
    pub(super) fn is_under(&self, seal: &Seal) -> bool {
        match self {
            Self::Archive { integrity, .. } => seal.known_by == *integrity.digest(),
            Self::TrustArtifact { digest, .. } => seal.raw == *digest,
        }
    }

    /// Holds sealed content against all that was said of it.
    pub(super) fn compare(&self, seal: &Seal) -> Result<(), Mismatch> {
        match self {
            Self::Archive { release, .. } if seal.identity != release.to_string() => {
                Err(Mismatch::Release { release: release.clone(), found: seal.identity.clone() })
            }
            Self::TrustArtifact { size: Some(expected), .. } if *expected != seal.length => {
                Err(Mismatch::Size { expected: *expected, found: seal.length })
            }
            Self::TrustArtifact { digest, .. } if *digest != seal.raw => {
                Err(Mismatch::Digest { expected: *digest, found: seal.raw })
            }
            Self::Archive { .. } | Self::TrustArtifact { .. } => Ok(()),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive { release, .. } => release.fmt(f),
            Self::TrustArtifact { digest, .. } => digest.fmt(f),
        }
    }
}
