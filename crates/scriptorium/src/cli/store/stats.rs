//! `store stats`: how much of each kind is stored, and the largest archives.
//!
//! Owns how that is shown. Must not know how it is counted.

use std::fmt::Write;
use std::process::ExitCode;

use bytesize::ByteSize;
use serde_json::json;

use super::{Shown, StatsArgs, kinds, table};
use crate::cli::CommandFailure;
use crate::cli::storage::open_existing;
use crate::cli::{answer, fail, wait};
use crate::store::StoreError;
use crate::store::stats::{self, Tallies};

pub(super) fn run(args: &StatsArgs) -> Result<ExitCode, CommandFailure> {
    let storage = args.storage.load()?;
    let store = open_existing(&storage)?;
    let counted = wait(async {
        let stats = stats::collect(&store, args.largest).await?;
        let mut largest = Vec::new();
        for (key, bytes) in &stats.largest {
            largest.push(Shown::of(&*store, key, *bytes).await);
        }
        Ok::<_, StoreError>((stats.tallies, largest))
    })?;
    let (tallies, largest) = counted.map_err(|error| fail(&error))?;
    let shown = if args.json { json } else { text };
    Ok(answer(&shown(&tallies, &largest, storage.max_size)))
}

fn json(tallies: &Tallies, largest: &[Shown], max: u64) -> String {
    let archive =
        |Shown { path, bytes, release }: &Shown| json!({ "path": path, "bytes": bytes, "release": release });
    let document = json!({
        "kinds": kinds(tallies),
        "used": tallies.total().bytes,
        "max_size": max,
        "largest": largest.iter().map(archive).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn text(tallies: &Tallies, largest: &[Shown], max: u64) -> String {
    let mut text = String::new();
    table(&mut text, tallies);
    let _ = writeln!(text, "{:<15}  {:>8}  {}", "max_size", "", ByteSize(max));
    if !largest.is_empty() {
        text.push_str("\nlargest archives\n");
        text.extend(largest.iter().map(Shown::line));
    }
    text
}
