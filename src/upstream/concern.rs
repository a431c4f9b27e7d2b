//! What a registry asks to be left alone about: each concern is paused by itself.
//!
//! | who is told to wait | who waits |
//! |---|---|
//! | search | search |
//! | documents, archives, trust artifacts | all of those, and writes |
//!
//! Search is discovery and the first thing that a registry throttles; nothing that is installed goes through it. Other
//! hosts than the registry's own pause nothing. Owns that table. Must not know how a pause is kept.

use crate::domain::Resource;

/// What a question is about, as far as pauses go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// Search.
    Search,
    /// Everything else.
    Documents,
}

impl Concern {
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

    /// How an operator is told of it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Documents => "documents",
        }
    }
}
