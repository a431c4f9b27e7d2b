//! The operator's policy in the model: a rule comes and goes, its waiver ends, its facts arrive late; and what it makes of answers.
//!
//! Owns which releases a rule may lower and which it must, by what the registry told. Must not know how the proxy judges.

use serde_json::{Value, json};

use super::ledger::{Id, Ledger, volume_of};
use super::promise::{Broken, Promise, Verdict, hold};
use super::promises::{Case, rows, state};
use super::proxy::Seen;
use super::world::{Route, name};
use crate::domain::LifecycleState;

/// Seconds that a young release is held, the TTL of exact metadata and thus an edge of many waits.
const YOUNG: u64 = 300;
/// Seconds after which advisories are old.
const OLD: u64 = 86_400;

/// What a rule is about. Of every release of the model these are true: it comes by CDN, nothing is attached to it, and its
/// manifest names no publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matching {
    Name,
    Young,
    Advisory,
    ByCdn,
    Untrusted,
    Unpublished,
}

pub(super) const MATCHINGS: [Matching; 6] = [
    Matching::Name,
    Matching::Young,
    Matching::Advisory,
    Matching::ByCdn,
    Matching::Untrusted,
    Matching::Unpublished,
];

/// A rule in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matching: Matching,
    pub(super) action: &'static str,
    pub(super) volume: usize,
    pub(super) is_audit: bool,
    /// A release that is spared up to the end of this day.
    pub(super) waived: Option<Id>,
}

/// A rule, and the second from which on its waiver does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleInForce {
    pub(super) rule: Rule,
    pub(super) waived_until: u64,
}

impl RuleInForce {
    /// Whether nobody can say what it makes of a release that was not asked for.
    pub(super) fn is_known_late(&self) -> bool {
        matches!(self.rule.matching, Matching::ByCdn | Matching::Untrusted | Matching::Unpublished)
    }
}

/// The second in which the day of `now` ends.
pub(super) fn midnight(now: u64) -> u64 {
    (now / 1000 / OLD + 1) * OLD
}

impl Rule {
    /// The file of rules, at `now`.
    pub(super) fn text(self, now: u64) -> String {
        let more = match self.matching {
            Matching::Name => String::new(),
            Matching::Young => format!(", younger_than = \"{YOUNG}s\""),
            Matching::Advisory => ", advisory = \"high\"".to_owned(),
            Matching::ByCdn => ", delivery = \"cdn\"".to_owned(),
            Matching::Untrusted => ", trust_missing = [\"signature\"]".to_owned(),
            Matching::Unpublished => ", publishers_not_in = [\"acme\"]".to_owned(),
        };
        let volume = super::ledger::VOLUMES[self.volume];
        let rule = format!(
            "[[policy.rules]]\nid = \"rule\"\naction = \"{}\"\nmatch = {{ volumes = [\"{volume}\"]{more} }}\n",
            self.action
        );
        let waiver = self.waived.map(|id| {
            let ((name, version), day) = (name(id), policy::day_of(now / 1000));
            format!(
                "[[policy.waivers]]\nrule = \"rule\"\nrelease = \"{name}@{version}\"\nuntil = \"{day}\"\n"
            )
        });
        rule + &waiver.unwrap_or_default()
    }

    fn refuses(self) -> bool {
        self.action != "discourage"
    }

    /// Whether asking on `route` makes known what it looks at.
    fn is_known_on(self, route: Route) -> bool {
        let at_once = matches!(self.matching, Matching::Name | Matching::Young | Matching::Advisory);
        at_once
            || match route {
                Route::Index(_) => false,
                Route::Exact(_) => matches!(self.matching, Matching::ByCdn | Matching::Untrusted),
                Route::Summary(_) | Route::Detail(_) => self.matching == Matching::Untrusted,
                Route::Archive(_) => true,
            }
    }
}

/// What becomes of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lowering {
    /// Whether what was told leaves room for it.
    may: bool,
    /// Whether it is certain once everything is known that the rule looks at.
    must: bool,
}

fn lowering(ledger: &Ledger, id: Id, now: u64) -> Lowering {
    let none = Lowering { may: false, must: false };
    let Some(RuleInForce { rule, waived_until }) = ledger.rule else { return none };
    let seconds = now / 1000;
    let is_waived = rule.waived == Some(id) && seconds < waived_until;
    if rule.is_audit || volume_of(id) != rule.volume || is_waived {
        return none;
    }
    let release = &ledger.releases[id];
    let is_young = |since: Option<u64>| since.is_none_or(|since| seconds < since / 1000 + YOUNG);
    match rule.matching {
        Matching::Name | Matching::ByCdn | Matching::Untrusted | Matching::Unpublished => {
            Lowering { may: true, must: true }
        }
        Matching::Young => {
            // Other bytes under the same version are another release.
            let told = release.known.rows.iter().flat_map(|told| &told.what);
            let is_other = told.into_iter().any(|row| row.content == Some(1));
            Lowering {
                may: is_other || is_young(release.listed_honestly),
                must: is_young(release.first_told),
            }
        }
        Matching::Advisory => {
            let is_old = ledger.advisories_confirmed.is_none_or(|at| at / 1000 + OLD <= seconds);
            let holds = is_old || ledger.advised.contains(&id);
            Lowering { may: holds, must: holds }
        }
    }
}

/// An answer without what the rule did to it, if the rule may have done that and did all that it must.
pub(super) fn governed(case: &Case<'_>, seen: Seen) -> Result<Seen, Broken> {
    match case.route {
        Route::Index(_) => governed_index(case, seen),
        Route::Exact(id) | Route::Archive(id) | Route::Summary(id) | Route::Detail(id) => {
            governed_release(case, id, seen)
        }
    }
}

fn governed_release(case: &Case<'_>, id: Id, mut seen: Seen) -> Result<Seen, Broken> {
    let (lowering, rule) =
        (lowering(case.after, id, case.now), case.after.rule.map(|in_force| in_force.rule));
    let refuses = rule.is_some_and(Rule::refuses);
    if seen.json["policy"] == "rule" {
        obeyed(seen.status == 403 && refuses && lowering.may, || {
            format!("refused by {rule:?}: {lowering:?}")
        })?;
        seen.is_refused_by_rule = true;
        return Ok(seen);
    }
    let must = lowering.must && rule.is_some_and(|rule| rule.is_known_on(case.route));
    obeyed(!(seen.status == 200 && must && refuses), || format!("served in spite of {rule:?}"))?;
    if seen.status != 200 || !matches!(case.route, Route::Exact(_)) {
        return Ok(seen);
    }
    let status = &seen.json["status"];
    if is_by_rule(status) {
        let is_right = !refuses && lowering.may && state(status) == Some(LifecycleState::Yanked);
        obeyed(is_right, || format!("{status} by {rule:?}: {lowering:?}"))?;
        seen.json["status"] = json!({ "state": LifecycleState::Available });
    } else {
        let is_available = state(status) == Some(LifecycleState::Available);
        obeyed(!(must && is_available), || format!("available in spite of {rule:?}"))?;
    }
    Ok(seen)
}

fn governed_index(case: &Case<'_>, mut seen: Seen) -> Result<Seen, Broken> {
    let Some(rule) = case.after.rule.map(|in_force| in_force.rule) else { return Ok(seen) };
    let Route::Index(volume) = case.route else { return Ok(seen) };
    for id in super::ledger::releases_of(volume) {
        let lowering = lowering(case.after, id, case.now);
        let statuses: Vec<&Value> = rows(&seen, id).into_iter().map(|row| &row["status"]).collect();
        let lowered = if rule.refuses() { LifecycleState::Blocked } else { LifecycleState::Yanked };
        for status in statuses.iter().filter(|status| is_by_rule(status)) {
            let is_right = lowering.may && state(status) == Some(lowered);
            obeyed(is_right, || format!("row {status} by {rule:?}: {lowering:?}"))?;
        }
        let must = lowering.must && rule.is_known_on(case.route);
        let offers = |status: &&Value| match state(status) {
            Some(LifecycleState::Available) => true,
            Some(LifecycleState::Yanked) => rule.refuses(),
            _ => false,
        };
        obeyed(!(must && statuses.iter().any(offers)), || format!("{statuses:?} in spite of {rule:?}"))?;
        if statuses.iter().any(|status| is_by_rule(status)) {
            seen.lowered.push(id);
        }
    }
    Ok(seen)
}

fn is_by_rule(status: &Value) -> bool {
    status["reason"].as_str().is_some_and(|reason| reason.starts_with("policy:rule"))
}

fn obeyed(held: bool, how: impl FnOnce() -> String) -> Verdict {
    hold(Promise::Rules, held, how)
}

#[cfg(test)]
mod tests;
