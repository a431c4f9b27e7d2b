//! The command line: its commands, each of which has a file of its own.
//!
//! Owns arguments, help and exit codes (0 done, 1 failed at run time, 2 bad usage or configuration); groups of
//! commands have their own help. Must not know how a command works.

mod admin_port;
mod audit;
mod bundles;
mod completions;
mod config_check;
mod config_init;
mod demo;
mod doctor;
mod explain;
mod failure;
mod health;
mod log;
mod manual;
mod mirror;
mod pins;
mod policy;
mod progress;
mod recorded;
mod running;
mod serve;
mod storage;
mod store;
mod token_hash;

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::failure::{CommandFailure, fail, failed, refuse, usage, usages};
pub(crate) use crate::causes::with_causes;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ConfigErrors, Loaded, Overrides};

const EXAMPLES: &str = "\
Examples:
  scriptorium demo
  scriptorium serve --upstream https://registry.example.com --data ./cache
  scriptorium serve --config /etc/scriptorium.toml
  scriptorium config sample > /etc/scriptorium.toml
  scriptorium config check --config /etc/scriptorium.toml
  scriptorium pins export --config /etc/scriptorium.toml > pins.jsonl
  scriptorium audit --config /etc/scriptorium.toml
  scriptorium store stats --config /etc/scriptorium.toml
  scriptorium mirror sync --config /etc/scriptorium.toml
  scriptorium policy test @acme/x@1.2.3 --config /etc/scriptorium.toml
  printf %s \"$TOKEN\" | scriptorium token hash

Exit codes: 0 done, 1 failed at run time, 2 bad usage or configuration.";

/// A caching, verifying pull-through proxy for Agent Volumes registries.
///
/// Stands in front of one or more registries, answers from its cache, and sends no byte of an archive before all of it
/// is verified.
#[derive(Debug, Parser)]
#[command(name = "scriptorium", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a sample registry with the proxy in front of it, and print curl lines to try
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::DemoArgs),
    /// Run the proxy
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::ServeArgs),
    /// Check from this machine whether a configuration will work, and say what to do where it will not
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Tell by the exit code whether the running proxy takes requests
    #[command(after_help = health::EXAMPLES)]
    Health(health::HealthArgs),
    /// Work with a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show everything known about a release, and what a request for it would get
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Work with pins: the integrity first seen of each release
    #[command(subcommand)]
    Pins(pins::PinsCommand),
    /// Check everything that is stored
    #[command(after_help = audit::EXAMPLES)]
    Audit(audit::AuditArgs),
    /// Count, verify or remove what is stored
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Bring releases in ahead of requests, prove that they are here, and carry them across an air gap
    #[command(subcommand)]
    Mirror(mirror::MirrorCommand),
    /// Try out the rules about what may come in, on what is stored
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Work with clients' tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Work with the audit record
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Print what a shell needs to complete these commands
    #[command(after_help = completions::EXAMPLES)]
    Completions {
        /// The shell
        shell: completions::Shell,
    },
    /// Print the manual page of the program, or of a command
    #[command(after_help = manual::EXAMPLES)]
    Man {
        /// The command, such as: mirror sync
        command: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration, or everything that is wrong with it
    #[command(after_help = config_check::EXAMPLES)]
    Check {
        /// The configuration file; without it, the environment and the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Write a short configuration file for this machine, with a comment at every key
    #[command(after_help = config_init::EXAMPLES)]
    Init(config_init::InitArgs),
    /// Print a configuration file with every key, its default and what it is for
    Sample,
    /// Print the reference page of every key, in Markdown
    Reference,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Read a token on standard input and print its sha256 line for the configuration
    #[command(after_help = token_hash::EXAMPLES)]
    Hash,
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    outlive_file_limit();
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(refusal) => {
            // Help and version come this way too. If they cannot be shown, nobody reads standard error either.
            let _ = refusal.print();
            if refusal.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                answer(&failure::json(refusal.render().to_string().trim_end()));
            }
            ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2))
        }
    }
}

/// Lets a write beyond the limit on the size of files (`ulimit -f`) fail. The signal that comes with it would end the process.
fn outlive_file_limit() {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
    let _entered = runtime.enter();
    // The handler stays when the runtime is gone.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Config(ConfigCommand::Check { config }) => config_check::run(config.as_deref()),
        Command::Config(ConfigCommand::Init(args)) => config_init::run(&args),
        Command::Config(ConfigCommand::Sample) => answer(&config::sample()),
        Command::Config(ConfigCommand::Reference) => answer(&config::reference()),
        Command::Explain(args) => explain::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Pins(command) => pins::run(command),
        Command::Store(command) => store::run(&command),
        Command::Mirror(command) => mirror::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Token(TokenCommand::Hash) => token_hash::run(),
        Command::Log(command) => log::run(&command),
        Command::Completions { shell } => completions::run(shell, Cli::command()),
        Command::Man { command } => manual::run(&command, Cli::command()),
    }
}

/// Loads a configuration with this process's environment.
fn load(file: Option<&Path>, overrides: Overrides) -> Result<Loaded, ConfigErrors> {
    let now = SystemClock::default().now();
    let mut loaded = Config::load(file, environment(), overrides, now)?;
    loaded.notes.extend(loaded.config.expired_tokens(now.0));
    Ok(loaded)
}

/// This process's environment. What is not Unicode has `char::REPLACEMENT_CHARACTER` in its place, which no setting takes.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(&name), text(&value)))
}

/// Writes a line for people to standard error. If that is closed, nobody reads it.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Runs a command's future to its end.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> Result<T, CommandFailure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| fail(&error))
}

/// The same with at most so many threads for work that blocks: the C library keeps some memory for each of them.
pub(crate) fn wait_on_threads<T>(threads: usize, work: impl Future<Output = T>) -> Result<T, CommandFailure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(threads).build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| fail(&error))
}

/// Writes a command's answer to standard output. A reader that closes the pipe early is no failure.
pub(crate) fn answer(text: &str) -> ExitCode {
    answer_with(|out| out.write_all(text.as_bytes()))
}

/// [`answer`] for a long text.
pub(crate) fn answer_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::audit::AuditArgs;
    use super::mirror::MirrorCommand;
    use super::pins::{CheckArgs, PinsCommand};
    use super::storage::StorageArgs;
    use super::store::{GcArgs, StatsArgs, StoreCommand};
    use super::*;

    #[test]
    fn arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_understood() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        assert!(matches!(parse("scriptorium demo"), Ok(Command::Demo(_))));
        assert!(matches!(parse("scriptorium token hash"), Ok(Command::Token(TokenCommand::Hash))));
        let check = parse("scriptorium config check --config a.toml").unwrap();
        assert!(
            matches!(check, Command::Config(ConfigCommand::Check { config: Some(file) }) if file == Path::new("a.toml"))
        );
        let audit = parse("scriptorium audit --data d --repair --json").unwrap();
        assert!(matches!(audit, Command::Audit(AuditArgs { repair: true, json: true, .. })));
        let export = parse("scriptorium pins export --data d").unwrap();
        assert!(matches!(export, Command::Pins(PinsCommand::Export(StorageArgs { data: Some(_), .. }))));
        let import = parse("scriptorium pins import --config a.toml -").unwrap();
        assert!(matches!(import, Command::Pins(PinsCommand::Import { file: Some(_), .. })));
        let check = parse("scriptorium pins check --config a.toml --upstream u --json").unwrap();
        assert!(matches!(check, Command::Pins(PinsCommand::Check(CheckArgs { json: true, .. }))));
        let gc = parse("scriptorium store gc --data d --to 10GiB --quarantine --apply --json").unwrap();
        let Command::Store(StoreCommand::Gc(GcArgs { to: asked, quarantine, apply, json, .. })) = gc else {
            panic!("gc was not understood")
        };
        assert_eq!((asked, quarantine, apply, json), (Some(10 << 30), true, true, true));
        let stats = parse("scriptorium store stats --config a.toml --largest 3").unwrap();
        assert!(matches!(stats, Command::Store(StoreCommand::Stats(StatsArgs { largest: 3, .. }))));
        let verify = parse("scriptorium store verify --data d --repair").unwrap();
        assert!(matches!(verify, Command::Store(StoreCommand::Verify(AuditArgs { repair: true, .. }))));
        let sync = parse("scriptorium mirror sync ci more --config a.toml --json").unwrap();
        assert!(
            matches!(sync, Command::Mirror(MirrorCommand::Sync { names, shared }) if names == ["ci", "more"] && shared.json)
        );
        let plan = parse("scriptorium mirror plan ci --config a.toml").unwrap();
        assert!(matches!(plan, Command::Mirror(MirrorCommand::Plan { name, .. }) if name == "ci"));
        let Ok(Command::Serve(args)) =
            parse("scriptorium serve --upstream http://u --listen [::1]:1 --data d --upgrade")
        else {
            panic!("serve was not understood")
        };
        assert_eq!((args.upstream.as_deref(), args.listen.as_deref()), (Some("http://u"), Some("[::1]:1")));
        assert_eq!((args.data.as_deref(), args.upgrade), (Some(Path::new("d")), true));
    }

    #[test]
    fn usage_errors_are_2_and_help_is_0() {
        for (line, code) in [
            ("scriptorium", 2),
            ("scriptorium what", 2),
            ("scriptorium serve --nope", 2),
            ("scriptorium pins export --config a.toml --data d", 2),
            ("scriptorium store gc --to much", 2),
            ("scriptorium store gc --to 0", 2),
            ("scriptorium mirror plan", 2),
            ("scriptorium log verify", 2),
            ("scriptorium policy baseline", 2),
            ("scriptorium demo --listen 127.0.0.1:0", 2),
            ("scriptorium demo --admin-listen 0.0.0.0:9090", 2),
            ("scriptorium health --admin https://127.0.0.1:9090", 2),
            ("scriptorium completions tcsh", 2),
            ("scriptorium --help", 0),
            ("scriptorium --version", 0),
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), code, "{line}");
        }
    }

    #[test]
    fn every_command_that_does_something_shows_examples() {
        for path in [
            vec![],
            vec!["demo"],
            vec!["serve"],
            vec!["doctor"],
            vec!["health"],
            vec!["completions"],
            vec!["man"],
            vec!["audit"],
            vec!["config", "check"],
            vec!["config", "init"],
            vec!["explain"],
            vec!["pins", "export"],
            vec!["pins", "import"],
            vec!["pins", "check"],
            vec!["mirror", "key"],
            vec!["mirror", "receipt"],
            vec!["mirror", "export"],
            vec!["mirror", "inspect"],
            vec!["mirror", "import"],
            vec!["store", "stats"],
            vec!["store", "gc"],
            vec!["store", "verify"],
            vec!["mirror", "plan"],
            vec!["mirror", "sync"],
            vec!["mirror", "status"],
            vec!["mirror", "verify"],
            vec!["policy", "test"],
            vec!["policy", "diff"],
            vec!["policy", "baseline"],
            vec!["token", "hash"],
            vec!["log", "verify"],
        ] {
            let mut command = Cli::command();
            let help = path.iter().fold(&mut command, |at, name| at.find_subcommand_mut(name).unwrap());
            assert!(help.render_long_help().to_string().contains("Examples:"), "{path:?}");
        }
    }
}
