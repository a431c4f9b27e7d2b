//! `mirror plan`, `mirror sync`, `mirror status` and `mirror verify`; the commands about bundles have a file of their own.
//!
//! Owns their arguments and help, and whether a running proxy does the work (`beside`) or this process (`alone`). Must not
//! know how a mirror is brought in.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::CommandFailure;
use super::bundles::{self, BundleCommand};
use crate::config::{Config, Overrides};
use crate::mirror::RunKind;
use crate::mirror::report::{MirrorStatus, RunStatus};

mod alone;
mod beside;
mod shown;

const PLAN_EXAMPLES: &str = "\
Examples:
  scriptorium mirror plan ci --config /etc/scriptorium.toml
  scriptorium mirror plan ci --config /etc/scriptorium.toml --json | jq .mirrors[0].requests

Says what a sync would fetch: volumes, releases, archives, requests, and the time that the registries'
budgets make them take. Reads indexes and search only. Exit code 1 when something would be missing.";

const SYNC_EXAMPLES: &str = "\
Examples:
  scriptorium mirror sync --config /etc/scriptorium.toml
  scriptorium mirror sync ci --config /etc/scriptorium.toml --json > sync.json

Brings in what is not here, verified as for a client. Without names, every mirror. Beside a running
proxy the proxy does it (with the token in SCRIPTORIUM_ADMIN_TOKEN, if its admin port needs one). A
sync that is killed goes on where it stood. Exit code 1 when something is missing, each with its reason.";

const STATUS_EXAMPLES: &str = "\
Examples:
  scriptorium mirror status --config /etc/scriptorium.toml
  scriptorium mirror status ci --config /etc/scriptorium.toml --json

Says when the last complete sync of each mirror ended, how much it holds, and what is missing. Exit
code 1 when something is missing, or a mirror was never synced.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  scriptorium mirror verify --config /etc/scriptorium.toml
  scriptorium mirror verify ci --config /etc/scriptorium.toml --json

Proves from the store alone that every root resolves and every file is whole. Never contacts a
registry; safe beside a running proxy. Exit code 1 when there is a problem.";

#[derive(Debug, Subcommand)]
pub(super) enum MirrorCommand {
    /// Say what a sync would fetch
    #[command(after_help = PLAN_EXAMPLES)]
    Plan {
        /// The mirror
        name: String,
        #[command(flatten)]
        shared: MirrorArgs,
    },
    /// Bring in what a mirror selects
    #[command(after_help = SYNC_EXAMPLES)]
    Sync {
        /// The mirrors; without names, all of them
        names: Vec<String>,
        #[command(flatten)]
        shared: MirrorArgs,
    },
    /// Say how mirrors stand
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        /// The mirrors; without names, all of them
        names: Vec<String>,
        #[command(flatten)]
        shared: MirrorArgs,
    },
    /// Prove from the store alone that mirrors resolve and are whole
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// The mirrors; without names, all of them
        names: Vec<String>,
        #[command(flatten)]
        shared: MirrorArgs,
    },
    #[command(flatten)]
    Bundles(BundleCommand),
}

#[derive(Debug, Clone, Args)]
pub(super) struct MirrorArgs {
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(command: MirrorCommand) -> ExitCode {
    let (done, as_json) = match command {
        MirrorCommand::Bundles(command) => return bundles::run(command),
        MirrorCommand::Plan { name, shared } => (run_each(&shared, &[name], RunKind::Plan), shared.json),
        MirrorCommand::Sync { names, shared } => (run_each(&shared, &names, RunKind::Sync), shared.json),
        MirrorCommand::Status { names, shared } => (status(&shared, &names), shared.json),
        MirrorCommand::Verify { names, shared } => (verify(&shared, &names), shared.json),
    };
    done.unwrap_or_else(|failure| failure.told(as_json))
}

/// The configuration, and those of its mirrors that are named.
fn load(args: &MirrorArgs, names: &[String], asks: bool) -> Result<(Config, Vec<String>), CommandFailure> {
    let overrides = Overrides { beside: !asks, ..Overrides::default() };
    let loaded = super::load(args.config.as_deref(), overrides).map_err(|errors| super::refuse(&errors))?;
    let config = loaded.config;
    let names = named_mirrors(&config, names)?;
    Ok((config, names))
}

/// The mirrors of `config` that are named, or all of them.
fn named_mirrors(config: &Config, names: &[String]) -> Result<Vec<String>, CommandFailure> {
    let known: Vec<String> = config.mirrors.iter().map(|mirror| mirror.name.clone()).collect();
    let refusal = match names.iter().find(|name| !known.contains(name)) {
        _ if known.is_empty() => "the configuration has no [[mirrors]]".to_owned(),
        Some(name) => format!("{name}: expected the name of a mirror: {}", known.join(", ")),
        None if names.is_empty() => return Ok(known),
        None => return Ok(names.to_vec()),
    };
    Err(super::usage(&refusal))
}

/// Runs each mirror, in the running proxy or here.
fn run_each(args: &MirrorArgs, names: &[String], kind: RunKind) -> Result<ExitCode, CommandFailure> {
    let (config, names) = load(args, names, true)?;
    let watched = super::progress::is_watched(args.json);
    let runs: Vec<RunStatus> = match beside::statuses(&config)? {
        Some(_) => beside::run(&config, &names, kind, watched)?,
        None => alone::run(&config, &names, kind, watched)?,
    };
    Ok(match kind {
        RunKind::Plan => shown::plans(runs.into_iter().filter_map(|run| run.planned).collect(), args.json),
        RunKind::Sync => shown::syncs(runs.into_iter().filter_map(|run| run.synced).collect(), args.json),
    })
}

fn status(args: &MirrorArgs, names: &[String]) -> Result<ExitCode, CommandFailure> {
    let (imports, has_mirrors) = bundles::imports(args.config.as_deref())?;
    // A site that only takes bundles in has no mirror.
    if !has_mirrors && names.is_empty() && !imports.is_empty() {
        return Ok(shown::statuses(Vec::new(), &imports, args.json));
    }
    let (config, names) = load(args, names, false)?;
    let all = match beside::statuses(&config)? {
        Some(statuses) => statuses,
        None => alone::statuses(&config, &names)?,
    };
    let of = |name: &String| {
        let known = all.iter().find(|status| status.mirror == *name);
        known.cloned().unwrap_or_else(|| MirrorStatus::of(name, None))
    };
    Ok(shown::statuses(names.iter().map(of).collect(), &imports, args.json))
}

fn verify(args: &MirrorArgs, names: &[String]) -> Result<ExitCode, CommandFailure> {
    let (config, names) = load(args, names, false)?;
    Ok(shown::proofs(alone::prove(&config, &names)?, args.json))
}
