//! `config init`: a short configuration file for this machine, from flags or from answers on the terminal.
//!
//! Owns the questions, and that no file is ever overwritten. Must not know how a value is read: the file is checked as
//! `config check` would, before it gets its name.

use std::fs::Permissions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rustix::fs::statvfs;
use toml::Value;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ConfigError, ConfigErrors, Location, Overrides, Storage};

pub(super) const EXAMPLES: &str = "\
Examples:
  scriptorium config init
  scriptorium config init --config /etc/scriptorium.toml --upstream https://registry.example.com
  scriptorium config init --upstream https://registry.example.com --public-url https://volumes.corp.example \\
      --data ./cache --listen 0.0.0.0:8080

What no flag says is asked for on a terminal, else has its default; only --upstream has none. A file that
exists is never overwritten. Add further keys from `scriptorium config sample`.";

const HEAD: &str = "\
# Scriptorium's configuration, written by `scriptorium config init`.
#
# `scriptorium config sample` prints every key that can be added. Check changes with `scriptorium config check`.
";

const GIB: u64 = 1 << 30;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "scriptorium.toml")]
    config: PathBuf,
    /// The registry to stand in front of
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients reach this proxy; without it, links follow the Host of each request
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The folder for documents and archives [default: /var/lib/scriptorium]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the admin port listens [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
}

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error("--upstream: expected the URL of a registry, such as https://registry.example.com")]
    NoUpstream,
    #[error("{} exists and is not overwritten; name another file with --config, or move it away", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be written: {source}; name a file in a folder that exists and takes this user's files", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the terminal, or the working folder: {0}")]
    Terminal(#[from] io::Error),
    #[error("{}", lines(.0))]
    Refused(ConfigErrors),
}

/// The errors without the place in a file that nobody sees.
fn lines(errors: &ConfigErrors) -> String {
    errors.0.iter().map(ConfigError::sentence).collect::<Vec<_>>().join("\n")
}

pub(super) fn run(args: &InitArgs) -> ExitCode {
    match write(args) {
        Ok(()) => {
            let file = args.config.display();
            super::complain(&format!(
                "{file} is written; next: scriptorium doctor --config {file}, then scriptorium serve --config {file}"
            ));
            ExitCode::SUCCESS
        }
        Err(failure @ (NotWritten::Io { .. } | NotWritten::Terminal(_))) => super::fail(&failure).told(false),
        Err(refused) => super::usage(&refused.to_string()).told(false),
    }
}

fn write(args: &InitArgs) -> Result<(), NotWritten> {
    let path = &args.config;
    let failed = |source| NotWritten::Io { path: path.clone(), source };
    if path.symlink_metadata().is_ok() {
        return Err(NotWritten::Exists(path.clone()));
    }
    let text = config::file_of(HEAD, &values(args)?);
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // It holds no secret, and the user of the proxy may be another one.
    let mut builder = tempfile::Builder::new();
    let mut file = builder.permissions(Permissions::from_mode(0o644)).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let now = SystemClock::default().now();
    Config::load(Some(file.path()), std::iter::empty(), Overrides::default(), now)
        .map_err(NotWritten::Refused)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(NotWritten::Exists(path.clone()))
        }
        Err(error) => Err(failed(error.error)),
    }
}

/// Section, key, and value in TOML.
type GivenKey = (&'static str, &'static str, String);

/// Everything that the file says.
fn values(args: &InitArgs) -> Result<Vec<GivenKey>, NotWritten> {
    let Location::File(default) = Storage::default().url else { return Err(NotWritten::NoUpstream) };
    let Some(upstream) = given(args.upstream.as_deref(), "URL of the registry", "")? else {
        return Err(NotWritten::NoUpstream);
    };
    let public_url =
        given(args.public_url.as_deref(), "URL at which clients reach this proxy (empty: any)", "")?;
    let data = args.data.as_ref().map(|data| data.display().to_string());
    let data = given(data.as_deref(), "Folder for documents and archives", &default.display().to_string())?;
    let data = std::path::absolute(data.map_or(default, PathBuf::from))?;
    let text = |text: &str| Value::from(text).to_string();
    let mut values = vec![
        ("upstreams", "name", text("registry")),
        ("upstreams", "url", text(&upstream)),
        ("storage", "url", text(&Location::File(data.clone()).to_string())),
        ("storage", "max_size", text(&ceiling(&data))),
    ];
    let server = Config::default().server;
    for (key, flag, default) in
        [("listen", &args.listen, server.listen), ("admin_listen", &args.admin_listen, server.admin_listen)]
    {
        values.push(("server", key, text(&flag.clone().unwrap_or_else(|| default.to_string()))));
    }
    values.extend(public_url.map(|url| ("server", "public_url", text(&url))));
    Ok(values)
}

/// What a flag says, else the answer on a terminal, else the default; `None` where that is empty.
fn given(flag: Option<&str>, question: &str, default: &str) -> io::Result<Option<String>> {
    let mut answer = flag.unwrap_or(default).to_owned();
    if flag.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal() {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        write!(io::stderr().lock(), "{question}{shown}: ")?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        if !line.trim().is_empty() {
            line.trim().clone_into(&mut answer);
        }
    }
    Ok(Some(answer).filter(|answer| !answer.is_empty()))
}

/// The usual bound, or four fifths of what is free on the disk of `data`.
fn ceiling(data: &Path) -> String {
    let disk = data.ancestors().find_map(|folder| statvfs(folder).ok());
    let free = disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match (free / 5).saturating_mul(4).min(Storage::default().max_size) {
        bytes if bytes >= GIB => format!("{}GiB", bytes / GIB),
        bytes => format!("{}MiB", (bytes >> 20).max(1)),
    }
}
