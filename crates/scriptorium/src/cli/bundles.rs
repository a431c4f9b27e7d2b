//! `mirror key`, `mirror receipt`, `mirror export`, `mirror inspect` and `mirror import`.
//!
//! Owns their arguments and help, and what they share: the configuration, and times of bundles. Must not know how a bundle is made
//! or taken in.

use std::env;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bundle::UtcSecond;
use clap::{Args, Subcommand};

use super::CommandFailure;
use crate::bundles::{BundleJournal, ImportLine};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{Config, Location, Overrides, parse_size};

mod export;
mod import;
mod inspect;
mod key;
mod receipt;

const KEY_EXAMPLES: &str = "\
Examples:
  scriptorium mirror key --out /etc/scriptorium/corp
  scriptorium mirror key --out corp --password < password.txt

Makes NAME.key, which signs bundles, and NAME.pub, in minisign's formats. Prints the line for the
receiver's configuration. Files that exist are not overwritten. With --password the first line of
standard input is the password; a terminal does not show it.";

const RECEIPT_EXAMPLES: &str = "\
Examples:
  scriptorium mirror receipt --config /etc/scriptorium.toml > receipt.json
  scriptorium mirror export ci --for receipt.json --to /media/usb/ci --key corp.key

Lists the documents and files of this store by digest, so that an export can leave them out. Safe
beside a running proxy.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  scriptorium mirror export ci --to /media/usb/ci --key /etc/scriptorium/corp.key
  scriptorium mirror export ci --to /media/usb/ci --key corp.key --for receipt.json --expires 30d
  scriptorium mirror export ci --to blocks --key corp.key --lifecycle-only
  SOURCE_DATE_EPOCH=1796000000 scriptorium mirror export ci --to dvd --key corp.key --part-size 4GiB

Writes what the mirror selected as a bundle: a folder that is signed last, so that one without a
signature is not finished. An export that was killed is run again. What the mirror lacks is listed
in the bundle and shown; the exit code is 0 all the same. Safe beside a running proxy.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  scriptorium mirror inspect /media/usb/ci --config /etc/scriptorium.toml
  scriptorium mirror inspect /media/usb/ci --json | jq .problems

Reads every byte of a bundle and says who signed it, what is in it, and what is wrong with it. Writes
nothing. Exit code 0 when it is intact and signed by a key in bundles.trusted_keys, else 1.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  scriptorium mirror import /media/usb/ci --config /etc/scriptorium.toml
  scriptorium mirror import /media/usb/ci --partial --json

Checks all of a bundle, then takes it in. Each file is verified as if its registry had sent it. Beside
a running proxy, which is told through its admin port and serves the new state at once; if that port
needs a token, SCRIPTORIUM_ADMIN_TOKEN has it. An import that was killed is run again and goes on.
Exit code 0 when all of it is in, 1 when something was left out, 3 when it was refused as a whole and
nothing was written.";

#[derive(Debug, Clone, Args)]
pub(super) struct BundleArgs {
    /// The proxy's configuration file; without it, the environment and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Make a pair of keys for bundles
    #[command(after_help = KEY_EXAMPLES)]
    Key {
        /// The path of both files, without their endings
        #[arg(long, value_name = "NAME")]
        out: PathBuf,
        /// Protect the secret key with the first line of standard input
        #[arg(long)]
        password: bool,
    },
    /// Write what this store holds, so that an export can leave it out
    #[command(after_help = RECEIPT_EXAMPLES)]
    Receipt(BundleArgs),
    /// Write what a mirror selected as a bundle
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(export::ExportArgs),
    /// Say what is in a bundle, who signed it, and what is wrong with it
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect {
        /// The bundle's folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        args: BundleArgs,
    },
    /// Check a bundle and take it in
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(import::ImportArgs),
}

pub(super) fn run(command: BundleCommand) -> ExitCode {
    let (done, as_json) = match command {
        BundleCommand::Key { out, password } => (key::run(&out, password), false),
        BundleCommand::Receipt(args) => (receipt::run(&args), args.json),
        BundleCommand::Export(args) => {
            let as_json = args.args.json;
            (export::run(args), as_json)
        }
        BundleCommand::Inspect { folder, args } => (inspect::run(&folder, &args), args.json),
        BundleCommand::Import(args) => (import::run(&args), args.args.json),
    };
    done.unwrap_or_else(|failure| failure.told(as_json))
}

impl BundleArgs {
    fn load(&self) -> Result<Config, CommandFailure> {
        let beside = Overrides { beside: true, ..Overrides::default() };
        let loaded = super::load(self.config.as_deref(), beside);
        loaded.map(|loaded| loaded.config).map_err(|errors| super::refuse(&errors))
    }
}

/// The last imports that a configuration's storage remembers, the newest first; and whether the configuration has mirrors.
pub(super) fn imports(config: Option<&Path>) -> Result<(Vec<ImportLine>, bool), CommandFailure> {
    let config = BundleArgs { config: config.map(Path::to_owned), json: false }.load()?;
    let has_mirrors = !config.mirrors.is_empty();
    let is_kept = match &config.storage.url {
        Location::File(folder) => folder.is_dir(),
        Location::Memory => false,
        Location::S3 { .. } => true,
    };
    if !is_kept {
        return Ok((Vec::new(), has_mirrors));
    }
    let store = super::storage::open(&config.storage)?;
    let journal = super::wait(BundleJournal::read(&*store))?.map_err(|error| super::fail(&error))?;
    Ok((journal.imports().cloned().collect(), has_mirrors))
}

/// The first line of standard input; a terminal does not show it.
fn password() -> Result<String, CommandFailure> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").map_err(|error| super::fail(&error));
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| super::fail(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The same for a new key: what nobody sees is typed twice.
fn new_password() -> Result<String, CommandFailure> {
    let typed = password()?;
    if io::stdin().is_terminal() {
        let again = rpassword::prompt_password("Password again: ").map_err(|error| super::fail(&error))?;
        if again != typed {
            return Err(super::usage("the two passwords differ; no key was made"));
        }
    }
    Ok(typed)
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

/// When a bundle is made: `SOURCE_DATE_EPOCH` where that is set, so that the same state gives the same bytes.
fn created() -> Result<UtcSecond, CommandFailure> {
    let Some(told) = env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(UtcSecond::saturating(now().0 / 1000));
    };
    let second = told.to_str().and_then(|text| text.parse().ok()).and_then(|at| UtcSecond::new(at).ok());
    second.ok_or_else(|| super::usage("SOURCE_DATE_EPOCH: expected seconds since 1970"))
}

/// How long a bundle may be imported.
fn lifetime(text: &str) -> Result<Duration, &'static str> {
    let period = humantime::parse_duration(text).ok().filter(|period| period.as_secs() > 0);
    period.ok_or("expected a duration of a second or more such as \"30d\"")
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}
