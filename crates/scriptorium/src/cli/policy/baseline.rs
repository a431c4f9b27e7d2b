//! `policy baseline`: waivers for what is in use, so that rules can be enforced without breaking anything.
//!
//! Owns which releases and which rules get one, and for how long. Must not decide what a rule matches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use policy::{MissingFact, PolicyDocument, RuleReport, WaiverDeclaration, day_of};

use super::{PolicyArgs, Trying};
use crate::app::documents_under;
use crate::audit::releases::ReleasesInStore;
use crate::cli::CommandFailure;
use crate::cli::{answer, complain, fail, usage, wait};
use crate::domain::{Integrity, Purl, Version, VolumeName};

/// How long a waiver lasts.
const DAYS: u64 = 90;
/// Releases without a waiver that are named, for each rule and reason.
const MOST_NAMED: usize = 20;
/// The longest list of releases that is read, in bytes.
const LONGEST_LIST: u64 = 64 << 20;

/// Releases in use, with their integrity where it is known.
type InUse = BTreeMap<(VolumeName, Version), Option<Integrity>>;

pub(super) fn run(args: &PolicyArgs, from: &[PathBuf]) -> Result<ExitCode, CommandFailure> {
    let trying = Trying::new(args)?;
    let mut in_use = InUse::new();
    for from in from {
        let named = match from.to_str() {
            Some("store") => held(trying.releases()?),
            _ => listed(from)?,
        };
        for (release, integrity) in named {
            let known = in_use.entry(release).or_default();
            *known = known.take().or(integrity);
        }
    }
    let made = wait(waivers(&trying, in_use))??;
    for line in made.notes {
        complain(&line);
    }
    Ok(answer(&PolicyDocument { rules: Vec::new(), waivers: made.waivers }.to_toml()))
}

/// Of a store, what is more than a pin.
fn held(stored: ReleasesInStore) -> InUse {
    let held = stored.into_iter().filter(|(_, stored)| stored.is_held());
    held.map(|(release, stored)| (release, stored.integrity)).collect()
}

/// The releases of a list, or every line that is none.
fn listed(path: &Path) -> Result<InUse, CommandFailure> {
    let refuse = |why: String| usage(&why);
    let unreadable =
        |why: String| refuse(format!("expected `store`, or a file of releases at {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > LONGEST_LIST {
        return Err(unreadable(format!("it is longer than {LONGEST_LIST} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    read_list(&text).map_err(|bad| {
        let lines = bad.into_iter().map(|(number, line)| {
            format!("{}:{number}: expected a release such as `@acme/x@1.2.3`, found `{line}`", path.display())
        });
        refuse(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// One NAME@VERSION a line; `#` begins a comment. Or the lines that are none, with their numbers.
fn read_list(text: &str) -> Result<InUse, Vec<(usize, String)>> {
    let (mut releases, mut bad) = (InUse::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match super::release(line) {
            _ if line.is_empty() => {}
            Some(release) => {
                releases.insert(release, None);
            }
            None => bad.push((at + 1, line.to_owned())),
        }
    }
    if bad.is_empty() { Ok(releases) } else { Err(bad) }
}

/// Waivers, and what an operator should know about them.
#[derive(Debug, Default)]
struct Baseline {
    waivers: Vec<WaiverDeclaration>,
    notes: Vec<String>,
}

async fn waivers(trying: &Trying, in_use: InUse) -> Result<Baseline, CommandFailure> {
    let rules = trying.rules()?;
    let mut made = Baseline::default();
    if rules.is_empty() {
        made.notes.push("no waivers: the configuration has no rules".to_owned());
        return Ok(made);
    }
    let documents = documents_under(&trying.config, Arc::clone(&trying.store), rules).await;
    let documents = documents.map_err(|error| fail(&error))?;
    let now = super::now();
    let mut unjudged: BTreeMap<(String, &'static str), Vec<String>> = BTreeMap::new();
    for ((name, version), known) in in_use {
        let release = Purl { name, version };
        let pinned = match known {
            Some(integrity) => Some(integrity),
            None => documents.pin(&release).await.ok().flatten().map(|pin| pin.integrity),
        };
        let named = format!("{}@{}", release.name, release.version);
        let trial = documents.try_out(&release, pinned, true).await.map_err(|error| fail(&error))?;
        let Some(trial) = trial else {
            made.notes.push(format!("{named}: no upstream has this name in its `volumes`"));
            continue;
        };
        // What the registry withholds is not in use, whatever a rule says.
        if trial.is_withheld {
            continue;
        }
        for report in trial.reports {
            match lacking(&report) {
                Some(fact) => {
                    unjudged.entry((report.rule, fact.as_sentence())).or_default().push(named.clone());
                }
                None if report.applies => {
                    made.waivers.push(waiver(report.rule, &named, trial.integrity, now))
                }
                None => {}
            }
        }
    }
    let note = |((rule, fact), releases): ((String, &'static str), Vec<String>)| {
        let named = releases.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = match releases.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("no waiver of `{rule}` for {named}{more}, of which too little is known: {fact}")
    };
    made.notes.extend(unjudged.into_iter().map(note));
    Ok(made)
}

/// The fact without which nobody can say whether a rule will lower the release. A release that was never seen here will be
/// young, so that is enough to say it.
fn lacking(report: &RuleReport) -> Option<MissingFact> {
    let open = |holds: bool, fact: MissingFact| match fact {
        MissingFact::FirstSight => false,
        // They hold only because they are not known.
        MissingFact::Advisories | MissingFact::Trust if holds => true,
        _ => !holds,
    };
    let is_ruled_out = report.matchers.iter().any(|matcher| !matcher.holds && matcher.lacks.is_none());
    let mut lacks = report.matchers.iter().filter_map(|matcher| Some((matcher.holds, matcher.lacks?)));
    if is_ruled_out { None } else { lacks.find(|(holds, fact)| open(*holds, *fact)).map(|(_, fact)| fact) }
}

fn waiver(rule: String, release: &str, integrity: Option<Integrity>, now: u64) -> WaiverDeclaration {
    const DAY: u64 = 86_400;
    WaiverDeclaration {
        rule: Some(rule),
        release: Some(release.to_owned()),
        integrity: integrity.map(|integrity| integrity.to_string()),
        until: Some(day_of(now.saturating_add(DAYS * DAY))),
        by: Some("policy baseline".to_owned()),
        why: Some(format!("in use on {}", day_of(now))),
        ..WaiverDeclaration::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_release_a_line() {
        let text = "# in use\n@acme/x@1.2.3\n\n  lamp@0.1.0  # the old one\r\nlamp@0.1.0\n";
        let names: Vec<String> =
            read_list(text).unwrap().into_keys().map(|(name, version)| format!("{name}@{version}")).collect();
        assert_eq!(names, ["@acme/x@1.2.3", "lamp@0.1.0"]);
        let bad = read_list("lamp\n@acme/x@1.2.3\nlamp@^1.0.0").unwrap_err();
        assert_eq!(bad, [(1, "lamp".to_owned()), (3, "lamp@^1.0.0".to_owned())]);
    }

    #[test]
    fn a_waiver_lasts_ninety_days_and_reads_back() {
        // 2026-11-30
        let waivers = vec![waiver("too-new".to_owned(), "@acme/x@1.2.3", None, 1_796_000_000)];
        let document = PolicyDocument { waivers, ..PolicyDocument::default() };
        let read = PolicyDocument::parse("p", &document.to_toml()).unwrap();
        assert_eq!(read.waivers[0].until.as_deref(), Some("2027-02-28"));
        assert_eq!(read.waivers[0].why.as_deref(), Some("in use on 2026-11-30"));
    }
}
