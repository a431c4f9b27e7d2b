//! A release's lifecycle state as a registry gave it, and the problem that answers for it.
//!
//! Owns both. The states are the crate `archive`'s. Must not know which answer had a state, nor how old the answer is.

use serde::{Deserialize, Serialize};

use super::problem::ProblemKind;
use archive::LifecycleState;

/// A state with the registry's reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: LifecycleState,
    /// In the registry's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The problem that answers a fetch of the archive in `state`: a block is a security decision, the others are failures of
/// availability.
pub(crate) fn problem_of(state: LifecycleState) -> ProblemKind {
    match state {
        LifecycleState::Blocked => ProblemKind::AuthorizationFailed,
        LifecycleState::Tombstoned
        | LifecycleState::Unavailable
        | LifecycleState::Available
        | LifecycleState::Yanked => ProblemKind::NotFound,
    }
}
