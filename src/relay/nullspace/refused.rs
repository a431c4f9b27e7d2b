//! Why a Nullspace request is answered here.
//!
//! Owns the reasons that only this API has, in the API's own words. Must not know statuses.

/// A Nullspace request that was not relayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A path that could mean another one to the registry.
    #[error(
        "this path is not relayed: expected non-empty segments without `.`, `..`, backslashes or encoded slashes"
    )]
    Path,
    /// A header that the route needs.
    #[error("this route needs the header {0}; nothing was sent")]
    Header(&'static str),
    /// Content that would have to be decoded before it is what is checked.
    #[error("this route takes content without Content-Encoding; nothing was sent")]
    Coded,
    /// No one says what a version should hold.
    #[error(
        "this proxy cannot verify the bundle: the registry gives no manifest for the version; create the version \
         through this proxy and upload again; nothing was sent"
    )]
    Unverifiable,
    /// A manifest that no bundle can be held against.
    #[error("the version's manifest cannot be used: {0}; nothing was sent")]
    Manifest(String),
    /// A bundle that is not what its version's manifest says.
    #[error("the bundle is not what the version's manifest says: {0}; nothing was sent")]
    Bundle(String),
    /// A bundle that is no tar that can be read in one way only.
    #[error("the bundle cannot be read: {0}; nothing was sent")]
    Tar(String),
    /// As many uploads as fit are being checked.
    #[error("this proxy is checking as many uploads as it can; nothing was sent, try again shortly")]
    Busy,
    /// A step of a resumable upload.
    #[error("{fault}")]
    Upload {
        /// What is wrong with it.
        fault: UploadFault,
        /// The upload.
        upload: String,
        /// The part, where it is about one.
        part: Option<u32>,
    },
}

/// What is wrong with a step of a resumable upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadFault {
    /// A part's bytes are not those that were declared.
    #[error("the part's bytes do not hash to x-nullspace-part-sha256: {0}; nothing was sent")]
    PartChecksum(String),
    /// A part is not as long as the upload's parts are.
    #[error("the part has {found} bytes, expected {expected}; nothing was sent")]
    PartSize {
        /// What it must have.
        expected: u64,
        /// What it has, or more than that.
        found: String,
    },
    /// There is no such part.
    #[error("the upload has {count} parts, counted from 0; nothing was sent")]
    PartNumber {
        /// How many there are.
        count: u32,
    },
    /// A part is larger than this proxy takes.
    #[error("this proxy takes bodies of at most {limit} bytes; nothing was sent")]
    TooLarge {
        /// The most there may be.
        limit: u64,
    },
    /// There is nowhere to check a part.
    #[error("this proxy has no room to check the part now; nothing was sent, try again later")]
    NoRoom,
    /// The parts together are not what was declared.
    #[error(
        "the parts that came hash to {found}, and whole_checksum_sha256 is {expected}; the upload was not completed"
    )]
    WholeChecksum {
        /// As declared.
        expected: String,
        /// As computed.
        found: String,
    },
}

impl Refused {
    /// Whether what was uploaded is not what it was said to be.
    pub(super) fn is_about_content(&self) -> bool {
        match self {
            Self::Bundle(_) | Self::Tar(_) => true,
            Self::Upload { fault, .. } => {
                matches!(fault, UploadFault::PartChecksum(_) | UploadFault::WholeChecksum { .. })
            }
            Self::Path
            | Self::Header(_)
            | Self::Coded
            | Self::Unverifiable
            | Self::Manifest(_)
            | Self::Busy => false,
        }
    }
}

impl UploadFault {
    /// The API's own name for it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PartChecksum(_) => "invalid_part_checksum",
            Self::PartSize { .. } => "part_size_mismatch",
            Self::PartNumber { .. } => "part_out_of_range",
            Self::TooLarge { .. } => "size_limit_exceeded",
            Self::NoRoom => "insufficient_staging_space",
            Self::WholeChecksum { .. } => "whole_checksum_mismatch",
        }
    }
}
