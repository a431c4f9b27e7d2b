//! An explanation as text: the verdict first, then the facts, one per line, aligned.
//!
//! Owns this layout. Must not look anything up.

use std::fmt::{self, Display};
use std::time::Duration;

use super::verdict::seconds;
use policy::Delivery;

use super::{Explanation, HeldArchive, HeldDocument, RegistryFailure, VerdictRule};
use crate::consistency::{Pin, PinnedCommit};
use crate::read::LifecycleTurn;

/// Columns that labels take.
const LABEL: usize = 15;

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [exact, archive] = [&self.verdict.exact, &self.verdict.archive];
        let verdict = |rule: &VerdictRule| format!("{} {}", status(rule), rule.rule);
        let (exact_is, archive_is) = (verdict(exact), verdict(archive));
        writeln!(f, "{}@{}  exact: {exact_is}; archive: {archive_is}", self.volume, self.version)?;
        line(f, "exact because", &exact.why)?;
        line(f, "archive because", &archive.why)?;
        writeln!(f)?;
        if let Some(open) = &self.divergence {
            line(f, "divergence", format!("{} since {}", open.kind.as_str(), open.since))?;
            for claim in &open.claims {
                line(f, "", claim)?;
            }
        }
        documents(f, self)?;
        line(
            f,
            "pin",
            match (&self.pin, &self.pin_trouble) {
                (Some(pin), _) => format!("{}, since {} from {}", pin.integrity, pin.since, pin.upstream),
                (None, Some(trouble)) => trouble.clone(),
                (None, None) => "none".to_owned(),
            },
        )?;
        if let Some(commit) = self.pin.as_ref().and_then(|pin| pin.commit.as_deref()) {
            let PinnedCommit { commit, tree, moved_to } = commit;
            let moved =
                moved_to.as_ref().map(|now| format!("; its reference names {now} now, of the same tree"));
            line(f, "commit", format!("{commit}, of the tree {tree}{}", moved.unwrap_or_default()))?;
        }
        for pin in &self.other_pins {
            let Pin { integrity, since, .. } = pin;
            line(f, "another's pin", format!("{integrity}, since {since}; counts for {} only", pin.whose()))?;
        }
        line(f, "archive", sealed(self.archive.as_ref()))?;
        for rule in &self.policy {
            let applies = if rule.applies { "applies" } else { "does not apply" };
            line(f, "policy", format!("{} ({}) {applies}", rule.rule, rule.action))?;
            for why in rule.because.iter().chain(&rule.waiver) {
                line(f, "", shown(why))?;
            }
        }
        line(
            f,
            "upstream",
            self.upstream.as_ref().map_or("none".to_owned(), |upstream| {
                let standing = match (upstream.up, upstream.over_budget_seconds) {
                    (false, _) => "not answering".to_owned(),
                    (true, Some(wait)) => format!("up, but its budget lets nothing through for {wait} s"),
                    (true, None) => "up".to_owned(),
                };
                format!("{}, {standing}", upstream.name)
            }),
        )?;
        let failure = self.upstream.as_ref().and_then(|upstream| upstream.last_failure.as_ref());
        failure.map_or(Ok(()), |RegistryFailure { at, cause, why, causes }| {
            let causes = causes.as_ref().map(|causes| format!(" ({})", shown(causes))).unwrap_or_default();
            line(f, "last failure", format!("{at}, {cause}: {why}{causes}"))
        })
    }
}

fn documents(f: &mut fmt::Formatter<'_>, known: &Explanation) -> fmt::Result {
    line(f, "index row", held(known.index.as_ref()))?;
    line(f, "metadata", held(known.exact.as_ref()))?;
    if let Some(turn) = known.exact.as_ref().and_then(|exact| exact.turn.as_ref()) {
        let LifecycleTurn { from, until, to, since } = turn;
        line(f, "state", format!("{from} until {until} at least, seen {to} since {since}"))?;
    }
    line(f, "trust summary", held(known.trust_summary.as_ref()))?;
    line(f, "trust detail", held(known.trust_detail.as_ref()))
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, what: impl Display) -> fmt::Result {
    writeln!(f, "  {label:LABEL$}  {what}")
}

/// A status that depends on the registry's answer is shown as `?`.
fn status(rule: &VerdictRule) -> String {
    rule.status.map_or("?".to_owned(), |status| status.to_string())
}

fn held(held: Option<&HeldDocument>) -> String {
    let Some(held) = held else { return "not held".to_owned() };
    let mut says = match (&held.says.status, held.says.rows) {
        (_, Some(0)) => "no such version".to_owned(),
        (Some(status), rows) => {
            let reason = status.reason.as_ref().map(|reason| format!(" ({})", shown(reason)));
            let rows = rows.filter(|rows| *rows > 1).map(|rows| format!(", in {rows} rows"));
            format!("{}{}{}", status.state, reason.unwrap_or_default(), rows.unwrap_or_default())
        }
        (None, _) => held.status.to_string(),
    };
    says += match held.says.delivery {
        Some(Delivery::Git) => ", by Git",
        Some(Delivery::Cdn) | None => "",
    };
    says += &held.says.integrity.map(|integrity| format!(", {integrity}")).unwrap_or_default();
    let fresh = match held.ttl_seconds {
        left @ 0.. => format!("fresh for {}", span(left)),
        past => format!("stale for {}", span(past)),
    };
    let keeping = match (held.keeping.no_cache, held.keeping.cap) {
        (true, _) => ", asked for each time as no-cache says".to_owned(),
        (false, Some(cap)) => format!(", capped by {}={}", cap.by.as_str(), cap.seconds),
        (false, None) => String::new(),
    };
    let outdated = if held.outdated { ", declared out of date" } else { "" };
    format!(
        "{says}; {} old, {fresh}{keeping}, from {}{outdated}",
        span(held.age_seconds as i64),
        held.upstream
    )
}

/// A registry's words on one line of a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().take(200).collect()
}

fn span(length: i64) -> String {
    seconds(Duration::from_secs(length.unsigned_abs()))
}

fn sealed(archive: Option<&HeldArchive>) -> String {
    archive.map_or("not held".to_owned(), |archive| format!("{} bytes, {}", archive.length, archive.sha256))
}
