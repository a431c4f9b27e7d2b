//! What `packaging/` ships: configurations that the program takes, and a board and alerts about metrics that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::bucket::Bucket;
use crate::support::crossing::{Luggage, export, mirror, receiver, seen};
use crate::support::proxy::scriptorium;
use crate::support::redis::Redis;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(packaging(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The selectors of a text, such as `scriptorium_store_state{state!="ok"}`: each metric with the labels that it must have.
fn selectors(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for prefix in ["scriptorium_", "process_"] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(is_word) {
                continue;
            }
            let rest = &text[at..];
            let (name, rest) = rest.split_at(rest.find(|letter| !is_word(letter)).unwrap_or(rest.len()));
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let labels =
                inside.split(',').map(|label| label.split(['=', '!']).next().unwrap().trim().to_owned());
            // Prometheus adds these two.
            let labels = labels.filter(|label| !matches!(&**label, "" | "job" | "instance"));
            found.entry(name.to_owned()).or_default().extend(labels);
        }
    }
    found
}

/// Every metric that is asked about, on a proxy to which everything happened that it counts.
fn whole_metrics() -> String {
    let upstream = Upstream::start();
    let (lamp, desk) = (Release::new("lamp", "1.0.0"), Release::new("desk", "1.0.0"));
    upstream.publish(&lamp);
    upstream.publish(&desk);
    let other = lamp.clone().adding(Entry::file("extra.txt", "not in the tree")).archive();
    upstream.reply(&lamp.source(), Reply::archive(other));
    let setup = Setup::before(&upstream).mirror("ci", "roots = [\"desk\"]");
    let proxy = setup.set("rate_limits.anonymous", "5/h").start();
    proxy.client().get(&desk.download()).ok();
    assert_ne!(proxy.client().get(&lamp.download()).status, 200);
    while proxy.client().get(&desk.index()).status != 429 {}
    proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]);
    let metrics = eventually("a complete sync", || {
        let metrics = proxy.admin().get("/metrics").ok().text();
        metrics.contains("scriptorium_mirror_last_success_timestamp_seconds{").then_some(metrics)
    });
    let others = [cluster_metrics, certificate_metrics, import_metrics, policy_metrics];
    others.into_iter().fold(metrics, |metrics, more| metrics + &more())
}

/// Those of a proxy that speaks TLS; nothing where no openssl is here.
fn certificate_metrics() -> String {
    let Some(authority) = Authority::new() else { return String::new() };
    let setup = Setup::before(&Upstream::start()).set("server.tls", authority.issue("own", "DNS:x").keys());
    metrics_with(&setup.start(), "_certificate_")
}

/// Those of a proxy that took a bundle in.
fn import_metrics() -> String {
    let (luggage, upstream, lamp) = (Luggage::new(), Upstream::start(), Release::new("lamp", "1.0.0"));
    let key = luggage.key("corp");
    export(&seen(&upstream, &[&lamp]), &luggage, "bundle", &[]);
    let far = receiver(&upstream, &key).start();
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    eventually("what was imported to be known", || {
        Some(metrics_with(&far, "_import_")).filter(|metrics| metrics.contains("_import_confirmed_"))
    })
}

/// Those of a proxy whose rules look at advisories, and refused something.
fn policy_metrics() -> String {
    let (upstream, lamp) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&lamp);
    upstream.reply("/api/v1/advisories", Reply::json(&json!({"items": [], "total": 0})));
    let rules = r#"
        [[policy.rules]]
        id = "severe"
        action = "deny"
        match = { volumes = ["*"], advisory = "high" }
        message = "take a fixed one"
        [[policy.rules]]
        id = "no-lamps"
        action = "deny"
        match = { volumes = ["lamp"] }
        message = "none here"
    "#;
    let proxy = Setup::before(&upstream).policy("enforce", rules).start();
    assert_eq!(proxy.client().get(&lamp.exact()).status, 403);
    // Every proxy has the third of this section's metrics.
    eventually("the list of advisories", || {
        let listed = metrics_with(&proxy, "_policy_advisories_unread");
        listed.contains('{').then(|| listed + &metrics_with(&proxy, "_policy_decisions_"))
    })
}

fn metrics_with(proxy: &Proxy, word: &str) -> String {
    let metrics = proxy.admin().get("/metrics").ok().text();
    metrics.lines().filter(|line| line.contains(word)).map(|line| format!("{line}\n")).collect()
}

/// Those of a proxy that is one of several; nothing where no servers for that are here.
fn cluster_metrics() -> String {
    let (Some(bucket), Some(redis)) = (Bucket::start(), Redis::start()) else { return String::new() };
    let upstream = Upstream::start();
    let proxy = redis.joined_by(bucket.below(Setup::before(&upstream)), 1).start();
    metrics_with(&proxy, "_cluster_")
}

#[test]
fn board_and_alerts_ask_about_metrics_that_a_proxy_has() {
    let metrics = whole_metrics();
    for file in ["grafana/scriptorium.json", "prometheus/scriptorium.rules.yml"] {
        let asked = selectors(&read(file).replace("\\\"", "\""));
        assert!(asked.len() > 8, "{file}: {asked:?}");
        for (name, labels) in asked {
            let samples: Vec<_> = metrics
                .lines()
                .filter(|line| line.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(['{', ' '])))
                .collect();
            assert!(!samples.is_empty(), "{file}: no proxy has {name}");
            for label in labels {
                let has = samples.iter().any(|sample| sample.contains(&format!("{label}=\"")));
                assert!(has, "{file}: {name} has no label {label}: {samples:?}");
            }
        }
    }
    promtool(&["check", "metrics"], &metrics);
    promtool(&["check", "rules", packaging("prometheus/scriptorium.rules.yml").to_str().unwrap()], "");
    promtool(&["test", "rules", packaging("prometheus/scriptorium.test.yml").to_str().unwrap()], "");
}

/// Runs promtool, if it is here.
fn promtool(arguments: &[&str], input: &str) {
    let installed = std::env::var("SCRIPTORIUM_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let spawned = Command::new(installed)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        let required = std::env::var_os("SCRIPTORIUM_REQUIRE_PROMTOOL").is_some();
        assert!(!required, "promtool is not here");
        return eprintln!("skipped: no promtool here");
    };
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {output:?}");
}

fn check(text: &str, environment: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    fs::write(&file, text).unwrap();
    let mut command = scriptorium();
    command.args(["config", "check", "--config"]).arg(file).envs(environment.iter().copied());
    command.output().unwrap()
}

/// What is indented by `spaces` below the first line that ends in `head`.
fn block(text: &str, head: &str, spaces: usize) -> String {
    let (_, rest) = text.split_once(&format!("{head}\n")).unwrap_or_else(|| panic!("no {head}"));
    let indent = " ".repeat(spaces);
    let inside = rest.lines().take_while(|line| line.is_empty() || line.starts_with(&indent));
    inside.map(|line| format!("{}\n", line.get(spaces..).unwrap_or_default())).collect()
}

#[test]
fn every_configuration_that_is_shipped_is_valid() {
    let registry = [
        ("SCRIPTORIUM_UPSTREAMS__0__NAME", "public"),
        ("SCRIPTORIUM_UPSTREAMS__0__URL", "https://r.example.com"),
    ];
    let manifest = read("kubernetes/scriptorium.yaml");
    for (name, text, environment) in [
        ("debian", read("debian/scriptorium.toml"), &[][..]),
        ("container", read("container.toml"), &registry[..]),
        ("kubernetes", block(&manifest, "scriptorium.toml: |", 4), &[][..]),
    ] {
        let output = check(&text, environment);
        assert!(output.status.success(), "{name}: {output:?}");
    }
}
