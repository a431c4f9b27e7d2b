//! What can be wrong with a bundle's blobs and parts.
//!
//! Owns the words for it. Must not know how it is found.

use std::fmt;
use std::io;

use archive::Sha256;

use crate::folder::EntryFault;
use crate::keys::KeyId;

/// What is wrong, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleProblem {
    /// What it is about.
    pub subject: ProblemSubject,
    /// What is wrong with it.
    pub fault: BlobFault,
}

impl fmt::Display for BundleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.fault)
    }
}

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProblemSubject {
    /// The signature, beside its being good or bad.
    Signature,
    /// A blob.
    Blob(Sha256),
    /// A tar file, by its name.
    Part(String),
}

impl fmt::Display for ProblemSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("the signature"),
            Self::Blob(digest) => write!(f, "blob {}", digest.hex()),
            Self::Part(name) => f.write_str(name),
        }
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is a link, a pipe, a device or a folder.
    #[error("is not a regular file")]
    Special,
    /// It has more or fewer bytes than the manifest says.
    #[error("has {found} bytes, expected {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Its bytes are others than the manifest says.
    #[error("has other bytes than the manifest says")]
    Digest,
    /// It ends too early.
    #[error("is cut off")]
    CutOff,
    /// A tar file holds something else than listed blobs, each once, at this offset first.
    #[error("has something else than a listed blob, or one for the second time, at byte {at}")]
    Framing {
        /// Where.
        at: u64,
    },
    /// It was signed by another key than the one that the manifest names.
    #[error("is one of the key {signed_by}, and the manifest names {named}")]
    OtherKey {
        /// The signature's key.
        signed_by: KeyId,
        /// The manifest's.
        named: KeyId,
    },
    /// The system cannot read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl From<EntryFault> for BlobFault {
    fn from(fault: EntryFault) -> Self {
        match fault {
            EntryFault::Missing => Self::Missing,
            EntryFault::Special => Self::Special,
            EntryFault::Io(error) => error.into(),
        }
    }
}

impl From<io::Error> for BlobFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}
