//! `policy diff`: for which releases in the store another file of rules changes the verdict.
//!
//! Owns what is shown of it. Must not decide anything.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use policy::{MissingFact, PolicyVerdict};
use serde::Serialize;

use super::{PolicyArgs, Trying};
use crate::app::documents_under;
use crate::audit::releases::ReleasesInStore;
use crate::cli::CommandFailure;
use crate::cli::{answer, fail, wait};
use crate::domain::Purl;

/// The answer of the command.
#[derive(Debug, Serialize)]
struct PolicyDiff {
    /// How many releases were judged.
    judged: usize,
    releases: Vec<ChangedRelease>,
}

/// A release whose verdict changes.
#[derive(Debug, Serialize)]
struct ChangedRelease {
    release: String,
    from: RuledOutcome,
    to: RuledOutcome,
    /// When its metadata was last fetched or confirmed; `null` if only a pin or an archive is left.
    last_used: Option<String>,
    /// Facts that are not known, by which the new rule decides.
    unknown: Vec<MissingFact>,
}

#[derive(Debug, Serialize)]
struct RuledOutcome {
    /// `allowed`, `refused` or `discouraged`.
    outcome: &'static str,
    rule: Option<String>,
    action: Option<&'static str>,
}

impl From<&PolicyVerdict> for RuledOutcome {
    fn from(verdict: &PolicyVerdict) -> Self {
        let lowering = verdict.lowering();
        Self {
            outcome: match lowering.map(|lowering| lowering.action.refuses()) {
                None => "allowed",
                Some(true) => "refused",
                Some(false) => "discouraged",
            },
            rule: lowering.map(|lowering| lowering.rule.to_string()),
            action: lowering.map(|lowering| lowering.action.as_str()),
        }
    }
}

pub(super) fn run(args: &PolicyArgs, file: &Path, json: bool) -> Result<ExitCode, CommandFailure> {
    let trying = Trying::new(args)?;
    let stored = trying.releases()?;
    let diff = wait(compare(&trying, file, stored))??;
    Ok(answer(&match json {
        true => serde_json::to_string_pretty(&diff).unwrap_or_default() + "\n",
        false => text(&diff),
    }))
}

async fn compare(
    trying: &Trying,
    file: &Path,
    stored: ReleasesInStore,
) -> Result<PolicyDiff, CommandFailure> {
    let (before, after) = (trying.rules()?, trying.rules_with(file)?);
    let under = async |rules| {
        documents_under(&trying.config, Arc::clone(&trying.store), rules).await.map_err(|error| fail(&error))
    };
    let (old, new) = (under(before).await?, under(after).await?);
    let (mut judged, mut changed) = (0, Vec::new());
    for ((name, version), known) in stored {
        let release = Purl { name, version };
        let before = old.try_out(&release, known.integrity, false).await.map_err(|error| fail(&error))?;
        let after = new.try_out(&release, known.integrity, false).await.map_err(|error| fail(&error))?;
        let (Some(before), Some(after)) = (before, after) else { continue };
        if before.is_withheld {
            continue;
        }
        judged += 1;
        if before.verdict.does_as(&after.verdict) {
            continue;
        }
        let explained = new.try_out(&release, known.integrity, true).await.map_err(|error| fail(&error))?;
        let rule = after.verdict.lowering().map(|lowering| &*lowering.rule);
        let reports = explained.into_iter().flat_map(|trial| trial.reports);
        let deciding = reports.filter(|report| Some(&*report.rule) == rule);
        changed.push(ChangedRelease {
            release: format!("{}@{}", release.name, release.version),
            from: (&before.verdict).into(),
            to: (&after.verdict).into(),
            last_used: known.last_used.map(|at| at.to_string()),
            unknown: deciding
                .flat_map(|report| report.matchers)
                .filter_map(|matcher| matcher.lacks)
                .collect(),
        });
    }
    Ok(PolicyDiff { judged, releases: changed })
}

fn text(diff: &PolicyDiff) -> String {
    let mut text = String::new();
    for ChangedRelease { release, from, to, last_used, unknown } in &diff.releases {
        let used = match last_used {
            Some(at) => format!("last used {at}"),
            None => "no metadata is held".to_owned(),
        };
        let unknown = unknown.iter().map(|fact| format!("; {}", fact.as_sentence())).collect::<String>();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{release}: {} -> {}; {used}{unknown}", spelt(from), spelt(to));
    }
    let _ = writeln!(text, "{} of {} releases change", diff.releases.len(), diff.judged);
    text
}

fn spelt(outcome: &RuledOutcome) -> String {
    match (&outcome.rule, outcome.action) {
        (Some(rule), Some(action)) => format!("{} by {rule} ({action})", outcome.outcome),
        _ => outcome.outcome.to_owned(),
    }
}
