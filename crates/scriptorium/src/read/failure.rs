//! Why a read has no answer.
//!
//! Owns the distinction between a definite refusal and a registry that could not be asked; the two are never confused.
//! Must not know HTTP statuses; `respond::error` has the table.

use super::answer::CachedAnswer;
use crate::consistency::pins::LostPin;
use crate::consistency::{ArchiveRefusal, Divergence};
use crate::domain::lifecycle::Status;
use crate::domain::{Problem, Sha256, VolumeName};
use crate::long_work::NotWorked;
use crate::policies::PolicyRefusal;
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;
use archive::ArchiveError;
use std::sync::Arc;

/// Shared by all requests that waited for the same flight. Clients read these texts.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReadFailure {
    /// The routing table sends this volume nowhere.
    #[error("no upstream of this proxy serves {0}; ask its operator to route the name")]
    NoUpstream(VolumeName),
    /// This proxy is offline, and nothing is held.
    #[error("this proxy is offline and does not hold the answer; ask it when it is online again")]
    Offline,
    /// The client sent `only-if-cached`, and nothing fresh enough is held.
    #[error(
        "this proxy does not hold an answer that is fresh; ask without `only-if-cached` to have it fetched"
    )]
    HeldOnly,
    /// The registry could not be asked, and nothing held may be served.
    #[error(transparent)]
    CouldNotAsk(#[from] CouldNotAsk),
    /// The Git host that has the release could not be asked. That says nothing of the registry.
    #[error("{}", of_git_host(.0))]
    GitHost(CouldNotAsk),
    /// All download slots of the registry were taken for too long.
    #[error(
        "the downloads from the registry `{registry}` are slow: all of its download slots were taken for too long; \
         try again later"
    )]
    NoSlot {
        /// Its name in the configuration.
        registry: String,
    },
    /// An answer that is not what the specification describes.
    #[error(
        "the upstream registry answered with something that is not the document asked for; report it to its operator"
    )]
    Malformed,
    /// An answer that contradicts the question, or another document.
    #[error("{0}; report it to the registry's operator")]
    Inconsistent(String),
    /// Two answers that contradict each other even after both were asked for again.
    #[error(
        "the registry contradicts itself about {}@{}: {}; neither side is preferred: tell the registry's \
         operator; this clears by itself when both agree again",
        .0.volume, .0.version, .0
    )]
    Divergent(Arc<Divergence>),
    /// The registry refused, with a status that is not kept.
    #[error("the registry refused")]
    Refused(Box<Problem>),
    /// The registry refused the document that permits an archive or a trust artifact.
    #[error("the registry refused the document that gates this")]
    Gated {
        problem: Box<Problem>,
        /// The refusal with its age.
        gate: Box<CachedAnswer>,
    },
    /// The release's lifecycle state forbids sending its bytes.
    #[error("this release is {}; it is not served", .0.state)]
    Withdrawn(Status),
    /// The repository that delivers the release cannot be used.
    #[error(
        "the Git repository of this release gives no archive: {why}; if that lasts, report it to the registry's operator"
    )]
    Repository {
        why: String,
        /// Whether it no longer has what the release names, so that the release may name something else by now.
        is_gone: bool,
    },
    /// The trust detail lists no attachment with these bytes at a URL.
    #[error(
        "the trust detail of this release lists no attachment at a URL with the digest {0}; \
         follow the locators that it lists now"
    )]
    NotAttached(Sha256),
    /// The archive was fetched and failed verification.
    #[error("{0}; nothing of it was kept; if that lasts, report it to the registry's operator")]
    Archive(Arc<ArchiveError>),
    /// The archive failed verification before, and would again.
    #[error(
        "{}; nothing of it was kept, and it is not fetched again until its integrity changes or this proxy's operator \
         invalidates it: report it to the registry's operator",
        .0.why
    )]
    RefusedArchive(Arc<ArchiveRefusal>),
    /// The operator's policy denies or holds the release.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// The file is over the limit before it was read.
    #[error("the file is larger than this proxy accepts ({limit} bytes)")]
    TooLarge {
        /// `limits.max_archive`, in bytes.
        limit: u64,
    },
    /// A damaged file was replaced by other bytes with the same content, so this download cannot be resumed.
    #[error("the stored file was damaged and is replaced; ask for all of it again")]
    Replaced(Arc<StoreError>),
    /// The storage could not be written or read.
    #[error("{}", advice(.0))]
    Storage(Arc<StoreError>),
    /// The pin of the release cannot be read or written, and this process does not know it.
    #[error(
        "this proxy's storage cannot say what it first saw of this release, and nothing else is believed; try again \
         later; if that lasts, ask its operator to look at the storage"
    )]
    PinUnknown(Arc<StoreError>),
    /// The pin of the release was damaged in the storage, and no archive that is held proves what it was.
    #[error(
        "what this proxy first saw of {}@{} was damaged in its storage and no archive of it is held; nothing else is \
         believed until its operator decides what the release is: `scriptorium pins import` a line that says so, or \
         `scriptorium pins remove {}@{}` to believe the registry anew",
        .0.volume, .0.version, .0.volume, .0.version
    )]
    PinLost(Box<LostPin>),
    /// Too many long documents were being parsed for too long.
    #[error("this proxy is busy with long documents; try again shortly")]
    Crowded,
    /// The flight died several times without a result.
    #[error("the fetch was lost inside this proxy; try again")]
    Lost,
}

/// The words for a registry, of a host that has a repository.
fn of_git_host(reason: &CouldNotAsk) -> String {
    reason.said_of("the Git host of this release")
}

fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full | StoreError::TooLarge => {
            "this proxy has no room to verify this in; try again later; if that lasts, ask its operator to free \
             space or to raise storage.max_scratch"
        }
        StoreError::Denied | StoreError::Corrupt(_) | StoreError::Missing { .. } | StoreError::Io { .. } => {
            "this proxy's storage failed; try again later"
        }
    }
}

impl ReadFailure {
    /// Whether the registry could not be asked, so that a stale document may be served instead.
    #[must_use]
    pub(crate) fn lets_stale_live(&self) -> bool {
        matches!(self, Self::CouldNotAsk(_) | Self::GitHost(_) | Self::Malformed | Self::Lost | Self::Crowded)
    }

    /// Whether the file is not at the address that its document names.
    pub(crate) fn is_of_address(&self) -> bool {
        match self {
            Self::CouldNotAsk(reason) | Self::GitHost(reason) => reason.is_of_address(),
            Self::Repository { is_gone, .. } => *is_gone,
            _ => false,
        }
    }

    /// Whether the request budget refused the question.
    pub(super) fn is_over_budget(&self) -> bool {
        matches!(self, Self::CouldNotAsk(CouldNotAsk::OverBudget { .. }))
    }
}

impl From<StoreError> for ReadFailure {
    fn from(error: StoreError) -> Self {
        Self::Storage(Arc::new(error))
    }
}

impl From<NotWorked> for ReadFailure {
    fn from(not_worked: NotWorked) -> Self {
        match not_worked {
            NotWorked::Crowded => Self::Crowded,
            NotWorked::Lost => Self::Lost,
        }
    }
}
