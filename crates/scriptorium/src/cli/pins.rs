//! `pins export`, `pins import`, `pins check` and `pins remove`.
//!
//! Owns their arguments and help, which line goes to which stream, and the exit code. Must not know how pins are
//! kept, merged or compared.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use serde_json::json;

use super::CommandFailure;
use super::recorded;
use super::storage::{self, StorageArgs, StorageToChange};
use crate::app;
use crate::audit::pace::TimerPause;
use crate::audit::pins::{ComparedPin, PinCheck, PinVerdict};
use crate::audit_record::AuditAction;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Overrides};
use crate::consistency::Pins;
use crate::consistency::pins::import::{Conflict, LineError, Merged, Proposals, lines};
use crate::domain::{Version, VolumeName};

/// The request id of a check's requests, as the registries log it.
const REQUEST_ID: &str = "pins-check";

const EXPORT_EXAMPLES: &str = "\
Examples:
  scriptorium pins export --config /etc/scriptorium.toml > pins.jsonl
  scriptorium pins export --data ./cache | grep '\"@acme/'

One pin a line, sorted by volume and version: the integrity that this proxy first saw of each
release. Safe beside a running proxy. A damaged pin is reported on standard error and left out;
exit code 1.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  scriptorium pins import --config /etc/scriptorium.toml pins.jsonl
  scriptorium pins export --data ./staging | scriptorium pins import --data ./cache

A line may be written by hand, as
  {\"volume\":\"@acme/x\",\"version\":\"1.0.0\",\"integrity\":\"sha256:<64 hex digits>\"}
which binds every registry. With \"upstream\" it binds the registry of that name; with \"origin\"
too, as in an export, only the registry at that URL. A line replaces a damaged pin. Lines that are
no pins are all reported and nothing is written; exit code 2. A line that contradicts a pin in
force, or another line, is reported and skipped; exit code 1.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  scriptorium pins remove @acme/x@1.0.0 --config /etc/scriptorium.toml
  scriptorium pins remove @acme/x --upstream public --data ./cache

Without a version, the pins of every version; without --upstream, those of every registry. Each
removed pin is shown with its registry. What that registry says next is pinned, as for a release
that was never seen. Safe beside a running proxy. Exit code 1 when there was no pin.";

const CHECK_EXAMPLES: &str = "\
Examples:
  scriptorium pins check --config /etc/scriptorium.toml
  scriptorium pins check --config /etc/scriptorium.toml --upstream public --json

Asks the registries for every pinned release and shows those that differ. A release that is
withheld (blocked, tombstoned, gone) is no difference. Exit code 1 when a release differs or could
not be asked about.";

#[derive(Debug, Subcommand)]
pub(super) enum PinsCommand {
    /// Write every pin to standard output, one JSON object a line
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(StorageArgs),
    /// Import pins that were exported elsewhere or written by hand
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        #[command(flatten)]
        storage: StorageArgs,
        /// The lines; standard input where it is missing or `-`
        file: Option<PathBuf>,
    },
    /// Remove the pins of a release, or of every release of a volume
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        #[command(flatten)]
        storage: StorageArgs,
        /// The volume, or one version of it
        #[arg(value_name = "NAME[@VERSION]")]
        release: String,
        /// Only pins of this upstream; `import` are the pins that were imported for every registry
        #[arg(long, value_name = "NAME")]
        upstream: Option<String>,
    },
    /// Compare every pin with what its registry says now
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArgs {
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Only pins of volumes that are routed to this upstream
    #[arg(long, value_name = "NAME")]
    pub(super) upstream: Option<String>,
    /// One JSON object a line, every pin included and a summary last
    #[arg(long)]
    pub(super) json: bool,
    /// Also show releases that are the same
    #[arg(long)]
    pub(super) verbose: bool,
}

pub(super) fn run(command: PinsCommand) -> ExitCode {
    let as_json = matches!(&command, PinsCommand::Check(CheckArgs { json: true, .. }));
    let done = match command {
        PinsCommand::Export(storage) => export(&storage),
        PinsCommand::Import { storage, file } => import(&storage, file.as_deref()),
        PinsCommand::Remove { storage, release, upstream } => remove(&storage, &release, upstream.as_deref()),
        PinsCommand::Check(args) => check(&args),
    };
    done.unwrap_or_else(|failure| failure.told(as_json))
}

fn export(storage: &StorageArgs) -> Result<ExitCode, CommandFailure> {
    let pins = Pins::new(storage.open()?);
    let mut code = ExitCode::SUCCESS;
    let exported = super::wait(pins.sorted(|error| {
        super::complain(&error.to_string());
        code = ExitCode::FAILURE;
    }))?;
    let written = super::answer_with(|out| exported.iter().try_for_each(|pin| out.write_all(&pin.line())));
    Ok(if written == ExitCode::SUCCESS { code } else { written })
}

fn import(storage: &StorageArgs, file: Option<&Path>) -> Result<ExitCode, CommandFailure> {
    let StorageToChange { storage: place, registries, audit } = storage.load_for_change()?;
    let proposals = read(input(file)?)?;
    let pins = Pins::new(storage::open(&place)?);
    let tell = |conflict: Conflict| super::complain(&conflict.to_string());
    let merged = super::wait(proposals.merge(&pins, registries, tell))?;
    let Merged { imported, present, conflicts } = merged.map_err(|error| super::fail(&error))?;
    let outcome = format!("{imported} imported, {present} already there, {conflicts} in conflict");
    super::complain(&outcome);
    recorded::record(audit.as_deref(), recorded::entry(AuditAction::PinsImported).with("about", outcome));
    Ok(if conflicts == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn remove(storage: &StorageArgs, release: &str, upstream: Option<&str>) -> Result<ExitCode, CommandFailure> {
    let (volume, version) = named(release)?;
    let StorageToChange { storage: place, registries: configured, audit } = storage.load_for_change()?;
    let pins = Pins::new(storage::open_existing(&place)?);
    let removed = super::wait(async {
        let mut registries = pins.registries().await?;
        registries.extend(configured);
        pins.remove(&volume, version.as_ref(), upstream, &registries).await
    })?;
    let removed = removed.map_err(|error| super::fail(&error))?;
    for removed in &removed {
        super::answer(&format!("removed  {removed}\n"));
    }
    let entry =
        recorded::entry(AuditAction::PinsRemoved).with("about", release).with("removed", removed.len());
    recorded::record(audit.as_deref(), entry);
    if removed.is_empty() {
        super::complain(&format!("nothing is pinned of {release}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// `NAME` or `NAME@VERSION`; a scope begins with the first `@`.
fn named(release: &str) -> Result<(VolumeName, Option<Version>), CommandFailure> {
    let (name, version) = match release.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() => (name, Some(version)),
        Some(_) | None => (release, None),
    };
    let refuse = |error: &dyn std::error::Error| super::usage(&format!("{release}: {error}"));
    let name = name.parse::<VolumeName>().map_err(|error| refuse(&error))?;
    let version = version.map(str::parse::<Version>).transpose().map_err(|error| refuse(&error))?;
    Ok((name, version))
}

fn input(file: Option<&Path>) -> Result<Box<dyn BufRead>, CommandFailure> {
    let Some(file) = file.filter(|file| *file != Path::new("-")) else {
        let input = io::stdin().lock();
        if input.is_terminal() {
            super::complain("Reading pins from this terminal, one a line; Ctrl-D ends them:");
        }
        return Ok(Box::new(input));
    };
    let opened = File::open(file).map_err(|error| super::usage(&format!("{}: {error}", file.display())))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// Reads every line; on errors, reports all of them and imports nothing.
fn read(input: impl BufRead) -> Result<Proposals, CommandFailure> {
    let (mut proposals, mut malformed) = (Proposals::default(), 0_u64);
    for line in lines(input, SystemClock::default().now()) {
        match line {
            Ok(line) if malformed == 0 => proposals.add(line),
            Ok(_) => {}
            Err(error) => {
                if let LineError::Unreadable(_) = error {
                    return Err(super::failed(&error.to_string()));
                }
                super::complain(&error.to_string());
                malformed += 1;
            }
        }
    }
    if malformed > 0 {
        return Err(super::usage(&format!("nothing was imported: lines that are no pins: {malformed}")));
    }
    Ok(proposals)
}

fn check(args: &CheckArgs) -> Result<ExitCode, CommandFailure> {
    let loaded = super::load(args.config.as_deref(), Overrides::default());
    let config = loaded.map_err(|errors| super::refuse(&errors))?.config;
    may_ask(&config, args.upstream.as_deref())?;
    let pins = Pins::new(storage::open_existing(&config.storage)?);
    let upstreams = app::upstreams(&config).map_err(|error| super::fail(&error))?;
    let registries = PinCheck {
        upstreams: &upstreams,
        only: args.upstream.as_deref(),
        max_document: config.limits.max_document,
        request_id: REQUEST_ID,
        rest: &TimerPause,
    };
    let tally = super::wait(async {
        let (mut tally, mut compared) = (PinTally::default(), pin!(registries.compare(&pins)));
        while let Some(compared) = compared.next().await {
            match compared {
                Ok(compared) => {
                    tally.count(&compared.verdict);
                    show(&compared, args);
                }
                Err(error) => {
                    tally.not_asked += 1;
                    super::complain(&error.to_string());
                }
            }
        }
        tally
    })?;
    super::answer(&tally.line(args.json));
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn may_ask(config: &Config, only: Option<&str>) -> Result<(), CommandFailure> {
    let names: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    let refusal = match only {
        _ if config.cache.offline => "cache.offline is true: no registry may be asked".to_owned(),
        Some(only) if !names.contains(&only) => {
            format!("--upstream {only}: expected the name of an upstream: {}", names.join(", "))
        }
        Some(_) | None => return Ok(()),
    };
    Err(super::usage(&refusal))
}

fn show(compared: &ComparedPin, args: &CheckArgs) {
    let ComparedPin { pin, upstream, verdict } = compared;
    if args.json {
        let mut line = json!({
            "volume": pin.volume,
            "version": pin.version,
            "pinned": pin.integrity,
            "upstream": upstream,
        });
        if let (Some(line), Ok(serde_json::Value::Object(verdict))) =
            (line.as_object_mut(), serde_json::to_value(verdict))
        {
            line.extend(verdict);
        }
        super::answer(&format!("{line}\n"));
        return;
    }
    let (word, rest) = match verdict {
        PinVerdict::Same if !args.verbose => return,
        PinVerdict::Same => ("same", pin.integrity.to_string()),
        PinVerdict::Different { found } => {
            ("different", format!("pinned {}, the registry now says {found}", pin.integrity))
        }
        PinVerdict::Withheld { why } => ("withheld", why.clone()),
        PinVerdict::OfAnother { why } => ("another's", why.clone()),
        PinVerdict::CouldNotAsk { why } => ("not asked", why.clone()),
    };
    super::answer(&format!("{word:<9}  {} {}: {rest}\n", pin.volume, pin.version));
}

/// How many pins had each verdict.
#[derive(Debug, Default)]
struct PinTally {
    same: u64,
    different: u64,
    withheld: u64,
    of_another: u64,
    not_asked: u64,
}

impl PinTally {
    fn count(&mut self, verdict: &PinVerdict) {
        *match verdict {
            PinVerdict::Same => &mut self.same,
            PinVerdict::Different { .. } => &mut self.different,
            PinVerdict::Withheld { .. } => &mut self.withheld,
            PinVerdict::OfAnother { .. } => &mut self.of_another,
            PinVerdict::CouldNotAsk { .. } => &mut self.not_asked,
        } += 1;
    }

    fn is_clean(&self) -> bool {
        self.different == 0 && self.not_asked == 0
    }

    fn line(&self, as_json: bool) -> String {
        let Self { same, different, withheld, of_another, not_asked } = self;
        if as_json {
            let counts = json!({
                "same": same, "different": different, "withheld": withheld,
                "of-another": of_another, "could-not-ask": not_asked,
            });
            return format!("{}\n", json!({ "summary": counts }));
        }
        let known = format!("{same} same, {different} different, {withheld} withheld");
        let of_another = match of_another {
            0 => String::new(),
            some => format!(", {some} of another registry"),
        };
        format!("{known}{of_another}, {not_asked} could not be asked about\n")
    }
}
