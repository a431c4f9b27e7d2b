//! The lifecycle states of a release and what each of them allows (specification, "Lifecycle").
//!
//! Owns the table of states. Must not know which answer carried a state or how old it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::problem::Kind;

/// Where a release stands. States change; the release's bytes and integrity never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Resolvable and installable.
    Available,
    /// Left out of resolution; an exact pin still installs, with a warning.
    Yanked,
    /// Gone; its version is never reused.
    Tombstoned,
    /// Withheld for security: no bytes, not even for an exact pin.
    Blocked,
    /// Not to be had for now: an availability failure, not a security one.
    Unavailable,
}

impl State {
    /// Every state, in the specification's order.
    pub const ALL: [Self; 5] =
        [Self::Available, Self::Yanked, Self::Tombstoned, Self::Blocked, Self::Unavailable];

    /// Whether an exact fetch of the archive is allowed.
    #[must_use]
    pub fn serves_bytes(self) -> bool {
        matches!(self, Self::Available | Self::Yanked)
    }

    /// What an exact fetch is refused with where the state forbids it: a block is a security decision, the
    /// others are failures of availability.
    #[must_use]
    pub fn refusal(self) -> Kind {
        match self {
            Self::Blocked => Kind::AuthorizationFailed,
            Self::Tombstoned | Self::Unavailable | Self::Available | Self::Yanked => Kind::NotFound,
        }
    }
}

impl fmt::Display for State {
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

/// A state with the registry's reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why, in the registry's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
