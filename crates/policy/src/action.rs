//! What a rule does to a release that it matches.
//!
//! Owns the actions, and which is stronger. Must not know rules, nor what a client is answered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a rule does. The strongest is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAction {
    /// The release is refused for as long as the rule matches.
    Deny,
    /// The release is refused for now: it waits.
    Hold,
    /// The release is left out of resolution; an exact pin still installs.
    Discourage,
}

impl PolicyAction {
    /// Every action, the strongest first.
    pub const ALL: [Self; 3] = [Self::Deny, Self::Hold, Self::Discourage];

    /// The word for it in rules, metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Discourage => "discourage",
        }
    }

    /// Whether the release is refused.
    #[must_use]
    pub fn refuses(self) -> bool {
        match self {
            Self::Deny | Self::Hold => true,
            Self::Discourage => false,
        }
    }
}

impl fmt::Display for PolicyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`deny`, `hold` or `discourage`")]
pub struct InvalidPolicyAction;

impl FromStr for PolicyAction {
    type Err = InvalidPolicyAction;

    fn from_str(text: &str) -> Result<Self, InvalidPolicyAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(InvalidPolicyAction)
    }
}
