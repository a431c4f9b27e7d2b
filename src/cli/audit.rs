//! `audit`: everything that is stored, looked at once.
//!
//! Owns its arguments and help, how a report is shown and what the exit code says of it, also for `store verify`,
//! which compares nothing. Must not know what is compared with what.

use std::fmt::Write;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Args;

use super::progress;
use super::storage::StorageArgs;
use crate::audit::finding::{Count, Finding, Walked};
use crate::audit::{Pace, Report, Walk, walk};

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium audit --config /etc/scriptorium.toml
  scriptorium audit --data ./cache --json > audit.json
  scriptorium audit --data ./cache --repair

Reads everything that is stored and checks that it is what it says: documents, archives, pins, and
that what is known of each release agrees, and that every reader unpacks each archive alike. --repair
moves damaged documents and archives to quarantine/, and the proxy fetches them anew; archives that
were stored before their framing was looked at are packed anew where they lie; pins and
disagreements are for a person. Safe beside a running proxy. Exit code 1 when anything is wrong, or with --repair, still wrong.";

/// What `audit` is told.
#[derive(Debug, Clone, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    /// Move damaged documents and archives to quarantine, pack archives anew that not every reader unpacks alike
    #[arg(long)]
    pub(super) repair: bool,
    /// One JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &AuditArgs) -> ExitCode {
    look(args, true).unwrap_or_else(|code| code)
}

/// Looks at each value for itself and, where that is asked for, at what is known of each release.
pub(super) fn look(args: &AuditArgs, compare: bool) -> Result<ExitCode, ExitCode> {
    let store = args.storage.open()?;
    let report = super::wait(async {
        // What cannot be listed is a finding of the walk; the bar is then too short.
        let size = match progress::is_watched(args.json) {
            true => Some(walk::size(&*store).await.unwrap_or(0)),
            false => None,
        };
        let bar = progress::bar(size);
        let progress = |bytes| bar.inc(bytes);
        let pace = Pace::unlimited();
        let report = walk(&store, Walk { repair: args.repair, compare, pace, progress: &progress }).await;
        bar.finish_and_clear();
        report
    })?;
    let written = super::answer(&if args.json { json(&report) } else { text(&report, compare) });
    Ok(if report.remaining() == 0 { written } else { ExitCode::FAILURE })
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

fn text(report: &Report, compared: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        describe(&mut text, finding);
    }
    let untold = report.wrong.saturating_sub(report.findings.len() as u64);
    if untold > 0 {
        let _ = writeln!(text, "and {untold} more that are not shown\n");
    }
    let Walked { documents, archives, pins, releases } = &report.walked;
    for (label, Count { count, bytes }) in [("documents", documents), ("archives", archives), ("pins", pins)]
    {
        let _ = writeln!(text, "{label:<9}  {count:>8}  {}", ByteSize(*bytes));
    }
    if compared {
        let _ = writeln!(text, "releases   {releases:>8}  compared");
    }
    let repaired = match report.repaired {
        0 => String::new(),
        repaired => format!("  {repaired} of them moved to quarantine/"),
    };
    let _ = writeln!(text, "wrong      {:>8}{repaired}", report.wrong);
    text
}

fn describe(text: &mut String, finding: &Finding) {
    let Finding { kind, path, release, expected, found, advice, repaired: _ } = finding;
    let release = release.as_ref().map(|release| format!("  {release}")).unwrap_or_default();
    let _ = writeln!(text, "{}  {path}{release}", kind.as_str());
    for (label, value) in [("expected", &**expected), ("found", found), ("do", advice)] {
        let _ = writeln!(text, "  {label:<8}  {value}");
    }
    text.push('\n');
}
