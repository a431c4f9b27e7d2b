//! Mirrors: their configuration, their commands, and a search that lists what is published.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use toml::{Table, Value as Toml};

use super::proxy::scriptorium;
use super::{Release, Reply, Setup, Upstream, free_ports};

impl Setup {
    /// Adds a mirror with these keys, in TOML.
    pub(crate) fn mirror(mut self, name: &str, keys: &str) -> Self {
        let mirrors = self.table.entry("mirrors").or_insert_with(|| Toml::Array(Vec::new()));
        let mut mirror: Table = keys.parse().unwrap();
        mirror.insert("name".to_owned(), name.into());
        mirrors.as_array_mut().unwrap().push(mirror.into());
        self
    }
}

/// A store and a configuration without a proxy.
pub(crate) struct Desk {
    directory: TempDir,
}

impl Desk {
    pub(crate) fn new(setup: &Setup) -> Self {
        let desk = Self { directory: TempDir::new().unwrap() };
        desk.configure(setup);
        desk
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, setup: &Setup) {
        let [public, admin] = free_ports();
        let data = self.data().display().to_string();
        setup
            .clone()
            .set("server.listen", format!("127.0.0.1:{public}"))
            .set("server.admin_listen", format!("127.0.0.1:{admin}"))
            .set_unless("storage.url", format!("file://{data}"))
            .write(&self.config());
    }

    pub(crate) fn config(&self) -> std::path::PathBuf {
        self.directory.path().join("scriptorium.toml")
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Runs a mirror command, and answers with its exit code and the first mirror of its JSON.
    #[track_caller]
    pub(crate) fn mirror(&self, arguments: &[&str]) -> (i32, Value) {
        mirror(&self.config(), arguments)
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.config(), arguments)
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = scriptorium();
    command.arg("mirror").args(arguments).arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// Runs a mirror command with a configuration.
#[track_caller]
pub(crate) fn mirror(config: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = command(config, arguments).arg("--json").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let printed: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}\n{err}"));
    (output.status.code().unwrap(), printed["mirrors"][0].clone())
}

/// Whom the missing things concern, in order.
pub(crate) fn missing(report: &Value) -> Vec<String> {
    let lacks = report["missing"].as_array().or_else(|| report["problems"].as_array()).unwrap();
    let whom = |lack: &Value| {
        assert!(lack["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{lack}");
        lack["root"].as_str().or_else(|| lack["release"].as_str()).unwrap().to_owned()
    };
    let mut whom: Vec<String> = lacks.iter().map(whom).collect();
    whom.sort();
    whom
}

/// The reason that is given for `whom`.
#[track_caller]
pub(crate) fn reason(report: &Value, whom: &str) -> String {
    let lacks = report["missing"].as_array().or_else(|| report["problems"].as_array()).unwrap();
    let found = lacks.iter().find(|lack| lack["root"] == whom || lack["release"] == whom);
    found.unwrap_or_else(|| panic!("nothing about {whom} in {report}"))["reason"].as_str().unwrap().to_owned()
}

/// A release that depends on others.
pub(crate) fn depending(name: &str, version: &str, dependencies: &[(&str, &str)]) -> Release {
    let mut release = Release::new(name, version);
    let dependencies: serde_json::Map<String, Value> =
        dependencies.iter().map(|(name, range)| ((*name).to_owned(), json!(range))).collect();
    release.row_members.insert("dependencies".to_owned(), dependencies.into());
    release
}

/// Lets search list these names, page by page.
pub(crate) fn list(upstream: &Upstream, names: &[&str]) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    upstream.compute("GET", "/api/v1/search", move |request| {
        let number = |name: &str, otherwise: usize| {
            let found =
                request.query().split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map_or(otherwise, |text| text.parse().unwrap())
        };
        let (limit, offset) = (number("limit", 20), number("offset", 0));
        let page: Vec<Value> = names
            .iter()
            .skip(offset)
            .take(limit)
            .map(|name| json!({ "name": name, "latestVersion": "1.0.0" }))
            .collect();
        Reply::json(&json!({ "items": page, "total": names.len(), "limit": limit, "offset": offset }))
    });
}

/// The requests since the last look, by kind: conditional ones, unconditional ones, and those for archives.
pub(crate) fn asked(upstream: &Upstream) -> (usize, usize, usize) {
    let seen = upstream.take_seen();
    let archives = seen.iter().filter(|request| request.path().starts_with("/cdn/")).count();
    let conditional = seen.iter().filter(|request| request.header("if-none-match").is_some()).count();
    (conditional, seen.len() - conditional - archives, archives)
}
