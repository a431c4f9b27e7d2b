//! What an operator writes: the tables of rules and waivers.
//!
//! Owns their keys. Values are texts here, so that all errors of a policy are found at once, when it is compiled. Must not
//! know what a value means.

use serde::{Deserialize, Serialize};

use crate::place::Place;

/// A rule as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDeclaration {
    /// Its name in answers, logs and metrics.
    pub id: Option<String>,
    /// `deny`, `hold` or `discourage`.
    pub action: Option<String>,
    /// Which releases it is about.
    #[serde(rename = "match")]
    pub matching: Option<MatchDeclaration>,
    /// What clients are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// The matchers of a rule as they are written; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchDeclaration {
    /// Patterns of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<String>>,
    /// Patterns of names that are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_volumes: Option<Vec<String>>,
    /// A range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// A span of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than: Option<String>,
    /// The least severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisory: Option<String>,
    /// Ids of advisories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisories: Option<Vec<String>>,
    /// Names that others may be mistaken for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resembles: Option<Vec<String>>,
    /// `git` or `cdn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Licences that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licenses_not_in: Option<Vec<String>>,
    /// Publishers that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishers_not_in: Option<Vec<String>>,
    /// Types of components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<String>>,
    /// The least permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionsDeclaration>,
    /// Categories of attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_missing: Option<Vec<String>>,
}

/// The permissions of a rule as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PermissionsDeclaration {
    /// Files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// Programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
}

/// A waiver as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiverDeclaration {
    /// The id of the rule that does not count.
    pub rule: Option<String>,
    /// The release for which it does not.
    pub release: Option<String>,
    /// The bytes for which it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// The last day.
    pub until: Option<String>,
    /// Who decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}
