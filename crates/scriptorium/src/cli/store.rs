//! `store stats`, `store gc` and `store verify`.
//!
//! Owns their arguments and help, and what `stats` and `gc` share: a table of kinds, and the release of an archive.
//! Must not know how values are counted, chosen or checked.

use std::fmt::Write;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::audit::{self, AuditArgs};
use super::storage::StorageArgs;
use crate::config::parse_size;
use crate::domain::Purl;
use crate::store::sealed;
use crate::store::stats::Tallies;
use crate::store::{StorageKey, Store, Tally};

mod gc;
mod stats;

const STATS_EXAMPLES: &str = "\
Examples:
  scriptorium store stats --config /etc/scriptorium.toml
  scriptorium store stats --data ./cache --largest 50
  scriptorium store stats --data ./cache --json | jq .used

Counts what is stored by kind, in bytes rounded up to disk pages of 4 KiB, and names the largest
archives. `staged` is what a running proxy is downloading; `abandoned` was staged by processes that
have ended. Reads no content. Safe beside a running proxy.";

const GC_EXAMPLES: &str = "\
Examples:
  scriptorium store gc --config /etc/scriptorium.toml
  scriptorium store gc --data ./cache --to 10GiB
  scriptorium store gc --data ./cache --to 10GiB --quarantine --apply

Shows what would be removed so that no more than SIZE stays, and removes it with --apply: what was
staged by processes that have ended, with --quarantine everything in quarantine, then the values that
are worth least by size and use, archives before documents. Pins, histories, divergences and what
mirrors and imported bundles keep are never removed. If that is not enough, nothing is removed; exit
code 1.

A running proxy keeps to storage.max_size by itself. This command is for a proxy that is stopped, or
to get below a smaller size once. It is safe beside a running proxy, which fetches removed values
again on request. But the running proxy knows better what is in use: it writes that down every five
minutes, and a value that it has not written down counts as used once.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  scriptorium store verify --config /etc/scriptorium.toml
  scriptorium store verify --data ./cache --json > verify.json
  scriptorium store verify --data ./cache --repair

Reads everything that is stored and checks that it is as it was written: every block of every
archive and trust artifact, every document, every pin. --repair moves damaged documents, archives
and trust artifacts to quarantine/, and the proxy fetches them again; pins need a person. `audit`
also compares what is stored. Safe beside a running proxy. Exit code 1 when anything is wrong, or
with --repair, still wrong.";

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Show what is stored: how much of each kind, and the largest archives
    #[command(after_help = STATS_EXAMPLES)]
    Stats(StatsArgs),
    /// Show what has to be removed so that no more than a size stays, or remove it
    #[command(after_help = GC_EXAMPLES)]
    Gc(GcArgs),
    /// Check that everything stored is as it was written
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(AuditArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    /// How many of the largest archives are named
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) largest: usize,
    /// One JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    /// The most that may stay, such as 10GiB [default: storage.max_size; with --data 50GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) to: Option<u64>,
    /// Also remove everything in quarantine
    #[arg(long)]
    pub(super) quarantine: bool,
    /// Remove it
    #[arg(long)]
    pub(super) apply: bool,
    /// One JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(command: &StoreCommand) -> ExitCode {
    let (done, as_json) = match command {
        StoreCommand::Stats(args) => (stats::run(args), args.json),
        StoreCommand::Gc(args) => (gc::run(args), args.json),
        StoreCommand::Verify(args) => (audit::look(args, false), args.json),
    };
    done.unwrap_or_else(|failure| failure.told(as_json))
}

/// A line for each kind, and one for all of them.
fn table(text: &mut String, tallies: &Tallies) {
    let total = ("total", tallies.total());
    for (kind, Tally { values, bytes }) in
        tallies.0.iter().map(|(kind, tally)| (*kind, *tally)).chain([total])
    {
        let _ = writeln!(text, "{kind:<15}  {values:>8}  {}", ByteSize(bytes));
    }
}

fn kinds(tallies: &Tallies) -> Value {
    let kind = |(kind, Tally { values, bytes }): (&&str, &Tally)| {
        ((*kind).to_owned(), json!({ "count": values, "bytes": bytes }))
    };
    tallies.0.iter().map(kind).collect()
}

/// A stored value in a list.
struct Shown {
    path: String,
    bytes: u64,
    release: Option<String>,
}

impl Shown {
    async fn of(store: &dyn Store, key: &StorageKey, bytes: u64) -> Self {
        Self { path: key.path(), bytes, release: release(store, key).await }
    }

    fn line(&self) -> String {
        let release = self.release.as_ref().map(|release| format!("  {release}")).unwrap_or_default();
        format!("{:>10}  {}{release}\n", ByteSize(self.bytes).to_string(), self.path)
    }
}

/// The release that an archive was sealed for; `None` for other values, and for a damaged archive.
async fn release(store: &dyn Store, key: &StorageKey) -> Option<String> {
    let StorageKey::Archive(_) = key else { return None };
    let seal = sealed::open(store, key).await.ok()??;
    seal.identity.parse::<Purl>().ok().map(|release| release.to_string())
}
