//! The configuration a test runs the proxy with: quiet defaults, then the keys the test is about.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::{Proxy, Upstream};

/// A configuration in the making.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) table: Table,
    pub(crate) environment: Vec<(String, String)>,
}

impl Setup {
    /// One upstream for everything, no retries, no limits that a busy test would meet.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        let table = toml::toml! {
            [server]
            threads = 2
            shutdown_grace = "20s"
            [rate_limits]
            anonymous = "1000000/min"
            authenticated = "1000000/min"
            ci = "1000000/min"
            [log]
            format = "json"
        };
        Self { table, environment: Vec::new() }.upstream("public", &upstream.url()).set("upstream.retries", 0)
    }

    /// Adds an upstream after those there are; `upstream.key` in `set` means the last one.
    pub(crate) fn upstream(mut self, name: &str, url: &str) -> Self {
        let upstreams = self.table.entry("upstreams").or_insert_with(|| Value::Array(Vec::new()));
        let entry = Table::from_iter([("name".to_owned(), name.into()), ("url".to_owned(), url.into())]);
        upstreams.as_array_mut().unwrap().push(entry.into());
        self
    }

    /// Relays what comes below `path` to the second API at `url`.
    pub(crate) fn relay(mut self, path: &str, url: &str) -> Self {
        let relays = self.table.entry("relays").or_insert_with(|| Value::Array(Vec::new()));
        let entry = [("kind", "nullspace"), ("path", path), ("url", url)];
        let entry = Table::from_iter(entry.map(|(key, value)| (key.to_owned(), value.into())));
        relays.as_array_mut().unwrap().push(entry.into());
        self
    }

    /// Sets `section.key`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let (section, key) = key.split_once('.').unwrap();
        let section = match section {
            "upstream" => self.table["upstreams"].as_array_mut().unwrap().last_mut().unwrap(),
            section => self.table.entry(section).or_insert_with(|| Table::new().into()),
        };
        section.as_table_mut().unwrap().insert(key.to_owned(), value.into());
        self
    }

    /// Sets `section.key` where nothing else was said.
    pub(crate) fn set_unless(self, key: &str, value: impl Into<Value>) -> Self {
        let (section, name) = key.split_once('.').unwrap();
        let said = self.table.get(section).and_then(|section| section.get(name)).is_some();
        if said { self } else { self.set(key, value) }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Documents go stale after a second and must then be asked for.
    pub(crate) fn short_lived(self) -> Self {
        ["index", "release", "trust", "advisories", "search", "capabilities"]
            .iter()
            .fold(self, |setup, kind| setup.set(&format!("cache.{kind}_ttl"), "1s"))
            .set("cache.negative_ttl", "1s")
            .set("cache.stale_while_revalidate", "0s")
    }

    /// Writes the file, in one step for whoever reads it meanwhile.
    pub(crate) fn write(&self, file: &Path) {
        let draft = file.with_extension("draft");
        fs::write(&draft, toml::to_string(&self.table).unwrap()).unwrap();
        fs::rename(draft, file).unwrap();
    }

    pub(crate) fn start(self) -> Proxy {
        Proxy::start(self)
    }
}
