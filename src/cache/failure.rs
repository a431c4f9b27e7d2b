//! Why a read has no answer.
//!
//! Owns the distinction between a definite answer that is no success and not being able to ask; the two are
//! never mixed up. Must not know HTTP statuses; `respond::error` has the table.

use super::documents::Answer;
use crate::archive::ArchiveError;
use crate::consistency::pins::Lost;
use crate::consistency::{Divergence, Refusal};
use crate::domain::lifecycle::Status;
use crate::domain::{Problem, Sha256, VolumeName};
use crate::store::StoreError;
use crate::upstream::CouldNotAsk;
use std::sync::Arc;

/// A read without an answer. Shared by all who waited for it. Texts are fit for clients.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The routing table sends this volume nowhere.
    #[error("no upstream of this proxy serves {0}; ask its operator to route the name")]
    NoUpstream(VolumeName),
    /// Asking is forbidden and nothing is held.
    #[error("this proxy is offline and does not hold the answer; ask it when it is online again")]
    Offline,
    /// The client takes nothing but what is held, and that is not fresh enough.
    #[error(
        "this proxy does not hold an answer that is fresh; ask without `only-if-cached` to have it fetched"
    )]
    HeldOnly,
    /// Nobody could be asked, and nothing held may be served.
    #[error(transparent)]
    CouldNotAsk(#[from] CouldNotAsk),
    /// As many files of the registry are brought in as may be at once, and none of them ended in time.
    #[error(
        "the downloads from the registry `{registry}` are slow: as many as this proxy makes of one registry at once are \
         under way, and none of them ended in time; try again later"
    )]
    NoTurn {
        /// Its name in the configuration.
        registry: String,
    },
    /// An answer that is not what the specification describes.
    #[error(
        "the upstream registry answered with something that is not the document asked for; report it to its operator"
    )]
    Malformed,
    /// An answer that contradicts the question, or something known.
    #[error("{0}; report it to the registry's operator")]
    Inconsistent(String),
    /// Two answers that cannot both be true, also after both were asked for again.
    #[error(
        "the registry contradicts itself about {}@{}: {}; neither side is preferred: tell the registry's \
         operator; this clears by itself when both agree again",
        .0.volume, .0.version, .0
    )]
    Divergent(Arc<Divergence>),
    /// The registry's own definite answer, of a kind that is not kept.
    #[error("the registry refused")]
    Refused(Box<Problem>),
    /// The registry's own definite answer to the document that gates an archive or a trust artifact.
    #[error("the registry refused the document that gates this")]
    Gated {
        /// What it said.
        problem: Box<Problem>,
        /// The answer that said it, which knows how old it is.
        gate: Box<Answer>,
    },
    /// The release's lifecycle state forbids sending its bytes.
    #[error("this release is {}; it is not served", .0.state)]
    Withdrawn(Status),
    /// The release is delivered by Git, not as an archive.
    #[error("this release is delivered by Git; fetch the repository and ref that its exact metadata names")]
    DeliveredByGit,
    /// The trust detail lists no attachment with these bytes at a URL.
    #[error(
        "the trust detail of this release lists no attachment at a URL with the digest {0}; \
         follow the locators that it lists now"
    )]
    NotAttached(Sha256),
    /// The archive was fetched and did not pass.
    #[error("{0}; nothing of it was kept; if that lasts, report it to the registry's operator")]
    Archive(Arc<ArchiveError>),
    /// The archive was fetched before, did not pass, and would not now.
    #[error(
        "{}; nothing of it was kept, and it is not fetched again until its integrity changes or this proxy's operator \
         invalidates it: report it to the registry's operator",
        .0.why
    )]
    RefusedArchive(Arc<Refusal>),
    /// The file is over the limit before it was read.
    #[error("the file is larger than this proxy accepts ({limit} bytes)")]
    TooLarge {
        /// `limits.max_archive`, in bytes.
        limit: u64,
    },
    /// A damaged file was replaced by the same content in other bytes, with which nobody can go on where he stood.
    #[error("the stored file was damaged and is replaced; ask for all of it again")]
    Replaced(Arc<StoreError>),
    /// What was fetched could not be kept, or what is kept could not be read.
    #[error("{}", advice(.0))]
    Storage(Arc<StoreError>),
    /// What was first seen of the release cannot be read or noted, and nothing this process knows says it.
    #[error(
        "this proxy's storage cannot say what it first saw of this release, and nothing else is believed; try again \
         later; if that lasts, ask its operator to look at the storage"
    )]
    PinUnknown(Arc<StoreError>),
    /// What was first seen of the release was damaged in the storage, and nothing held here says what it was.
    #[error(
        "what this proxy first saw of {}@{} was damaged in its storage and no archive of it is held; nothing else is \
         believed until its operator decides what the release is: `scriptorium pins import` a line that says so, or \
         `scriptorium pins remove {}@{}` to believe the registry anew",
        .0.volume, .0.version, .0.volume, .0.version
    )]
    PinLost(Box<Lost>),
    /// As many bytes of long documents as are worked on at once were worked on for too long.
    #[error("this proxy is busy with long documents; try again shortly")]
    Crowded,
    /// Fetch after fetch died.
    #[error("the fetch was lost inside this proxy; try again")]
    Lost,
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

impl Failure {
    /// Whether nobody could be asked, so that something stale may stand in.
    #[must_use]
    pub fn lets_stale_live(&self) -> bool {
        matches!(self, Self::CouldNotAsk(_) | Self::Malformed | Self::Lost | Self::Crowded)
    }

    /// Whether a file is not, or no longer, where its document says.
    pub(super) fn is_of_address(&self) -> bool {
        matches!(self, Self::CouldNotAsk(reason) if reason.is_of_address())
    }

    /// Whether nobody was asked because enough had been asked.
    pub(super) fn is_over_budget(&self) -> bool {
        matches!(self, Self::CouldNotAsk(CouldNotAsk::OverBudget { .. }))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Storage(Arc::new(error))
    }
}
