//! The verdict of the policy as it is kept with a document, and as a client is told it.
//!
//! Owns how long a kept verdict holds, and the words of a refusal. Must not know rules, nor how a document is changed by a
//! verdict.

use std::sync::Arc;

use policy::{Lowering, MissingFact, PolicyAction, PolicyOutcome, PolicyVerdict, Waiver};

use crate::clock::Timestamp;
use crate::domain::Version;

/// What the policy says against a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFinding {
    /// The rule.
    pub(crate) rule: Arc<str>,
    pub(crate) action: PolicyAction,
    /// `policy:<rule>: <message>`, and until when.
    pub(crate) reason: String,
    /// When the rule ends by itself.
    pub(crate) until: Option<Timestamp>,
    /// The fact that is not known, if the rule matches for that.
    pub(crate) lacks: Option<MissingFact>,
    /// Whether answers are changed, or only counted.
    pub(crate) is_enforced: bool,
}

impl PolicyFinding {
    /// The finding of a verdict; none if it allows the release.
    pub(crate) fn of(verdict: &PolicyVerdict, is_enforced: bool) -> Option<Self> {
        let PolicyOutcome::Lowered(lowering) = &verdict.outcome else { return None };
        let Lowering { rule, action, until, for_lack_of, .. } = lowering;
        Some(Self {
            rule: Arc::clone(rule),
            action: *action,
            reason: lowering.reason(),
            until: until.map(moment),
            lacks: for_lack_of.as_ref().map(|unknown| unknown.fact),
            is_enforced,
        })
    }

    /// What makes the fact known for lack of which the rule matches, to whoever keeps a copy of registries.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self.lacks? {
            MissingFact::Advisories => Some(
                "sync the mirror where its registries can be reached, so that their advisories are held, or give an offline proxy \
                 advisories in files (`policy.osv`)",
            ),
            MissingFact::Trust => Some(
                "sync the mirror under these rules where its registries can be reached, so that trust metadata is held",
            ),
            MissingFact::FirstSight | MissingFact::Delivery | MissingFact::Manifest => None,
        }
    }

    /// Whether the release is refused.
    pub(crate) fn refuses(&self) -> bool {
        self.is_enforced && matches!(self.action, PolicyAction::Deny | PolicyAction::Hold)
    }

    /// Whether the release is shown as yanked.
    pub(crate) fn discourages(&self) -> bool {
        self.is_enforced && self.action == PolicyAction::Discourage
    }
}

/// The refusal of a release, as a client is told it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this proxy's policy does not allow this release: {}", .0.reason)]
pub(crate) struct PolicyRefusal(pub(crate) Arc<PolicyFinding>);

/// What the policy says against a release of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReleaseFinding {
    pub(crate) version: Version,
    pub(crate) finding: Arc<PolicyFinding>,
}

/// A verdict that is kept with a document.
#[derive(Debug, Clone)]
pub(crate) struct KeptVerdict {
    revision: u64,
    until: Timestamp,
    /// What is said against the one release that the document is about.
    release: Option<Arc<PolicyFinding>>,
    /// A waiver without which a rule would say something against it.
    waived: Option<Arc<Waiver>>,
    /// What is said against releases that an index lists.
    pub(crate) rows: Arc<[ReleaseFinding]>,
    /// Whether a rule looks at the manifest of the release, and that was not known.
    waits_for_manifest: bool,
}

impl KeptVerdict {
    /// The revision of a verdict on a document that no rule concerns.
    const OF_ANY: u64 = u64::MAX;

    /// That of a document that was not judged: it holds while there are no rules.
    pub(crate) fn none() -> Self {
        Self {
            revision: 0,
            until: Timestamp(u64::MAX),
            release: None,
            waived: None,
            rows: Arc::default(),
            waits_for_manifest: false,
        }
    }

    /// That of a document that no rule concerns.
    pub(crate) fn unneeded() -> Self {
        Self { revision: Self::OF_ANY, ..Self::none() }
    }

    /// A verdict of the policy with this `revision` on the releases of an index.
    pub(crate) fn on_rows(revision: u64, rows: Vec<ReleaseFinding>) -> Self {
        Self { revision, rows: rows.into(), ..Self::none() }
    }

    /// A verdict of the policy with this `revision` on one release.
    pub(crate) fn on_release(
        revision: u64,
        release: Option<Arc<PolicyFinding>>,
        waived: Option<Arc<Waiver>>,
    ) -> Self {
        Self { revision, release, waived, ..Self::none() }
    }

    /// A waiver without which a rule would say something against the release.
    pub(crate) fn waived(&self) -> Option<&Arc<Waiver>> {
        self.waived.as_ref()
    }

    /// The same, made without the manifest that a rule looks at.
    pub(crate) fn waiting_for_manifest(self, waits_for_manifest: bool) -> Self {
        Self { waits_for_manifest, ..self }
    }

    /// Whether it is the verdict of the policy with this `revision`, and the bytes of the release can change nothing about it.
    #[inline]
    pub(crate) fn holds_for_bytes(&self, revision: u64, now: Timestamp) -> bool {
        !self.waits_for_manifest && self.holds(revision, now)
    }

    /// The same, which something else may change at `until`.
    pub(crate) fn ending(self, until: Option<Timestamp>) -> Self {
        Self { until: until.map_or(self.until, |until| until.min(self.until)), ..self }
    }

    /// Whether it is the verdict of the policy with this `revision`.
    #[inline]
    pub(crate) fn holds(&self, revision: u64, now: Timestamp) -> bool {
        (self.revision == revision || self.revision == Self::OF_ANY) && now < self.until
    }

    /// Whether the document is not given at all.
    #[inline]
    pub(crate) fn refuses(&self) -> bool {
        self.release.as_ref().is_some_and(|finding| finding.refuses())
    }

    /// What is said against the one release that the document is about.
    #[inline]
    pub(crate) fn of_release(&self) -> Option<&Arc<PolicyFinding>> {
        self.release.as_ref()
    }
}

/// The moment at which a second begins.
pub(crate) fn moment(second: u64) -> Timestamp {
    Timestamp(second.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(action: PolicyAction, is_enforced: bool) -> PolicyFinding {
        let reason = "policy:too-new".to_owned();
        PolicyFinding { rule: "too-new".into(), action, reason, until: None, lacks: None, is_enforced }
    }

    #[test]
    fn a_verdict_dies_with_its_revision_and_its_time() {
        let verdict = KeptVerdict::on_rows(3, Vec::new()).ending(Some(Timestamp(10)));
        assert!(verdict.holds(3, Timestamp(9)));
        assert!(
            !verdict.holds(3, Timestamp(10))
                && !verdict.holds(4, Timestamp(9))
                && !verdict.holds(0, Timestamp(9))
        );
        assert!(KeptVerdict::none().holds(0, Timestamp(9)) && !KeptVerdict::none().holds(1, Timestamp(9)));
        assert!(
            KeptVerdict::unneeded().holds(0, Timestamp(9)) && KeptVerdict::unneeded().holds(7, Timestamp(9))
        );
    }

    #[test]
    fn a_verdict_without_the_manifest_holds_for_documents_alone() {
        let verdict = KeptVerdict::on_release(3, None, None);
        assert!(verdict.holds_for_bytes(3, Timestamp(9)) && !verdict.holds_for_bytes(4, Timestamp(9)));
        let early = verdict.waiting_for_manifest(true);
        assert!(early.holds(3, Timestamp(9)) && !early.holds_for_bytes(3, Timestamp(9)));
    }

    #[test]
    fn an_audit_changes_no_answer() {
        for (action, refuses, discourages) in [
            (PolicyAction::Deny, true, false),
            (PolicyAction::Hold, true, false),
            (PolicyAction::Discourage, false, true),
        ] {
            let enforced = finding(action, true);
            assert_eq!((enforced.refuses(), enforced.discourages()), (refuses, discourages));
            let audited = finding(action, false);
            assert!(!audited.refuses() && !audited.discourages());
        }
    }
}
