//! Two sites with an air gap between them: a proxy that has seen a registry, and one that never reaches it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::proxy::scriptorium;
use super::{Proxy, Release, Setup, Upstream, hex_digest};

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// `scriptorium mirror …` with the configuration of `proxy`.
pub(crate) fn command(proxy: &Proxy, arguments: &[&str]) -> Command {
    let mut command = scriptorium();
    command.arg("mirror").args(arguments).arg("--config").arg(proxy.config()).stdin(Stdio::null());
    command
}

pub(crate) fn mirror(proxy: &Proxy, arguments: &[&str]) -> Said {
    let output = command(proxy, arguments).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    Said { code: output.status.code(), out, err }
}

/// A folder for keys, receipts and bundles.
pub(crate) struct Luggage(TempDir);

impl Luggage {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes a pair of keys, and gives the public one.
    pub(crate) fn key(&self, name: &str) -> String {
        let made = scriptorium().args(["mirror", "key", "--out", &self.at(name)]).output().unwrap();
        assert!(made.status.success());
        let text = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        text.lines().nth(1).unwrap().to_owned()
    }
}

/// A proxy that has seen `releases` of `upstream`, which its mirror `ci` selected.
pub(crate) fn seen(upstream: &Upstream, releases: &[&Release]) -> Proxy {
    let proxy = Setup::before(upstream).start();
    see(&proxy, upstream, releases);
    proxy
}

/// From now on the mirror `ci` of `proxy` has `releases`, which `upstream` publishes.
pub(crate) fn see(proxy: &Proxy, upstream: &Upstream, releases: &[&Release]) {
    releases.iter().for_each(|release| upstream.publish(release));
    for release in releases {
        for target in [release.index(), release.exact(), release.download()] {
            proxy.client().get(&target).ok();
        }
    }
    selected(proxy, upstream, releases);
}

/// Makes a bundle of the mirror `ci`, signed with `corp.key`.
#[track_caller]
pub(crate) fn export(proxy: &Proxy, luggage: &Luggage, to: &str, more: &[&str]) {
    let (to, key) = (luggage.at(to), luggage.at("corp.key"));
    let mut arguments = vec!["export", "ci", "--to", &to, "--key", &key];
    arguments.extend(more);
    mirror(proxy, &arguments).exits(0);
}

/// Notes that the mirror `ci` of `proxy` selected `releases`, as a sync would.
pub(crate) fn selected(proxy: &Proxy, upstream: &Upstream, releases: &[&Release]) {
    let release = |release: &&Release| {
        json!({
            "volume": release.name, "version": release.version, "integrity": release.integrity(),
            "state": "available", "wants_files": true, "why": "a root", "registry": 0, "archive": null,
            "trust": true, "artifacts": [],
        })
    };
    let record = json!({
        "name": "ci", "last_success": 1, "last_sync": 1,
        "registries": [{ "name": "public", "origin": upstream.url() }],
        "selected": releases.iter().map(release).collect::<Vec<_>>(),
        "kept": [], "missing": [{ "root": "nobody@^1", "reason": "no release matches" }], "untold": 0,
    });
    let folder = proxy.data().join("mirrors");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(hex_digest(b"ci")), record.to_string()).unwrap();
}

/// The configuration of a site that trusts `key` and reaches nobody.
pub(crate) fn receiver(upstream: &Upstream, key: &str) -> Setup {
    let keys = toml::Value::Array(vec![key.into()]);
    Setup::before(upstream).set("cache.offline", true).set("bundles.trusted_keys", keys)
}

/// Every file below `folder`, with its bytes.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Every row of the index has its release and its archive behind it.
pub(crate) fn rows_hold(far: &Proxy, releases: &[Release]) -> usize {
    let index = far.client().get(&releases[0].index());
    if index.status != 200 {
        return 0;
    }
    for release in releases {
        far.client().get(&release.exact()).ok();
        assert!(far.client().get(&release.download()).ok().body == release.archive(), "{}", release.version);
    }
    releases.len()
}
