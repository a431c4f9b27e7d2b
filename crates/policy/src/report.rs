//! What a policy says about a release, rule by rule.
//!
//! Owns the form of the report. Must not decide anything: each line asks what the verdict asked.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::action::PolicyAction;
use crate::facts::PolicyFacts;
use crate::instant::{day_of, rfc3339};
use crate::listed::listed;
use crate::matcher::{Judging, MissingFact};
use crate::policy::Policy;
use crate::rule::Rule;
use crate::waiver::{Inapplicable, Waiver, Waivers};

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Its id.
    pub rule: String,
    /// What it does to a release that it matches.
    pub action: PolicyAction,
    /// Whether all of its matchers hold.
    pub matches: bool,
    /// Whether it matches and no waiver applies. The strongest rule that applies decides.
    pub applies: bool,
    /// Each matcher, with its reason.
    pub matchers: Vec<MatcherReport>,
    /// The waiver for this rule and release; of several the one that applies.
    pub waiver: Option<WaiverReport>,
    /// When it ends to match by time alone, in RFC 3339.
    pub until: Option<String>,
    /// What clients are told.
    pub message: Option<String>,
}

/// What one matcher says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatcherReport {
    /// Its key.
    pub matcher: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Why.
    pub why: String,
    /// The kind of fact that it looks at, beside the name and the version.
    #[serde(skip)]
    pub fact: Option<MissingFact>,
    /// The fact that is not known, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacks: Option<MissingFact>,
}

/// A waiver for a rule and a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaiverReport {
    /// Whether it applies.
    pub applies: bool,
    /// Why.
    pub because: String,
    /// When it ends, in RFC 3339.
    pub until: String,
    /// Who decided it.
    pub by: Option<String>,
    /// The reason of its author.
    pub why: Option<String>,
}

impl RuleReport {
    /// The facts that decide whether the rule will apply, if what is known leaves it open: each of its matchers holds or does not
    /// know a fact, and no waiver applies. Empty if the rule applies, and `None` if it does not.
    ///
    /// A matcher on the `unconfirmed` fact does not know it, whatever it says now.
    #[must_use]
    pub fn open_facts(&self, unconfirmed: Option<MissingFact>) -> Option<BTreeSet<MissingFact>> {
        if self.waiver.as_ref().is_some_and(|waiver| waiver.applies) {
            return None;
        }
        let mut open = BTreeSet::new();
        for matcher in &self.matchers {
            match matcher.lacks {
                _ if matcher.fact.is_some() && matcher.fact == unconfirmed => open.extend(unconfirmed),
                _ if matcher.holds => {}
                Some(fact) => drop(open.insert(fact)),
                None => return None,
            }
        }
        Some(open)
    }
}

impl Policy {
    /// What each rule says about a release at `now`, as the rules are written.
    #[must_use]
    pub fn explain(&self, facts: &PolicyFacts<'_>, now: u64) -> Vec<RuleReport> {
        let judging = self.judging(facts, now);
        self.written().map(|rule| report(rule, &judging, self.all_waivers())).collect()
    }
}

fn report(rule: &Rule, judging: &Judging<'_>, waivers: &Waivers) -> RuleReport {
    let facts = judging.facts;
    let mut matchers = Vec::new();
    if let Some(volumes) = &rule.volumes {
        let found = volumes.which(facts.name);
        let why = match found {
            Some(pattern) => format!("the name matches `{pattern}`"),
            None => format!("the name matches none of {}", listed(volumes.written())),
        };
        matchers.push(MatcherReport {
            matcher: "volumes",
            holds: found.is_some(),
            why,
            fact: None,
            lacks: None,
        });
    }
    matchers.extend(rule.matchers.iter().map(|matcher| MatcherReport {
        matcher: matcher.key(),
        holds: matcher.answer(judging).holds,
        why: matcher.why(judging),
        fact: matcher.fact(),
        lacks: matcher.lacks(judging),
    }));
    let matches = matchers.iter().all(|matcher| matcher.holds);
    let waiver = waivers
        .applying(&rule.id, facts, judging.now)
        .or_else(|| waivers.of(&rule.id, facts.name, facts.version).max_by_key(|waiver| waiver.until))
        .map(|waiver| waiver_report(waiver, judging));
    RuleReport {
        rule: rule.id.to_string(),
        action: rule.action,
        matches,
        applies: matches && !waiver.as_ref().is_some_and(|waiver| waiver.applies),
        matchers,
        waiver,
        until: rule.answer(judging).changes_at.filter(|_| matches).map(rfc3339),
        message: rule.message.as_deref().map(str::to_owned),
    }
}

fn waiver_report(waiver: &Waiver, judging: &Judging<'_>) -> WaiverReport {
    let last_day = day_of(waiver.until.saturating_sub(1));
    let applies = waiver.applies(judging.facts, judging.now);
    let because = match applies {
        Ok(()) => format!("the waiver counts through {last_day}"),
        Err(Inapplicable::Ended) => format!("the waiver ended with {last_day}"),
        Err(Inapplicable::OtherBytes) => "the waiver is for other bytes than those of the release".to_owned(),
        Err(Inapplicable::BytesUnknown) => {
            "the waiver is for certain bytes, and the integrity of the release is not known".to_owned()
        }
    };
    WaiverReport {
        applies: applies.is_ok(),
        because,
        until: rfc3339(waiver.until),
        by: waiver.by.clone(),
        why: waiver.why.clone(),
    }
}
