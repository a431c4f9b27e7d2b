//! The lifecycle states of a release and what each allows (specification, "Lifecycle").
//!
//! Owns the table of states. Must not know which answer had a state, nor how old the answer is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a release, from the least to the most restrictive. It may change; the release's bytes and integrity may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleState {
    Available,
    /// Left out of resolution; an exact pin still installs, with a warning.
    Yanked,
    /// Not available for now, but not for security.
    Unavailable,
    /// Removed for ever; its version is never reused.
    Tombstoned,
    /// Withheld for security: no bytes, not even for an exact pin.
    Blocked,
}

impl LifecycleState {
    /// All states, in their order.
    pub const ALL: [Self; 5] =
        [Self::Available, Self::Yanked, Self::Unavailable, Self::Tombstoned, Self::Blocked];

    /// Whether the release's files may be fetched.
    #[must_use]
    pub fn serves_bytes(self) -> bool {
        matches!(self, Self::Available | Self::Yanked)
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::Yanked => "yanked",
            Self::Tombstoned => "tombstoned",
            Self::Blocked => "blocked",
            Self::Unavailable => "unavailable",
        })
    }
}
