//! Why this proxy answers a write itself.
//!
//! Both APIs share these reasons. Nullspace's own are an enum of the crate `nullspace`, which cannot see this one. What a
//! refusal means is decided in one table, [`WriteRefusal::facets`]; its response and its metric follow from the facets. The
//! texts are for clients: they contain no URL, header or token of the registry. Owns the reasons and that table. Must not
//! know statuses.

use std::borrow::Cow;
use std::time::Duration;

use super::body::BodyError;
use crate::access::AccessRefusal;
use crate::admission::Exhausted;
use crate::domain::problem::ProblemKind;
use crate::domain::{Sha256, VolumeName};
use crate::intake::IntakeError;
use crate::read::ReadFailure;
use crate::store::StoreError;
use crate::upstream::{Again, CouldNotAsk, FailureSide, RequestReach};
use archive::ArchiveError;

/// When a slot that is taken may be free again.
const SOON: Duration = Duration::from_secs(1);

/// When an unfinished upload may have expired.
const LATER: Duration = Duration::from_secs(60);

/// Why a write was not relayed, or why its answer is not passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteRefusal {
    /// No registry is configured for the volume.
    #[error("no registry is configured for {0}; ask the operator of this proxy")]
    NoUpstream(VolumeName),
    /// Writes are not turned on for the registry.
    #[error(
        "this proxy relays no writes for {0}: its operator would have to set `writes = true` for the registry; \
         nothing was sent"
    )]
    WritesOff(VolumeName),
    /// The client may not use the registry.
    #[error("{0}; nothing was sent")]
    Access(#[from] AccessRefusal),
    /// `cache.offline`.
    #[error("this proxy is offline by configuration and relays nothing; nothing was sent")]
    Offline,
    /// The registry could not be asked, or its answer was lost.
    #[error("{0}{advice}", advice = if .0.may_have_happened() { LOOK_FIRST } else { "" })]
    CouldNotAsk(#[from] CouldNotAsk),
    /// The client's body is incomplete or too long.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The upload cannot be staged, or its record cannot be read.
    #[error("this proxy's storage cannot store the upload now; nothing was sent")]
    Storage(#[from] StoreError),
    /// Other clients have all slots.
    #[error("this proxy is checking as many uploads as it can; nothing was sent, try again shortly")]
    Busy,
    /// The client has its whole share.
    #[error(
        "your uploads use all that one client may use at once; nothing was sent, try again when one of them has ended"
    )]
    OwnShare,
    /// Too many uploads are unfinished.
    #[error(
        "too many uploads are unfinished, of yours or of all clients; finish some, or try again when they have expired; \
         nothing was sent"
    )]
    TooMany,
    /// A task of this proxy panicked.
    #[error("the upload could not be checked; nothing was sent, try again")]
    Lost,
    /// The declared length is longer than allowed.
    #[error("the body is larger than the {limit} bytes that this proxy accepts; nothing was sent")]
    TooLarge { limit: u64 },
    /// The length of the body differs from the declared length.
    #[error("{expected} bytes were declared and {found} came; nothing was sent, upload all of them again")]
    Size {
        /// As declared.
        expected: u64,
        found: u64,
    },
    /// The digest of the body differs from the declared digest.
    #[error(
        "the declared SHA-256 is {expected} and the bytes hash to {found}; nothing was sent, upload them again"
    )]
    Digest {
        /// As declared.
        expected: Sha256,
        found: Sha256,
    },
    /// The media type is not the one of this route, or not the one that the request for the upload declared.
    #[error("expected Content-Type: {expected}; nothing was sent")]
    MediaType { expected: Cow<'static, str> },
    /// A body, a header or a field that does not follow its grammar.
    #[error("{0}; nothing was sent")]
    Invalid(String),
    /// One request names two idempotency keys.
    #[error(
        "the header Idempotency-Key and the body's idempotencyKey differ; send one key; nothing was sent"
    )]
    TwoKeys,
    /// This proxy has no record of the upload.
    #[error(
        "there is no such upload here; ask for a new upload of the version and follow the place it names"
    )]
    UnknownUpload,
    /// The upload has expired.
    #[error("the upload has expired; ask for a new one; nothing was sent")]
    Expired,
    /// The request has no credential, and the upload was begun with one.
    #[error("send the Authorization of the request that created the upload; nothing was sent")]
    NoCredential,
    /// The upload was begun with another credential.
    #[error("the upload was created with another credential; send that one; nothing was sent")]
    OtherCredential,
    /// Another request is sending the same upload.
    #[error("this upload is being sent already; wait for that to end; nothing was sent")]
    UnderWay,
    /// The media type of a release is not that of an archive.
    #[error("mediaType must be application/gzip, for a release is a .tar.gz; nothing was sent")]
    NotGzip,
    /// The subject of an attachment is not the release that it is sent to.
    #[error(
        "subject.{member} is {found}, and the release on this route has {expected}; attach to the release itself; \
         nothing was sent"
    )]
    Subject {
        /// The member of the subject.
        member: &'static str,
        expected: String,
        found: String,
    },
    /// The release that an attachment belongs to cannot be read.
    #[error(transparent)]
    Release(#[from] ReadFailure),
    /// The archive is invalid.
    #[error("{}; nothing was sent, correct the archive and upload it again", fault(.0))]
    Archive(#[from] ArchiveError),
    /// The registry's instruction cannot be followed. The client must not follow it around this proxy.
    #[error(
        "the registry granted an upload that this proxy cannot follow: {0}; nothing was uploaded; \
         tell the registry's operator"
    )]
    Instruction(&'static str),
    /// A reason of Nullspace.
    #[error(transparent)]
    Nullspace(#[from] ::nullspace::NullspaceRefusal),
}

/// The advice for a write that may have happened.
const LOOK_FIRST: &str = "; the registry may have done what was asked all the same: look first, or repeat it with its Idempotency-Key";

/// The fault of an archive, as told to its publisher.
fn fault(error: &ArchiveError) -> Cow<'static, str> {
    match error {
        ArchiveError::Gzip(_) => {
            "the archive is damaged: expected whole gzip members and nothing after them".into()
        }
        error => error.to_string().into(),
    }
}

/// What a refusal means, for everything that is decided about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusalFacets<'a> {
    pub(crate) kind: RefusalKind<'a>,
    /// How far the write got.
    pub(crate) reach: RequestReach,
    /// When to send it again.
    pub(crate) again: Again,
    /// Whether the content is complete and is not what it must be.
    pub(crate) is_about_content: bool,
}

/// The kind of a refusal, which decides the form of its response.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RefusalKind<'a> {
    /// A problem that the specification names.
    Problem(ProblemKind),
    /// A failure outside the specification's set, on this side.
    Failed(FailureSide),
    /// A failure of the storage.
    Storage(&'a StoreError),
    /// A document could not be read.
    Read(&'a ReadFailure),
    /// A refusal in the form of Nullspace.
    Nullspace(&'a ::nullspace::NullspaceRefusal),
}

impl<'a> From<RefusalKind<'a>> for RefusalFacets<'a> {
    fn from(kind: RefusalKind<'a>) -> Self {
        Self { kind, reach: RequestReach::NotSent, again: Again::Unknown, is_about_content: false }
    }
}

impl RefusalFacets<'_> {
    fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }

    fn about_content(self) -> Self {
        Self { is_about_content: true, ..self }
    }
}

impl WriteRefusal {
    /// What the refusal means.
    pub(crate) fn facets(&self) -> RefusalFacets<'_> {
        use Again::{AtOnce, Later};
        use RefusalKind::{Failed, Problem};

        let problem = |kind| RefusalFacets::from(Problem(kind));
        let failed = |side| RefusalFacets::from(Failed(side));
        match self {
            Self::NoUpstream(_) | Self::UnknownUpload => problem(ProblemKind::NotFound),
            Self::WritesOff(_) | Self::OtherCredential => problem(ProblemKind::AuthorizationFailed),
            Self::Access(AccessRefusal::NoToken) => problem(ProblemKind::AuthenticationRequired),
            Self::Access(AccessRefusal::NotAllowed) => problem(ProblemKind::AuthorizationFailed),
            Self::Offline => failed(FailureSide::Proxy),
            Self::CouldNotAsk(reason) => {
                let facets = reason.facets();
                let (reach, again) = (facets.reach, facets.again);
                RefusalFacets { reach, again, ..failed(facets.fault) }
            }
            Self::Body(BodyError::TooLarge { .. }) | Self::TooLarge { .. } => {
                problem(ProblemKind::PayloadTooLarge)
            }
            Self::Body(BodyError::Stalled) => failed(FailureSide::Client).again(AtOnce),
            Self::Body(BodyError::Broken) => failed(FailureSide::Client),
            Self::Storage(error) => RefusalKind::Storage(error).into(),
            Self::Busy => failed(FailureSide::Proxy).again(Later(Some(SOON))),
            Self::OwnShare => problem(ProblemKind::RateLimited).again(Later(Some(SOON))),
            Self::TooMany => failed(FailureSide::Proxy).again(Later(Some(LATER))),
            Self::Lost => failed(FailureSide::Proxy).again(Later(None)),
            Self::Size { .. } | Self::Digest { .. } => problem(ProblemKind::DigestMismatch).about_content(),
            Self::MediaType { .. } | Self::NotGzip => problem(ProblemKind::UnsupportedMediaType),
            Self::Invalid(_) => problem(ProblemKind::ValidationFailed),
            Self::TwoKeys => problem(ProblemKind::IdempotencyConflict),
            Self::Expired => problem(ProblemKind::UploadExpired),
            Self::NoCredential => problem(ProblemKind::AuthenticationRequired),
            Self::UnderWay => problem(ProblemKind::InvalidUploadState).again(Later(Some(SOON))),
            Self::Subject { .. } => problem(ProblemKind::SubjectBindingMismatch),
            Self::Release(failure) => RefusalKind::Read(failure).into(),
            Self::Archive(error) => archive(error).about_content(),
            // The registry granted the upload, and its answer cannot be used.
            Self::Instruction(_) => {
                RefusalFacets { reach: RequestReach::Answered(None), ..failed(FailureSide::Registry) }
            }
            Self::Nullspace(refused) => RefusalFacets {
                is_about_content: refused.facets().is_about_content,
                ..RefusalKind::Nullspace(refused).into()
            },
        }
    }
}

/// The facets of an invalid archive that a client uploaded.
fn archive(error: &ArchiveError) -> RefusalFacets<'static> {
    let problem = match error {
        ArchiveError::Source(_) => return RefusalKind::Failed(FailureSide::Client).into(),
        ArchiveError::Scratch(_) => return RefusalKind::Storage(&StoreError::Full).into(),
        ArchiveError::Gzip(_)
        | ArchiveError::Profile(_)
        | ArchiveError::Framing(_)
        | ArchiveError::TooLarge(_) => ProblemKind::InvalidArchive,
        ArchiveError::Digest { .. } => ProblemKind::DigestMismatch,
        ArchiveError::Manifest(_) => ProblemKind::InvalidManifest,
        ArchiveError::Identity { .. } => ProblemKind::IdentityMismatch,
        ArchiveError::Escalation { .. } => ProblemKind::PermissionEscalation,
    };
    RefusalKind::Problem(problem).into()
}

impl From<Exhausted> for WriteRefusal {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Share => Self::OwnShare,
            Exhausted::All => Self::Busy,
        }
    }
}

impl From<IntakeError<BodyError, Self>> for WriteRefusal {
    fn from(error: IntakeError<BodyError, Self>) -> Self {
        match error {
            IntakeError::Source(error) => error.into(),
            IntakeError::TooLarge { limit } => BodyError::TooLarge { limit }.into(),
            IntakeError::Inspected(refused) => refused,
            IntakeError::Store(error) => error.into(),
            IntakeError::Stalled(stalled) => BodyError::from(stalled).into(),
            IntakeError::Lost => Self::Lost,
        }
    }
}
