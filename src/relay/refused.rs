//! Why a write is answered here and not by the registry, or by nobody.
//!
//! Owns the reasons that both APIs share. Must not know how either tells them to a client: that is `respond::error`.

use super::body::BodyError;
use super::{nullspace, volumes};
use crate::domain::{Sha256, VolumeName};
use crate::intake::IntakeError;
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;

/// A write that was not relayed, or whose answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No registry is configured for the volume.
    #[error("no registry is configured for {0}; ask the operator of this proxy")]
    NoUpstream(VolumeName),
    /// The operator did not turn writes on.
    #[error(
        "this proxy relays no writes for {0}: its operator would have to set `writes = true` for the registry; \
         nothing was sent"
    )]
    WritesOff(VolumeName),
    /// `cache.offline`.
    #[error("this proxy is offline by configuration and relays nothing; nothing was sent")]
    Offline,
    /// The registry could not be asked, or its answer was lost.
    #[error(transparent)]
    CouldNotAsk(#[from] CouldNotAsk),
    /// The client's body did not come as it should.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// There is nowhere to check it, or what was kept of it cannot be read.
    #[error("this proxy's storage cannot take the upload in now; nothing was sent")]
    Storage(#[from] StoreError),
    /// As many uploads as fit are being checked.
    #[error("this proxy is checking as many uploads as it can; nothing was sent, try again shortly")]
    Busy,
    /// The client has as much under way as one may have.
    #[error(
        "as much of what you send is under way at once as one client may have; nothing was sent, try again when some of it \
         has ended"
    )]
    OwnShare,
    /// As many uploads are unfinished as are remembered.
    #[error(
        "too many uploads are unfinished, of you or of all; finish some, or try again when they have expired; nothing was sent"
    )]
    TooMany,
    /// A task of this proxy died.
    #[error("the upload could not be checked; nothing was sent, try again")]
    Lost,
    /// More bytes than this proxy takes, or than were declared.
    #[error("the body is larger than the {limit} bytes that are taken here; nothing was sent")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Fewer bytes than were declared.
    #[error("{expected} bytes were declared and {found} came; nothing was sent, upload all of them again")]
    Size {
        /// As declared.
        expected: u64,
        /// As counted.
        found: u64,
    },
    /// Other bytes than were declared.
    #[error(
        "the declared SHA-256 is {expected} and the bytes hash to {found}; nothing was sent, upload them again"
    )]
    Digest {
        /// As declared.
        expected: Sha256,
        /// As computed.
        found: Sha256,
    },
    /// Not the media type that this route takes.
    #[error("expected Content-Type: {expected}; nothing was sent")]
    MediaType {
        /// What it takes.
        expected: &'static str,
    },
    /// A body, a header or a field that does not follow its grammar.
    #[error("{0}; nothing was sent")]
    Invalid(String),
    /// One request names two idempotency keys.
    #[error(
        "the header Idempotency-Key and the body's idempotencyKey differ; send one key; nothing was sent"
    )]
    TwoKeys,
    /// A reason of Agent Volumes.
    #[error(transparent)]
    Volumes(#[from] volumes::Refused),
    /// A reason of Nullspace.
    #[error(transparent)]
    Nullspace(#[from] nullspace::Refused),
}

impl From<IntakeError<BodyError, Self>> for Refused {
    fn from(error: IntakeError<BodyError, Self>) -> Self {
        match error {
            IntakeError::Source(error) => error.into(),
            IntakeError::TooLarge { limit } => Self::TooLarge { limit },
            IntakeError::Inspected(refused) => refused,
            IntakeError::Store(error) => error.into(),
            IntakeError::Trickles(_) => BodyError::Stalled.into(),
            IntakeError::Lost => Self::Lost,
        }
    }
}
