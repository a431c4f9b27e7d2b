//! Doubts about a valid policy: what can never have an effect.
//!
//! Owns what is seen from rules and waivers alone. Must not know releases.

use std::fmt;
use std::sync::Arc;

use ahash::{HashMap, HashSet};

use crate::action::PolicyAction;
use crate::matcher::Matcher;
use crate::place::Place;
use crate::rule::Rule;
use crate::waiver::Waiver;

/// One doubt, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyWarning {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub doubt: PolicyDoubt,
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.doubt)
    }
}

/// What may not be meant so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyDoubt {
    /// No version is in the range.
    #[error("the rule `{rule}` matches nothing: no version is in the range `{range}`")]
    NoVersion {
        /// The rule.
        rule: String,
        /// The range.
        range: String,
    },
    /// Everything that is named is left out again.
    #[error("the rule `{rule}` matches nothing: no name that `volumes` takes is left by `{matcher}`")]
    NoName {
        /// The rule.
        rule: String,
        /// The matcher that leaves none.
        matcher: &'static str,
    },
    /// A matcher that every manifest meets.
    #[error("the rule `{rule}` asks for no permission beyond `deny`, which every manifest declares")]
    EveryManifest {
        /// The rule.
        rule: String,
    },
    /// A type of components that the specification does not have.
    #[error(
        "the rule `{rule}` is about components of type `{component}`, which the specification does not have"
    )]
    UnknownComponent {
        /// The rule.
        rule: String,
        /// The type.
        component: String,
    },
    /// Two rules say different things about the same releases.
    #[error(
        "the rules `{rule}` and `{other}` match the same releases: `{action}` decides, so `{rule}` never does"
    )]
    Contradiction {
        /// The rule that never decides.
        rule: String,
        /// The rule that decides.
        other: String,
        /// What that does.
        action: PolicyAction,
    },
    /// Another rule decides wherever this one matches.
    #[error("the rule `{rule}` never decides: `{other}` ({action}) matches every release that it matches")]
    Shadowed {
        /// The rule that never decides.
        rule: String,
        /// The rule that decides.
        other: String,
        /// What that does.
        action: PolicyAction,
    },
    /// A waiver without its rule.
    #[error("the waiver is for the rule `{rule}`, and no rule has that id")]
    NoRule {
        /// The id.
        rule: String,
    },
    /// A waiver for a release that its rule leaves alone.
    #[error("the waiver is for nothing: the rule `{rule}` cannot match `{release}`")]
    NothingWaived {
        /// The id.
        rule: String,
        /// The release.
        release: String,
    },
    /// A second waiver for the same.
    #[error("the waiver is for the same rule, release and bytes as the one at {first}")]
    SameWaiver {
        /// The first one.
        first: Place,
    },
}

/// The types of components of the specification.
const COMPONENTS: [&str; 7] = ["agent", "skill", "command", "tool", "hook", "mcp-server", "lsp-server"];

/// Everything that is doubtful, rules first.
pub(crate) fn doubts(rules: &[Rule], waivers: &[Arc<Waiver>]) -> Vec<PolicyWarning> {
    let mut warnings = Vec::new();
    for rule in rules {
        let found = of_rule(rule).into_iter().map(|doubt| PolicyWarning { place: rule.place.clone(), doubt });
        warnings.extend(found);
    }
    for (at, rule) in rules.iter().enumerate() {
        let doubt =
            rules.iter().enumerate().find_map(|(other_at, other)| overruled((at, rule), (other_at, other)));
        warnings.extend(doubt.map(|doubt| PolicyWarning { place: rule.place.clone(), doubt }));
    }
    of_waivers(rules, waivers, &mut warnings);
    warnings
}

fn of_rule(rule: &Rule) -> Vec<PolicyDoubt> {
    let id = || rule.id.to_string();
    let mut found = Vec::new();
    for matcher in &rule.matchers {
        match matcher {
            Matcher::Versions(range) if range.is_empty() => {
                found.push(PolicyDoubt::NoVersion { rule: id(), range: range.to_string() });
            }
            Matcher::Permissions(least) if least.are_none() => {
                found.push(PolicyDoubt::EveryManifest { rule: id() });
            }
            Matcher::Components(types) => {
                let unknown = types.iter().filter(|name| !COMPONENTS.contains(&name.as_str()));
                found.extend(
                    unknown.map(|name| PolicyDoubt::UnknownComponent { rule: id(), component: name.clone() }),
                );
            }
            matcher if leaves_no_name(rule, matcher) => {
                found.push(PolicyDoubt::NoName { rule: id(), matcher: matcher.key() });
            }
            _ => {}
        }
    }
    found
}

/// Whether a matcher takes none of the names that the rule is about.
fn leaves_no_name(rule: &Rule, matcher: &Matcher) -> bool {
    if let Some(names) = rule.volumes.as_ref().and_then(|volumes| volumes.names()) {
        return names.iter().all(|name| !matcher.takes_name(name));
    }
    match (matcher, &rule.volumes) {
        (Matcher::NotVolumes(left_out), Some(volumes)) => left_out.includes(volumes),
        (Matcher::NotVolumes(left_out), None) => left_out.includes_pattern(&archive::VolumePattern::All),
        _ => false,
    }
}

/// Why `rule` never decides because of `other`.
fn overruled((at, rule): (usize, &Rule), (other_at, other): (usize, &Rule)) -> Option<PolicyDoubt> {
    if (other.action, other_at) >= (rule.action, at) || !other.includes(rule) {
        return None;
    }
    let (id, other_id, action) = (rule.id.to_string(), other.id.to_string(), other.action);
    Some(if other.action != rule.action && rule.includes(other) {
        PolicyDoubt::Contradiction { rule: id, other: other_id, action }
    } else {
        PolicyDoubt::Shadowed { rule: id, other: other_id, action }
    })
}

fn of_waivers(rules: &[Rule], waivers: &[Arc<Waiver>], warnings: &mut Vec<PolicyWarning>) {
    let by_id: HashMap<&str, &Rule> = rules.iter().map(|rule| (&*rule.id, rule)).collect();
    let mut seen: HashMap<_, &Place> = HashMap::default();
    let mut told: HashSet<&str> = HashSet::default();
    for waiver in waivers {
        let rule = &*waiver.rule;
        let same = (rule, &waiver.name, &waiver.version, waiver.integrity);
        let first = *seen.entry(same).or_insert(&waiver.place);
        let doubt = match by_id.get(rule) {
            // One line for each rule that does not exist, not for each of its waivers.
            None if told.insert(rule) => PolicyDoubt::NoRule { rule: rule.to_owned() },
            None => continue,
            Some(known) if !known.takes(&waiver.name, &waiver.version) => PolicyDoubt::NothingWaived {
                rule: rule.to_owned(),
                release: format!("{}@{}", waiver.name, waiver.version),
            },
            Some(_) if first != &waiver.place => PolicyDoubt::SameWaiver { first: first.clone() },
            Some(_) => continue,
        };
        warnings.push(PolicyWarning { place: waiver.place.clone(), doubt });
    }
}

#[cfg(test)]
mod tests;
