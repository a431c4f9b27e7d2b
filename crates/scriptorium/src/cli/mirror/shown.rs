//! What the mirror commands print, and their exit codes.
//!
//! Owns the text and the JSON around the reports. Must not know how a report was made.

use std::fmt::Write;
use std::process::ExitCode;

use bytesize::ByteSize;
use serde::Serialize;
use serde_json::json;

use crate::bundles::ImportLine;
use crate::cli::answer;
use crate::mirror::enumeration::SearchRemark;
use crate::mirror::record::{LackSubject, MirrorLack};
use crate::mirror::report::{
    MirrorStatus, PatternNames, PlanReport, ProofReport, RegistryStatus, SyncReport,
};

pub(super) fn plans(plans: Vec<PlanReport>, as_json: bool) -> ExitCode {
    let is_whole = plans.iter().all(|plan| plan.missing.is_empty() && plan.untold == 0);
    show(&plans, as_json, is_whole, |text, plan| {
        let PlanReport { mirror, volumes, releases, requests, seconds, bytes, bytes_unknown, .. } = plan;
        let _ = writeln!(text, "{mirror}");
        let _ = writeln!(text, "  selects   {releases} releases of {volumes} volumes");
        let unknown = format!("{bytes_unknown} archives of a length that no document tells");
        let _ = writeln!(text, "  takes     {}, and {unknown}", ByteSize(*bytes));
        let _ = writeln!(text, "  is here   {}", ByteSize(plan.held_bytes));
        let _ = writeln!(text, "  requests  {requests}, at the registries' budgets {seconds} s");
        for PatternNames { pattern, names } in &plan.patterns {
            let _ = writeln!(text, "  search    lists {names} names for {pattern}");
        }
        for name in &plan.unlisted {
            let _ = writeln!(text, "  search    does not list {name}, which a root names");
        }
        remarks(text, &plan.search);
        registries(text, &plan.registries);
        lacks(text, &plan.missing, plan.untold);
    })
}

pub(super) fn syncs(syncs: Vec<SyncReport>, as_json: bool) -> ExitCode {
    let is_whole = syncs.iter().all(|sync| sync.complete);
    show(&syncs, as_json, is_whole, |text, sync| {
        let SyncReport { mirror, complete, volumes, releases, bytes, requests, fetched, .. } = sync;
        let word = if *complete { "complete" } else { "incomplete" };
        let _ = writeln!(text, "{mirror}: {word}");
        let _ = writeln!(text, "  holds     {releases} releases of {volumes} volumes, {}", ByteSize(*bytes));
        let fetches = format!("{} documents, {} archives", fetched.documents, fetched.archives);
        let _ = writeln!(text, "  fetched   {fetches}, {} in {requests} requests", ByteSize(fetched.bytes));
        remarks(text, &sync.search);
        registries(text, &sync.registries);
        lacks(text, &sync.missing, sync.untold);
    })
}

/// How mirrors stand, and the last imports of bundles, the newest first.
pub(super) fn statuses(statuses: Vec<MirrorStatus>, imports: &[ImportLine], as_json: bool) -> ExitCode {
    let is_whole = statuses.iter().all(MirrorStatus::is_whole);
    if as_json {
        let shown = json!({ "mirrors": statuses, "imports": imports });
        return told(&(serde_json::to_string_pretty(&shown).unwrap_or_default() + "\n"), is_whole);
    }
    let mut text = String::new();
    for status in &statuses {
        describe(&mut text, status);
    }
    for import in imports {
        let _ = writeln!(text, "import  {import}");
    }
    told(&text, is_whole)
}

fn describe(text: &mut String, status: &MirrorStatus) {
    let MirrorStatus { mirror, last_success, releases, bytes, last_sync, .. } = status;
    let running = if status.running { ", a run is under way" } else { "" };
    let _ = writeln!(text, "{mirror}");
    let _ = writeln!(text, "  complete  {}{running}", last_success.as_deref().unwrap_or("never"));
    let _ = writeln!(text, "  last      {}", last_sync.as_deref().unwrap_or("never"));
    let _ = writeln!(text, "  holds     {releases} releases, {}", ByteSize(*bytes));
    remarks(text, &status.search);
    registries(text, &status.registries);
    lacks(text, &status.missing, status.untold);
}

pub(super) fn proofs(proofs: Vec<ProofReport>, as_json: bool) -> ExitCode {
    let is_whole = proofs.iter().all(|proof| proof.ok);
    show(&proofs, as_json, is_whole, |text, proof| {
        let ProofReport { mirror, ok, roots, releases, problems } = proof;
        let word = if *ok { "every root resolves, every file is whole" } else { "there are problems" };
        let _ = writeln!(text, "{mirror}: {word}");
        let _ = writeln!(text, "  proved    {roots} roots, {releases} releases");
        lacks(text, problems, 0);
    })
}

/// Prints all reports; exit code 1 unless all is well.
fn show<R: Serialize>(
    reports: &[R],
    as_json: bool,
    is_whole: bool,
    describe: impl Fn(&mut String, &R),
) -> ExitCode {
    let text = if as_json {
        serde_json::to_string_pretty(&json!({ "mirrors": reports })).unwrap_or_default() + "\n"
    } else {
        let mut text = String::new();
        reports.iter().for_each(|report| describe(&mut text, report));
        text
    };
    told(&text, is_whole)
}

fn told(text: &str, is_whole: bool) -> ExitCode {
    let written = answer(text);
    if is_whole { written } else { ExitCode::FAILURE }
}

/// What is odd about searches.
fn remarks(text: &mut String, remarks: &[SearchRemark]) {
    for SearchRemark { registry, unusable, names, listed, stated } in remarks {
        if *unusable > 0 {
            let more = if names.len() as u64 == *unusable { "" } else { ", …" };
            let names = format!("`{}`{more}", names.join("`, `"));
            let _ = writeln!(
                text,
                "  search    of {registry} lists {unusable} names that no volume can have: {names}"
            );
        }
        if let Some(stated) = stated {
            let _ = writeln!(text, "  search    of {registry} states {stated} names and lists {listed}");
        }
    }
}

/// What the registries said about no volume.
fn registries(text: &mut String, registries: &[RegistryStatus]) {
    for RegistryStatus { registry, capabilities, advisories } in registries {
        let capabilities = if *capabilities { "its capabilities" } else { "no capabilities" };
        let listed =
            advisories.map_or_else(|| "no list of advisories".to_owned(), |of| format!("{of} advisories"));
        let _ = writeln!(text, "  of        {registry}: {listed}, {capabilities}");
    }
}

fn lacks(text: &mut String, lacks: &[MirrorLack], untold: usize) {
    for MirrorLack { subject, reason } in lacks {
        let (kind, whom) = match subject {
            LackSubject::Root(root) => ("root", root),
            LackSubject::Release(release) => ("release", release),
        };
        let _ = writeln!(text, "  missing   {kind} {whom}: {reason}");
    }
    if untold > 0 {
        let _ = writeln!(text, "  missing   {untold} more that are not listed");
    }
}
