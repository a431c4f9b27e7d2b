//! From what is written to a policy: all errors at once, and doubts about what is valid.
//!
//! Owns which rules and waivers are valid together. Must not know TOML.

mod matching;
mod waiving;

use std::sync::Arc;

use ahash::HashMap;
use archive::Sha256;

use crate::action::PolicyAction;
use crate::declaration::RuleDeclaration;
use crate::document::PolicyDocument;
use crate::doubt::{PolicyWarning, doubts};
use crate::error::{PolicyError, PolicyFault};
use crate::place::Place;
use crate::policy::Policy;
use crate::rule::Rule;
use crate::settings::{PolicyMode, PolicySettings};

/// The most rules and waivers of a policy, and elements of a list.
const MOST_RULES: usize = 10_000;
const MOST_WAIVERS: usize = 200_000;
const MOST_ELEMENTS: usize = 10_000;
/// The longest message to clients, and the longest id, in bytes.
const MAX_MESSAGE: usize = 1024;
const MAX_ID: usize = 64;

impl Policy {
    /// Compiles what is written, at `now`, a second since 1970: a waiver that ended is an error.
    ///
    /// # Errors
    /// Every [`PolicyError`] that there is.
    pub fn compile(
        document: PolicyDocument,
        settings: PolicySettings,
        now: u64,
    ) -> Result<(Self, Vec<PolicyWarning>), Vec<PolicyError>> {
        let revision = revision(&document, &settings);
        let mut errors = Errors::default();
        let PolicyDocument { rules, waivers } = document;
        if settings.mode.is_none() && !rules.is_empty() {
            let expected = "`enforce` or `audit`, since there are rules";
            errors.add(Place::new("", "policy.mode"), PolicyFault::Missing { expected });
        }
        errors.at_most(MOST_RULES, rules.len(), || Place::new("", "policy.rules"));
        errors.at_most(MOST_WAIVERS, waivers.len(), || Place::new("", "policy.waivers"));
        let rules: Vec<Rule> = rules.iter().filter_map(|written| rule(written, &mut errors)).collect();
        refuse_shared_ids(&rules, &mut errors);
        let waivers: Vec<_> = waivers
            .iter()
            .filter_map(|written| waiving::waiver(written, now, &mut errors))
            .map(Arc::new)
            .collect();
        if !errors.0.is_empty() {
            return Err(errors.0);
        }
        let warnings = doubts(&rules, &waivers);
        Ok((Self::new(rules, waivers, settings, revision), warnings))
    }
}

/// Errors that were found so far.
#[derive(Debug, Default)]
struct Errors(Vec<PolicyError>);

impl Errors {
    fn add(&mut self, place: Place, fault: PolicyFault) {
        self.0.push(PolicyError { place, fault });
    }

    fn at_most(&mut self, most: usize, found: usize, place: impl FnOnce() -> Place) {
        if found > most {
            self.add(place(), PolicyFault::TooMany { most, found });
        }
    }

    /// A text that must be there and must be read by `read`.
    fn required<'a, T>(
        &mut self,
        place: Place,
        given: Option<&'a String>,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        match given {
            None => {
                self.add(place, PolicyFault::Missing { expected });
                None
            }
            Some(text) => self.read(place, text, expected, read),
        }
    }

    /// A text that must be read by `read`.
    fn read<'a, T>(
        &mut self,
        place: Place,
        text: &'a str,
        expected: impl ToString,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let value = read(text);
        if value.is_none() {
            self.add(place, PolicyFault::value(expected, text));
        }
        value
    }

    /// A text that clients or reports show.
    fn shown(&mut self, place: Place, text: Option<&String>) -> Option<String> {
        let text = text?;
        let fine = text.len() <= MAX_MESSAGE && !text.is_empty() && !text.chars().any(char::is_control);
        self.read(place, text, "1 to 1024 bytes of text on one line", |text| fine.then(|| text.to_owned()))
    }
}

fn rule(written: &RuleDeclaration, errors: &mut Errors) -> Option<Rule> {
    let place = &written.place;
    let expected = "an id of 1 to 64 letters, digits, `-`, `_` and `.`";
    let id = errors.required(place.below("id"), written.id.as_ref(), expected, |id| is_id(id).then_some(id));
    let expected = "`deny`, `hold` or `discourage`";
    let action = errors.required(place.below("action"), written.action.as_ref(), expected, |text| {
        text.parse::<PolicyAction>().ok()
    });
    let message = errors.shown(place.below("message"), written.message.as_ref());
    let below = place.below("match");
    let Some(matching) = &written.matching else {
        errors.add(below, PolicyFault::Missing { expected: "a table of matchers" });
        return None;
    };
    let matching = matching::read(matching, &below, errors)?;
    Some(Rule {
        id: id?.into(),
        action: action?,
        message: message.map(Into::into),
        place: place.clone(),
        volumes: matching.volumes,
        matchers: matching.matchers,
    })
}

/// Whether a text may name a rule, in an answer and as a label of a metric.
fn is_id(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(fine)
}

fn refuse_shared_ids(rules: &[Rule], errors: &mut Errors) {
    let mut first: HashMap<&str, &Place> = HashMap::default();
    for rule in rules {
        let earlier = *first.entry(&rule.id).or_insert(&rule.place);
        if earlier != &rule.place {
            errors.add(rule.place.below("id"), PolicyFault::SharedId { first: earlier.clone() });
        }
    }
}

/// A digest of everything that a verdict depends on and that is written.
fn revision(document: &PolicyDocument, settings: &PolicySettings) -> Sha256 {
    let mode = settings.mode.map_or("", PolicyMode::as_str);
    let age = settings.advisories_max_age.as_secs();
    let mut written = format!("{mode}\n{}\n{age}\n", settings.on_old_advisories);
    let digest = |text: &mut String, one: serde_json::Result<String>| {
        text.push_str(&one.unwrap_or_default());
        text.push('\n');
    };
    for rule in &document.rules {
        digest(&mut written, serde_json::to_string(rule));
    }
    for waiver in &document.waivers {
        digest(&mut written, serde_json::to_string(waiver));
    }
    Sha256::of(written.as_bytes())
}

#[cfg(test)]
mod tests;
