//! The last failure of a registry, for the status in the admin API.
//!
//! Owns that note. Must not know who reads it.

use parking_lot::MutexGuard;

use super::observer::ExchangeRecord;
use super::{CouldNotAsk, FailureSide, Notes, RegistryClient};
use crate::clock::Timestamp;

/// The latest exchange that failed because of the registry or the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastFailure {
    pub(crate) at: Timestamp,
    /// Its word in metrics.
    pub(crate) cause: &'static str,
    /// The text for clients.
    pub(crate) why: String,
    /// The errors of the system and of libraries, for an operator.
    pub(crate) causes: Option<String>,
}

impl RegistryClient {
    /// The last failure since the registry has its current configuration.
    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        self.noted().clone()
    }

    /// Reports an exchange that failed, with a host that is not the registry's own if it is one.
    pub(super) fn fail(
        &self,
        why: &CouldNotAsk,
        elsewhere: Option<&str>,
        notes: &Notes,
        record: ExchangeRecord,
    ) {
        let causes = notes.causes();
        let facets = why.facets();
        if facets.fault == FailureSide::Registry {
            let (at, cause) = (self.clock.now(), facets.word);
            let said = elsewhere.map_or_else(|| why.to_string(), |host| why.said_of(host));
            *self.noted() = Some(LastFailure { at, cause, why: said, causes: causes.clone() });
        }
        record.failed(why, causes);
    }

    fn noted(&self) -> MutexGuard<'_, Option<LastFailure>> {
        self.last_failure.lock()
    }
}
