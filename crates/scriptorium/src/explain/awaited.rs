//! Rules that may yet refuse a release, because of a fact that the proxy finds out before it answers.
//!
//! | fact | found out before |
//! |---|---|
//! | trust, delivery | exact metadata is given |
//! | manifest | the first byte of the archive is sent |
//!
//! Owns this table. Whatever else is not known decides as it is. Must not know why a rule matches.

use std::collections::BTreeSet;

use policy::{MissingFact, RuleReport};

/// A rule, and the facts that decide whether it refuses the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AwaitingRule {
    pub(super) rule: String,
    pub(super) facts: BTreeSet<MissingFact>,
}

/// The rules on which the answer waits; none if a rule refuses the release whatever these facts are.
pub(super) fn awaiting(reports: &[RuleReport], is_trust_confirmed: bool) -> Vec<AwaitingRule> {
    let unconfirmed = (!is_trust_confirmed).then_some(MissingFact::Trust);
    let refusing = reports.iter().filter(|report| report.action.refuses());
    let open = refusing.filter_map(|report| {
        report.open_facts(unconfirmed).map(|facts| AwaitingRule { rule: report.rule.clone(), facts })
    });
    let open: Vec<_> = open.collect();
    if open.iter().any(|rule| rule.facts.is_empty()) {
        return Vec::new();
    }
    open.into_iter().filter(|rule| rule.facts.iter().all(|fact| is_found_out(*fact))).collect()
}

fn is_found_out(fact: MissingFact) -> bool {
    match fact {
        MissingFact::Trust | MissingFact::Delivery | MissingFact::Manifest => true,
        MissingFact::FirstSight | MissingFact::Advisories => false,
    }
}

impl AwaitingRule {
    /// Whether exact metadata waits for it too.
    pub(super) fn is_before_metadata(&self) -> bool {
        !self.facts.contains(&MissingFact::Manifest)
    }

    /// The facts, as the verdict names them.
    pub(super) fn facts(&self) -> impl Iterator<Item = &'static str> {
        self.facts.iter().map(|fact| fact.as_str())
    }

    /// What is waited for, in a clause.
    pub(super) fn words(&self) -> String {
        let facts: Vec<_> = self.facts().collect();
        format!("the rule `{}` decides once this is known: {}", self.rule, facts.join(", "))
    }
}
