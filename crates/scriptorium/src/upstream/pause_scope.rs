//! The scope of a registry's pause: search and all other requests are paused separately.
//!
//! | the registry asks for a pause in answer to | paused requests |
//! |---|---|
//! | a search | searches |
//! | a document, archive or trust artifact | all others, writes included |
//!
//! Registries throttle search first, and nothing that is installed needs it. Hosts other than the registry's own
//! pause nothing. Owns that table. Must not know how a pause is kept.

use crate::domain::Resource;

/// The requests that one pause stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseScope {
    Search,
    Documents,
}

impl PauseScope {
    pub(super) const ALL: [Self; 2] = [Self::Search, Self::Documents];

    pub(super) fn of(resource: Resource) -> Self {
        match resource {
            Resource::Search => Self::Search,
            Resource::Index
            | Resource::Release
            | Resource::Trust
            | Resource::Advisories
            | Resource::Capabilities => Self::Documents,
        }
    }

    /// Its name in the admin API.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Documents => "documents",
        }
    }
}
