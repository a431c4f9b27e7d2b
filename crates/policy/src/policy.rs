//! A compiled policy: rules in the order in which they decide, and waivers by release.
//!
//! Owns the verdict: of all rules that match and are not waived, the one with the strongest action decides, and of several
//! with that action the first that is written. Must not know how rules are written, nor whether a verdict is obeyed.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::HashMap;
use archive::{Sha256, VolumeName, VolumePattern};

use crate::action::PolicyAction;
use crate::facts::PolicyFacts;
use crate::instant::earliest;
use crate::matcher::Judging;
use crate::rule::{PolicyNeeds, Rule};
use crate::settings::{PolicyMode, PolicySettings};
use crate::verdict::{Lowering, PolicyOutcome, PolicyVerdict};
use crate::waiver::{Waiver, Waivers};

/// Rules and waivers that were found valid. A copy costs nothing. The default has no rules and allows everything.
#[derive(Debug, Clone, Default)]
pub struct Policy(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    /// The strongest action first, then as written.
    rules: Vec<Rule>,
    /// The places of the rules in the order in which they are written.
    written: Vec<usize>,
    names: RuleIndex,
    needs: PolicyNeeds,
    waivers: Waivers,
    settings: PolicySettings,
    revision: Option<Sha256>,
}

impl Policy {
    /// A policy of valid parts, the rules as they are written.
    pub(crate) fn new(
        rules: Vec<Rule>,
        waivers: Vec<Arc<Waiver>>,
        settings: PolicySettings,
        revision: Sha256,
    ) -> Self {
        let mut order: Vec<(usize, Rule)> = rules.into_iter().enumerate().collect();
        order.sort_by_key(|(written, rule)| (rule.action, *written));
        let mut places: Vec<(usize, usize)> =
            order.iter().enumerate().map(|(at, (written, _))| (*written, at)).collect();
        places.sort_unstable();
        let rules: Vec<Rule> = order.into_iter().map(|(_, rule)| rule).collect();
        Self(Arc::new(Compiled {
            written: places.into_iter().map(|(_, at)| at).collect(),
            names: RuleIndex::of(&rules),
            needs: rules.iter().map(Rule::needs).fold(PolicyNeeds::default(), PolicyNeeds::or),
            waivers: Waivers::new(waivers),
            rules,
            settings,
            revision: Some(revision),
        }))
    }

    /// Whether there are no rules, so that every verdict allows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// Whether verdicts are to be obeyed. A verdict itself is the same in both modes.
    #[must_use]
    pub fn mode(&self) -> PolicyMode {
        self.0.settings.mode.unwrap_or_default()
    }

    /// What holds for all rules.
    #[must_use]
    pub fn settings(&self) -> &PolicySettings {
        &self.0.settings
    }

    /// A digest of everything that is written: a verdict of another revision is void.
    #[must_use]
    pub fn revision(&self) -> Sha256 {
        self.0.revision.unwrap_or_else(|| Sha256::of(b""))
    }

    /// The id and action of each rule, as written.
    pub fn rules(&self) -> impl Iterator<Item = (&str, PolicyAction)> {
        self.written().map(|rule| (&*rule.id, rule.action))
    }

    /// All waivers, as written; also those that ended.
    pub fn waivers(&self) -> impl Iterator<Item = &Waiver> {
        self.0.waivers.all().iter().map(|waiver| &**waiver)
    }

    /// Which facts the rules look at that may match a volume of this name.
    #[must_use]
    pub fn needs(&self, name: &VolumeName) -> PolicyNeeds {
        if self.0.needs == PolicyNeeds::default() {
            return PolicyNeeds::default();
        }
        let rules = self.rules_about(name);
        let rules = rules.iter().filter_map(|at| self.0.rules.get(*at)).filter(|rule| rule.takes_name(name));
        rules.map(Rule::needs).fold(PolicyNeeds::default(), PolicyNeeds::or)
    }

    /// Which facts any rule looks at.
    #[must_use]
    pub fn needs_of_all(&self) -> PolicyNeeds {
        self.0.needs
    }

    /// What becomes of a release at `now`, a second since 1970.
    #[must_use]
    pub fn verdict(&self, facts: &PolicyFacts<'_>, now: u64) -> PolicyVerdict {
        let mut verdict = PolicyVerdict::allowed();
        let judging = self.judging(facts, now);
        for rule in self.rules_about(facts.name).iter().filter_map(|at| self.0.rules.get(*at)) {
            let answer = rule.answer(&judging);
            verdict.until = earliest(verdict.until, answer.changes_at);
            if !answer.holds {
                continue;
            }
            if let Some(waiver) = self.0.waivers.applying(&rule.id, facts, now) {
                verdict.until = earliest(verdict.until, Some(waiver.until));
                verdict.waived.push(Arc::clone(waiver));
                continue;
            }
            verdict.outcome = PolicyOutcome::Lowered(Lowering {
                rule: Arc::clone(&rule.id),
                action: rule.action,
                message: rule.message.clone(),
                until: answer.changes_at,
                for_lack_of: rule.matchers.iter().find_map(|matcher| matcher.holds_for_lack_of(&judging)),
            });
            break;
        }
        verdict
    }

    pub(crate) fn judging<'a>(&self, facts: &'a PolicyFacts<'a>, now: u64) -> Judging<'a> {
        let PolicySettings { on_old_advisories, advisories_max_age, .. } = self.0.settings;
        Judging { facts, now, on_old_advisories, advisories_max_age: advisories_max_age.as_secs() }
    }

    /// The rules in the order in which they are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = &Rule> {
        self.0.written.iter().filter_map(|at| self.0.rules.get(*at))
    }

    pub(crate) fn all_waivers(&self) -> &Waivers {
        &self.0.waivers
    }

    /// The places of the rules whose `volumes` take the name, the strongest first.
    fn rules_about(&self, name: &VolumeName) -> Cow<'_, [usize]> {
        self.0.names.about(name)
    }
}

/// The rules by the names that they are about.
#[derive(Debug, Default)]
struct RuleIndex {
    all: Vec<usize>,
    exact: HashMap<VolumeName, Vec<usize>>,
    prefixes: HashMap<String, Vec<usize>>,
    longest_prefix: usize,
}

impl RuleIndex {
    fn of(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let Some(volumes) = &rule.volumes else {
                index.all.push(at);
                continue;
            };
            if volumes.written().contains(&VolumePattern::All) {
                index.all.push(at);
                continue;
            }
            for pattern in volumes.written() {
                match pattern {
                    VolumePattern::All => {}
                    VolumePattern::Exact(name) => index.exact.entry(name.clone()).or_default().push(at),
                    VolumePattern::Prefix(prefix) => {
                        index.longest_prefix = index.longest_prefix.max(prefix.len());
                        index.prefixes.entry(prefix.clone()).or_default().push(at);
                    }
                }
            }
        }
        index
    }

    fn about(&self, name: &VolumeName) -> Cow<'_, [usize]> {
        let text = name.as_str();
        let exact = self.exact.get(name).map_or(&[][..], Vec::as_slice);
        let longest = if self.prefixes.is_empty() { 0 } else { self.longest_prefix.min(text.len()) };
        let mut found: Option<Vec<usize>> = None;
        for prefix in (1..=longest).filter_map(|length| text.get(..length)) {
            if let Some(rules) = self.prefixes.get(prefix) {
                found.get_or_insert_default().extend(rules);
            }
        }
        if found.is_none() && exact.is_empty() {
            return Cow::Borrowed(&self.all);
        }
        let mut found = found.unwrap_or_default();
        found.extend(self.all.iter().chain(exact));
        found.sort_unstable();
        found.dedup();
        Cow::Owned(found)
    }
}

#[cfg(test)]
mod tests;
