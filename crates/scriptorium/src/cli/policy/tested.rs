//! `policy test`: what each rule says about one release.
//!
//! Owns what is shown of it and the exit code. Must not decide anything.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use policy::{Lowering, MissingFact, RuleReport, rfc3339};
use serde::Serialize;

use super::{PolicyArgs, Trying};
use crate::app::documents_under;
use crate::cli::CommandFailure;
use crate::cli::{answer, fail, failed, usage, wait};
use crate::domain::{Purl, Version, VolumeName};

/// The answer of the command.
#[derive(Debug, Serialize)]
struct TestedRelease {
    release: String,
    /// Whether a rule refuses it.
    refused: bool,
    mode: &'static str,
    /// The rule that decides; none if the release is allowed.
    decides: Option<DecidingRule>,
    integrity: Option<String>,
    first_seen: Option<String>,
    /// Whether the registry itself withholds the release.
    withheld: bool,
    rules: Vec<RuleReport>,
    /// What is not known, and what would make it known.
    unknown: Vec<&'static str>,
    /// What of the advisories cannot be read.
    advisory_faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DecidingRule {
    rule: String,
    action: &'static str,
    reason: String,
    until: Option<String>,
}

impl From<&Lowering> for DecidingRule {
    fn from(lowering: &Lowering) -> Self {
        Self {
            rule: lowering.rule.to_string(),
            action: lowering.action.as_str(),
            reason: lowering.reason(),
            until: lowering.until.map(rfc3339),
        }
    }
}

pub(super) fn run(args: &PolicyArgs, named: &str, json: bool) -> Result<ExitCode, CommandFailure> {
    let (name, version) = super::release(named)
        .ok_or_else(|| usage(&format!("expected a release such as `@acme/x@1.2.3`, got `{named}`")))?;
    let trying = Trying::new(args)?;
    let tested = wait(test(&trying, name, version))??;
    let code = if tested.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let written = answer(&match json {
        true => serde_json::to_string_pretty(&tested).unwrap_or_default() + "\n",
        false => text(&tested),
    });
    Ok(if written == ExitCode::SUCCESS { code } else { written })
}

async fn test(trying: &Trying, name: VolumeName, version: Version) -> Result<TestedRelease, CommandFailure> {
    let rules = trying.rules()?;
    let mode = rules.mode().as_str();
    let documents = documents_under(&trying.config, Arc::clone(&trying.store), rules).await;
    let documents = documents.map_err(|error| fail(&error))?;
    let release = Purl { name, version };
    let named = format!("{}@{}", release.name, release.version);
    let pin = documents.pin(&release).await.ok().flatten();
    let trial = documents
        .try_out(&release, pin.map(|pin| pin.integrity), true)
        .await
        .map_err(|error| fail(&error))?;
    let Some(trial) = trial else {
        return Err(failed(&format!("{named}: no upstream has this name in its `volumes`")));
    };
    let unknown = unknown(&trial.reports);
    let decides = trial.verdict.lowering();
    Ok(TestedRelease {
        release: named,
        refused: decides.is_some_and(|lowering| lowering.action.refuses()),
        mode,
        decides: decides.map(DecidingRule::from),
        integrity: trial.integrity.map(|integrity| integrity.to_string()),
        first_seen: trial.first_seen.map(|seen| seen.to_string()),
        withheld: trial.is_withheld,
        rules: trial.reports,
        unknown: unknown.into_iter().map(MissingFact::as_sentence).collect(),
        advisory_faults: documents.policy().advisory_faults().to_vec(),
    })
}

/// What is not known, of rules that may match once it is: those of which nothing that is known says that they do not.
fn unknown(reports: &[RuleReport]) -> BTreeSet<MissingFact> {
    let may_match =
        |report: &&RuleReport| report.matchers.iter().all(|matcher| matcher.holds || matcher.lacks.is_some());
    let matchers = reports.iter().filter(may_match).flat_map(|report| &report.matchers);
    matchers.filter_map(|matcher| matcher.lacks).collect()
}

fn text(tested: &TestedRelease) -> String {
    let mut text = match &tested.decides {
        _ if tested.rules.is_empty() => {
            format!("{}: allowed; the configuration has no rules\n", tested.release)
        }
        None => format!("{}: allowed\n", tested.release),
        Some(DecidingRule { rule, action, reason, .. }) => {
            let outcome = if tested.refused { "refused" } else { "shown as yanked" };
            format!(
                "{}: {outcome} by the rule `{rule}` ({action})\n  {:<12}{reason}\n",
                tested.release, "reason"
            )
        }
    };
    // Writing to a string cannot fail.
    let mut line = |name: &str, what: &str| {
        let _ = writeln!(text, "  {name:<12}{what}");
    };
    if tested.mode == "audit" && tested.decides.is_some() {
        line("mode", "audit: answers do not change, what the rule would do is logged and counted");
    }
    if tested.withheld {
        line("registry", "withholds the release itself, whatever the policy says");
    }
    line("integrity", tested.integrity.as_deref().unwrap_or("not known"));
    match &tested.first_seen {
        None => line("first seen", "never here"),
        Some(seen) => {
            let older = "here; there is no older evidence, and the release itself may be older";
            line("first seen", &format!("{seen} {older}"));
        }
    }
    for report in &tested.rules {
        rule_text(report, &mut text);
    }
    for unknown in &tested.unknown {
        let _ = writeln!(text, "  {:<12}{unknown}", "not known");
    }
    for fault in &tested.advisory_faults {
        let _ = writeln!(text, "  {:<12}{fault}", "advisories");
    }
    text
}

fn rule_text(report: &RuleReport, text: &mut String) {
    let says = match (report.matches, report.applies) {
        (false, _) => "does not match",
        (true, true) => "matches",
        (true, false) => "matches and is waived",
    };
    let _ = writeln!(text, "  {:<12}{} ({}) {says}", "rule", report.rule, report.action);
    for matcher in &report.matchers {
        let holds = if matcher.holds { "holds" } else { "does not hold" };
        let _ = writeln!(text, "  {:<12}  {} {holds}: {}", "", matcher.matcher, matcher.why);
    }
    if let Some(waiver) = &report.waiver {
        let by = waiver.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        let why = waiver.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = writeln!(text, "  {:<12}  {}{by}{why}", "", waiver.because);
    }
}
