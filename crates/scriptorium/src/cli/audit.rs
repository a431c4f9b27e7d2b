//! `audit`: checks everything that is stored, once.
//!
//! Owns its arguments and help, the form of a report, and the exit code, also for `store verify`, which compares
//! nothing. Must not know what is compared with what.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use bytesize::ByteSize;
use clap::Args;

use super::CommandFailure;
use super::storage::{StorageArgs, StorageToChange, open_existing};
use super::{progress, recorded};
use crate::audit::finding::{AuditCount, AuditCounts, Finding};
use crate::audit::{AuditOptions, AuditReport, ReadRate, walk};
use crate::audit_record::AuditAction;
use crate::store::Store;

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium audit --config /etc/scriptorium.toml
  scriptorium audit --data ./cache --json > audit.json
  scriptorium audit --data ./cache --repair

Reads everything that is stored and checks it: documents, archives and pins, whether what is stored
of each release agrees, and whether every reader unpacks each archive alike. --repair moves damaged
documents and archives to quarantine/, and the proxy fetches them again; archives that some readers
unpack differently are packed anew in their place; pins and disagreements need a person. Safe beside
a running proxy. Exit code 1 when anything is wrong, or with --repair, still wrong.";

#[derive(Debug, Clone, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    /// Move damaged documents and archives to quarantine, and pack archives anew that some readers unpack differently
    #[arg(long)]
    pub(super) repair: bool,
    /// One JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &AuditArgs) -> ExitCode {
    look(args, true).unwrap_or_else(|failure| failure.told(args.json))
}

/// Checks each value and, with `compare`, what is known of each release.
pub(super) fn look(args: &AuditArgs, compare: bool) -> Result<ExitCode, CommandFailure> {
    let StorageToChange { storage, audit, .. } = args.storage.load_for_change()?;
    let store: Arc<dyn Store> = open_existing(&storage)?;
    let report = super::wait(async {
        // A value that cannot be listed is a finding; the bar is then too short.
        let size = match progress::is_watched(args.json) {
            true => Some(walk::size(&*store).await.unwrap_or(0)),
            false => None,
        };
        let bar = progress::bar(size);
        let progress = |bytes| bar.inc(bytes);
        let pace = ReadRate::unlimited();
        let report =
            walk(&store, AuditOptions { repair: args.repair, compare, pace, progress: &progress }).await;
        bar.finish_and_clear();
        report
    })?;
    if args.repair {
        let entry = recorded::entry(AuditAction::Repaired).with("about", "the store");
        let entry = entry.with("wrong", report.wrong).with("repaired", report.repaired);
        recorded::record(audit.as_deref(), entry);
    }
    let written = super::answer(&if args.json { json(&report) } else { text(&report, compare) });
    Ok(if report.remaining() == 0 { written } else { ExitCode::FAILURE })
}

fn json(report: &AuditReport) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

fn text(report: &AuditReport, compared: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        describe(&mut text, finding);
    }
    let untold = report.wrong.saturating_sub(report.findings.len() as u64);
    if untold > 0 {
        let _ = writeln!(text, "and {untold} more that are not shown\n");
    }
    let AuditCounts { documents, archives, pins, releases } = &report.walked;
    for (label, AuditCount { count, bytes }) in
        [("documents", documents), ("archives", archives), ("pins", pins)]
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
