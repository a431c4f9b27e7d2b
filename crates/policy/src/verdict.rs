//! What a policy says about a release.
//!
//! Owns the form of a verdict, and the words by which a client learns of it. Must not know how it was found.

use std::sync::Arc;

use crate::action::PolicyAction;
use crate::instant::rfc3339;
use crate::matcher::MissingFact;
use crate::waiver::Waiver;

/// A verdict, which holds until a fact or the policy changes, or until `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// What becomes of the release.
    pub outcome: PolicyOutcome,
    /// The waivers without which a rule would have lowered the release.
    pub waived: Vec<Arc<Waiver>>,
    /// The second from which on time alone may change the verdict.
    pub until: Option<u64>,
}

impl PolicyVerdict {
    /// A verdict that no rule has a part in.
    #[must_use]
    pub fn allowed() -> Self {
        Self { outcome: PolicyOutcome::Allowed, waived: Vec::new(), until: None }
    }

    /// Whether another verdict does the same to the release, by the same rule.
    #[must_use]
    pub fn does_as(&self, other: &Self) -> bool {
        let decided =
            |verdict: &Self| verdict.lowering().map(|lowering| (lowering.action, Arc::clone(&lowering.rule)));
        decided(self) == decided(other)
    }

    /// The rule that lowers the release.
    #[must_use]
    pub fn lowering(&self) -> Option<&Lowering> {
        match &self.outcome {
            PolicyOutcome::Allowed => None,
            PolicyOutcome::Lowered(lowering) => Some(lowering),
        }
    }
}

/// What becomes of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOutcome {
    /// No rule lowers it.
    Allowed,
    /// The strongest rule that matches lowers it.
    Lowered(Lowering),
}

/// The rule that lowers a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowering {
    /// Its id.
    pub rule: Arc<str>,
    /// What it does.
    pub action: PolicyAction,
    /// What its author tells clients.
    pub message: Option<Arc<str>>,
    /// The second in which the rule ends to match by time alone.
    pub until: Option<u64>,
    /// What would have to be known, if it matches although nothing is known against the release.
    pub for_lack_of: Option<UnknownFact>,
}

/// A fact that is not known, although a rule looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFact {
    /// Which one.
    pub fact: MissingFact,
    /// Why, in words for clients.
    pub why: String,
}

impl Lowering {
    /// The reason that a client sees: the rule, its message, what is not known, and of a hold until when it lasts.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut reason = format!("policy:{}", self.rule);
        if let Some(message) = &self.message {
            reason.push_str(": ");
            reason.push_str(message);
        }
        if let Some(unknown) = &self.for_lack_of {
            reason.push_str("; ");
            reason.push_str(&unknown.why);
        }
        if let (PolicyAction::Hold, Some(until)) = (self.action, self.until) {
            reason.push_str("; until ");
            reason.push_str(&rfc3339(until));
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_differ_in_action_and_rule() {
        let lowered = |action: PolicyAction, rule: &str| PolicyVerdict {
            outcome: PolicyOutcome::Lowered(Lowering {
                rule: rule.into(),
                action,
                message: None,
                until: None,
                for_lack_of: None,
            }),
            ..PolicyVerdict::allowed()
        };
        let (deny, hold) = (lowered(PolicyAction::Deny, "r"), lowered(PolicyAction::Hold, "r"));
        assert!(deny.does_as(&PolicyVerdict { until: Some(7), ..deny.clone() }));
        assert!(PolicyVerdict::allowed().does_as(&PolicyVerdict::allowed()));
        for other in [hold, lowered(PolicyAction::Deny, "s"), PolicyVerdict::allowed()] {
            assert!(!deny.does_as(&other) && !other.does_as(&deny), "{other:?}");
        }
    }

    #[test]
    fn a_hold_says_until_when() {
        let hold = Lowering {
            rule: "too-new".into(),
            action: PolicyAction::Hold,
            message: Some("ask platform@corp.example".into()),
            until: Some(86_400),
            for_lack_of: None,
        };
        assert_eq!(hold.reason(), "policy:too-new: ask platform@corp.example; until 1970-01-02T00:00:00Z");
        let deny = Lowering { action: PolicyAction::Deny, message: None, ..hold.clone() };
        assert_eq!(deny.reason(), "policy:too-new");
        let unknown = UnknownFact { fact: MissingFact::Trust, why: "nobody answered yet".to_owned() };
        let unasked = Lowering { for_lack_of: Some(unknown), ..deny };
        assert_eq!(unasked.reason(), "policy:too-new; nobody answered yet");
        assert_eq!(Lowering { until: None, message: None, ..hold }.reason(), "policy:too-new");
    }
}
