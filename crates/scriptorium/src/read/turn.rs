//! The last change of a release's lifecycle state that its exact metadata showed: since when a release is blocked is what
//! operators ask first.
//!
//! Owns its form. Must not know documents.

use archive::LifecycleState;
use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, rfc3339};

/// A change from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifecycleTurn {
    pub(crate) from: LifecycleState,
    /// When that was last confirmed.
    #[serde(with = "rfc3339")]
    pub(crate) until: Timestamp,
    pub(crate) to: LifecycleState,
    /// When that was first seen.
    #[serde(with = "rfc3339")]
    pub(crate) since: Timestamp,
}
