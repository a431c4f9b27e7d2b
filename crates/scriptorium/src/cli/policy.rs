//! `policy test`, `policy diff` and `policy baseline`: rules tried out on what is stored, without a request.
//!
//! Owns their arguments and help, and how the rules and the store are found. Must not know what a rule says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use policy::{Policy, PolicyError, PolicyMode};

use super::CommandFailure;
use super::storage::open_existing;
use crate::audit::releases::{ReleasesInStore, releases};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Overrides};
use crate::domain::{Version, VolumeName};
use crate::store::Store;

mod baseline;
mod changed;
mod tested;

const TEST_EXAMPLES: &str = "\
Examples:
  scriptorium policy test @acme/x@1.2.3 --config /etc/scriptorium.toml
  scriptorium policy test @acme/x@1.2.3 --config /etc/scriptorium.toml --json | jq .rules

Says what each rule says about a release and why, which waiver counts, when the release was first seen
here, and what is not known yet. Reads the store only and never contacts a registry. Exit code 1 when
a rule refuses the release, also in the mode \"audit\".";

const DIFF_EXAMPLES: &str = "\
Examples:
  scriptorium policy diff new-policy.toml --config /etc/scriptorium.toml
  scriptorium policy diff new-policy.toml --config /etc/scriptorium.toml --json | jq .releases

Says for which of the releases in the store another file in the place of policy.file would change the
verdict, and when each was last used: when its metadata was last fetched or confirmed. Reads the store
only and never contacts a registry.";

const BASELINE_EXAMPLES: &str = "\
Examples:
  scriptorium policy baseline --from store --config /etc/scriptorium.toml > waivers.toml
  scriptorium policy baseline --from store --from in-use.txt --config /etc/scriptorium.toml > waivers.toml

Prints a waiver of 90 days for every rule that lowers a release in use, in the form of policy.file. In
use is what the store holds, or what a file lists: one NAME@VERSION a line, \"#\" begins a comment.
A release that several name gets its waivers once.
Reads the store only and never contacts a registry.";

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say what each rule says about a release, and why
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The release, as `@acme/x@1.2.3`
        #[arg(value_name = "NAME@VERSION")]
        release: String,
        #[command(flatten)]
        shared: PolicyArgs,
        /// One JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say what another file of rules would change among the releases in the store
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// The file that would stand in the place of policy.file
        #[arg(value_name = "NEW.toml")]
        file: PathBuf,
        #[command(flatten)]
        shared: PolicyArgs,
        /// One JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print waivers for what is in use
    #[command(after_help = BASELINE_EXAMPLES)]
    Baseline {
        /// `store`, or a file with one NAME@VERSION a line; may be repeated
        #[arg(long, value_name = "store|FILE", required = true)]
        from: Vec<PathBuf>,
        #[command(flatten)]
        shared: PolicyArgs,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct PolicyArgs {
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

pub(super) fn run(command: PolicyCommand) -> ExitCode {
    let (done, as_json) = match command {
        PolicyCommand::Test { release, shared, json } => (tested::run(&shared, &release, json), json),
        PolicyCommand::Diff { file, shared, json } => (changed::run(&shared, &file, json), json),
        PolicyCommand::Baseline { from, shared } => (baseline::run(&shared, &from), false),
    };
    done.unwrap_or_else(|failure| failure.told(as_json))
}

/// The configuration and its store.
struct Trying {
    config: Config,
    store: Arc<dyn Store>,
}

impl Trying {
    fn new(args: &PolicyArgs) -> Result<Self, CommandFailure> {
        let overrides = Overrides { beside: true, ..Overrides::default() };
        let loaded =
            super::load(args.config.as_deref(), overrides).map_err(|errors| super::refuse(&errors))?;
        let store: Arc<dyn Store> = open_existing(&loaded.config.storage)?;
        Ok(Self { config: loaded.config, store })
    }

    /// The rules of the configuration.
    fn rules(&self) -> Result<Policy, CommandFailure> {
        compiled(self.config.policy.compile(now()))
    }

    /// The rules of the configuration with another file of rules.
    fn rules_with(&self, file: &Path) -> Result<Policy, CommandFailure> {
        let mut keys = self.config.policy.clone();
        // What the rules say is the same in both modes, and a configuration without rules needs none.
        keys.mode = keys.mode.or(Some(PolicyMode::Enforce));
        keys.replace_file(file.to_owned())
            .map_err(|why| super::usage(&format!("expected a readable file at {}: {why}", file.display())))?;
        compiled(keys.compile(now()))
    }

    /// Every release in the store. What cannot be read is complained of and left out.
    fn releases(&self) -> Result<ReleasesInStore, CommandFailure> {
        let unreadable = |why: String| super::complain(&format!("left out: {why}"));
        super::wait(releases(&self.store, unreadable))?.map_err(|error| super::fail(&error))
    }
}

/// The second that it is now, since 1970.
fn now() -> u64 {
    SystemClock::default().now().0 / 1000
}

fn compiled<T>(compiled: Result<(Policy, T), Vec<PolicyError>>) -> Result<Policy, CommandFailure> {
    compiled.map(|(rules, _)| rules).map_err(|errors| super::usages(&errors))
}

/// A release as a command names it.
fn release(text: &str) -> Option<(VolumeName, Version)> {
    let (name, version) = text.rsplit_once('@')?;
    Some((name.parse().ok()?, version.parse().ok()?))
}
