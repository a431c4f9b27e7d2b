//! What holds for all rules of a policy.
//!
//! Owns the settings and their words. Must not know rules.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether verdicts are obeyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// They are.
    #[default]
    Enforce,
    /// They are logged and counted only.
    Audit,
}

impl PolicyMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Enforce, Self::Audit];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for PolicyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a matcher on advisories says while these are old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOldAdvisories {
    /// It holds: nobody knows that nothing was published since.
    #[default]
    Closed,
    /// What is known decides.
    Open,
}

impl OnOldAdvisories {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Open];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for OnOldAdvisories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicySetting {
    /// No mode.
    #[error("expected `enforce` or `audit`")]
    Mode,
    /// No way to treat old advisories.
    #[error("expected `closed` or `open`")]
    OldAdvisories,
}

impl FromStr for PolicyMode {
    type Err = InvalidPolicySetting;

    fn from_str(text: &str) -> Result<Self, InvalidPolicySetting> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(InvalidPolicySetting::Mode)
    }
}

impl FromStr for OnOldAdvisories {
    type Err = InvalidPolicySetting;

    fn from_str(text: &str) -> Result<Self, InvalidPolicySetting> {
        Self::ALL.into_iter().find(|way| way.as_str() == text).ok_or(InvalidPolicySetting::OldAdvisories)
    }
}

/// What holds for all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicySettings {
    /// Required as soon as there is a rule.
    pub mode: Option<PolicyMode>,
    /// What a matcher on advisories says while these are old.
    pub on_old_advisories: OnOldAdvisories,
    /// When advisories are old.
    pub advisories_max_age: Duration,
}

impl Default for PolicySettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { mode: None, on_old_advisories: OnOldAdvisories::default(), advisories_max_age: DAY }
    }
}
