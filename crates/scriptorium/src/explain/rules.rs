//! The rules of the operator's policy in an explanation.
//!
//! Owns which parts of a rule's report are shown. Must not decide anything.

use policy::{MatcherReport, RuleReport, WaiverReport};
use serde::{Deserialize, Serialize};

/// What one rule says of the release, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExplainedRule {
    /// Its id.
    pub(crate) rule: String,
    /// What it does to a release that it matches.
    pub(crate) action: String,
    /// Whether it matches, and no waiver applies.
    pub(crate) applies: bool,
    /// Why each of its matchers holds or not.
    pub(crate) because: Vec<String>,
    /// The waiver for this release, and whether it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiver: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

impl From<RuleReport> for ExplainedRule {
    fn from(report: RuleReport) -> Self {
        let RuleReport { rule, action, applies, matchers, waiver, until, .. } = report;
        let because = |MatcherReport { matcher, holds, why, .. }: MatcherReport| {
            format!("{matcher} {}: {why}", if holds { "holds" } else { "does not hold" })
        };
        let waived = |WaiverReport { because, by, why, .. }: WaiverReport| {
            let by = by.map(|by| format!(", by {by}")).unwrap_or_default();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("{because}{by}{why}")
        };
        Self {
            rule,
            action: action.to_string(),
            applies,
            because: matchers.into_iter().map(because).collect(),
            waiver: waiver.map(waived),
            until,
        }
    }
}
