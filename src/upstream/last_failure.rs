//! What last went wrong with a registry, for who looks at how it is.
//!
//! Owns that note, and which failures are the registry's or its way's rather than ours. Must not know who reads it.

use std::sync::{MutexGuard, PoisonError};

use super::observer::Record;
use super::{CouldNotAsk, Notes, Upstream};
use crate::clock::Timestamp;

/// The latest exchange that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: Timestamp,
    /// The word that metrics have for it.
    pub cause: &'static str,
    /// What clients read of it.
    pub why: String,
    /// What system and libraries said, for an operator.
    pub causes: Option<String>,
}

impl Upstream {
    /// What last went wrong, since this registry is configured as it is.
    #[must_use]
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.noted().clone()
    }

    /// Tells of an exchange that failed.
    pub(super) fn fail(&self, why: &CouldNotAsk, notes: &Notes, record: Record) {
        let causes = notes.causes();
        if is_theirs(why) {
            let (at, cause) = (self.clock.now(), why.label());
            *self.noted() = Some(LastFailure { at, cause, why: why.to_string(), causes: causes.clone() });
        }
        record.failed(why, causes);
    }

    fn noted(&self) -> MutexGuard<'_, Option<LastFailure>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it says something of the registry or of the way there.
fn is_theirs(why: &CouldNotAsk) -> bool {
    match why {
        CouldNotAsk::Unreachable(_)
        | CouldNotAsk::TimedOut
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::ServerError(_)
        | CouldNotAsk::Throttled { .. }
        | CouldNotAsk::CredentialRefused
        | CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::BadLocator
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::Unexpected(_)
        | CouldNotAsk::UnreadCoding(_)
        | CouldNotAsk::Undecodable(_)
        | CouldNotAsk::TooManyRedirects => true,
        CouldNotAsk::Unsent
        | CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy => false,
    }
}
