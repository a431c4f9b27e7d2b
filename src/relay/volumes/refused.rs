//! Why a write of Agent Volumes is answered here and not by the registry.
//!
//! Owns the reasons that no other API has. Texts are fit for clients: no URL, header or token of the registry's is in
//! one.

use crate::archive::ArchiveError;
use crate::cache::Failure;

/// A write of Agent Volumes that was not relayed, or whose answer is not the client's.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No upload has this place, or none any more.
    #[error(
        "there is no such upload here; ask for a new upload of the version and follow the place it names"
    )]
    UnknownUpload,
    /// The upload's time is over.
    #[error("the upload is past its time; ask for a new one; nothing was sent")]
    Expired,
    /// Another credential began the upload, and none came with this.
    #[error("send the Authorization that the upload was asked for with; nothing was sent")]
    NoCredential,
    /// Another credential began the upload.
    #[error("the upload was asked for with another credential; send that one; nothing was sent")]
    NotTheirs,
    /// The same upload is being sent already.
    #[error("this upload is being sent already; wait for that to end; nothing was sent")]
    UnderWay,
    /// The content is sent as something else than was declared.
    #[error("expected Content-Type: {expected}, which the upload was asked for with; nothing was sent")]
    MediaType {
        /// As declared.
        expected: String,
    },
    /// A release that is no archive.
    #[error("mediaType must be application/gzip, for a release is a .tar.gz; nothing was sent")]
    NotGzip,
    /// An attachment for something else than the release it is sent to.
    #[error(
        "subject.{member} is {found}, and the release on this route has {expected}; attach to the release itself; \
         nothing was sent"
    )]
    Subject {
        /// Which of the subject's members.
        member: &'static str,
        /// As the registry gives it.
        expected: String,
        /// As the request has it.
        found: String,
    },
    /// The release that something is attached to cannot be had.
    #[error(transparent)]
    Release(#[from] Failure),
    /// The archive is none that may be published.
    #[error("{}; nothing was sent, correct the archive and upload it again", fault(.0))]
    Archive(#[from] ArchiveError),
    /// An instruction that cannot be followed here, and must not be followed around this proxy.
    #[error(
        "the registry granted an upload that this proxy cannot follow: {0}; nothing was uploaded; \
         tell the registry's operator"
    )]
    Instruction(&'static str),
}

/// What is wrong with an archive, to its publisher.
fn fault(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Gzip(_) => {
            "the archive is damaged: expected whole gzip members and nothing after them".to_owned()
        }
        error => error.to_string(),
    }
}
