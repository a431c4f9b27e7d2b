//! The expected content of a sealed file, and the origin of its bytes.
//!
//! Owns the difference between an archive and a trust artifact: the digest that each is known by, and the other claims about
//! it. Must not know how bytes are fetched, nor which client may read them.

use std::fmt;

use crate::domain::{Dist, DocumentKey, Integrity, Purl, Registry, Sha256};
use crate::read::ReadFailure;
use crate::store::StorageKey;
use crate::store::sealed::Seal;
use crate::upstream::Payload;

/// The content that is asked for or carried. Equal values pass or fail alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ExpectedFile {
    /// A release's archive, known by the tree that it unpacks to.
    Archive { release: Purl, integrity: Integrity },
    /// The bytes of a trust attachment, known by their own digest, and their length where it was given.
    TrustArtifact { digest: Sha256, size: Option<u64> },
}

/// One fetch: a registry's failure to deliver a content is not another registry's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileFetch {
    pub(super) registry: Registry,
    pub(super) expected: ExpectedFile,
}

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileAddress {
    /// Absolute, or relative to the document that names it.
    Url(String),
    /// An archive is made of this commit of a repository.
    Git { repository: String, reference: String },
}

impl FileAddress {
    pub(super) fn of(dist: &Dist) -> Self {
        match dist.clone() {
            Dist::Cdn { url } => Self::Url(url),
            Dist::Git { repository, reference } => Self::Git { repository, reference },
        }
    }

    /// The URL that is requested first.
    pub(super) fn locator(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Git { repository, .. } => repository,
        }
    }
}

/// The origin of a file: its content, its registry and its address.
#[derive(Debug, Clone)]
pub(super) struct FileOrigin {
    pub(super) fetch: FileFetch,
    pub(super) address: FileAddress,
    /// The document that names it.
    pub(super) from: DocumentKey,
}

/// A difference between the content and its gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileMismatch {
    /// An archive of another release that has the same tree. The operator may know which.
    #[error("the archive with this integrity is that of {found}, not of {release}")]
    Release { release: Purl, found: String },
    #[error("the trust detail gives the artifact the digest {expected}, and its bytes hash to {found}")]
    Digest { expected: Sha256, found: Sha256 },
    /// An artifact that is too long is not read to its end.
    #[error("the trust detail gives the artifact {expected} bytes, and {found} came")]
    Size { expected: u64, found: u64 },
}

impl ExpectedFile {
    pub(super) fn payload(&self) -> Payload {
        match self {
            Self::Archive { .. } => Payload::Archive,
            Self::TrustArtifact { .. } => Payload::TrustArtifact,
        }
    }

    pub(super) fn storage_key(&self) -> StorageKey {
        match self {
            Self::Archive { integrity, .. } => StorageKey::Archive(*integrity),
            Self::TrustArtifact { digest, .. } => StorageKey::TrustArtifact(*digest),
        }
    }

    /// The identity in its seal. One artifact may be attached to many releases, so its seal has none.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Archive { release, .. } => release.to_string(),
            Self::TrustArtifact { .. } => String::new(),
        }
    }

    /// Whether `seal` is that of the content known by the digest that is asked for.
    pub(super) fn is_known_by(&self, seal: &Seal) -> bool {
        match self {
            Self::Archive { integrity, .. } => seal.known_by == *integrity.digest(),
            Self::TrustArtifact { digest, .. } => seal.raw == *digest,
        }
    }

    /// Compares sealed content with all claims of the gate.
    pub(super) fn compare(&self, seal: &Seal) -> Result<(), FileMismatch> {
        match self {
            Self::Archive { release, .. } if seal.identity != release.to_string() => {
                Err(FileMismatch::Release { release: release.clone(), found: seal.identity.clone() })
            }
            Self::TrustArtifact { size: Some(expected), .. } if *expected != seal.length => {
                Err(FileMismatch::Size { expected: *expected, found: seal.length })
            }
            Self::TrustArtifact { digest, .. } if *digest != seal.raw => {
                Err(FileMismatch::Digest { expected: *digest, found: seal.raw })
            }
            Self::Archive { .. } | Self::TrustArtifact { .. } => Ok(()),
        }
    }
}

impl From<FileMismatch> for ReadFailure {
    fn from(mismatch: FileMismatch) -> Self {
        let why = match &mismatch {
            // A client may not be allowed to read the other release, nor to know that there is one.
            FileMismatch::Release { release, .. } => {
                format!("the archive with this integrity is another release's, not that of {release}")
            }
            FileMismatch::Digest { .. } | FileMismatch::Size { .. } => mismatch.to_string(),
        };
        Self::Inconsistent(why)
    }
}

impl fmt::Display for ExpectedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive { release, .. } => release.fmt(f),
            Self::TrustArtifact { digest, .. } => digest.fmt(f),
        }
    }
}
