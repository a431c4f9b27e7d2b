//! Since when a release is known here: from the first index that showed it, through everything that may be lost meanwhile.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::crossing::{Luggage, contents, export, mirror, receiver, selected};
use crate::support::proxy::scriptorium;
use crate::support::tokens::now;
use crate::support::{Proxy, Release, Setup, Upstream, eventually};

const YOUNG: &str =
    "[[policy.rules]]\nid = \"young\"\naction = \"hold\"\nmatch = { younger_than = \"7d\" }\n";

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

fn pins(data: &Path, command: &str, input: &str) -> String {
    let mut running = scriptorium();
    running.args(["pins", command, "--data"]).arg(data).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = running.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The milliseconds since which the only pin counts.
fn since(proxy: &Proxy) -> u64 {
    let pin: Value = serde_json::from_str(&pins(&proxy.data(), "export", "")).unwrap();
    pin["since"].as_u64().unwrap()
}

/// When a proxy that has ended first saw the release, as it says.
fn first_seen(proxy: &Proxy, release: &Release) -> Option<String> {
    let named = format!("{}@{}", release.name, release.version);
    let mut command = scriptorium();
    command.args(["policy", "test", &named, "--json", "--config"]).arg(proxy.config());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["first_seen"].as_str().map(str::to_owned)
}

/// The same, with rules on age in the configuration.
fn first_seen_under_rules(proxy: &mut Proxy, release: &Release) -> String {
    proxy.stop();
    proxy.reconfigure(|setup| setup.policy("enforce", YOUNG));
    first_seen(proxy, release).unwrap()
}

#[test]
fn an_index_counts_that_was_read_before_there_were_rules_and_restarts() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp().index()).ok();
    let seen = first_seen_under_rules(&mut proxy, &lamp());
    let known = (now() + 1) * 1000;
    proxy.revive();
    eventually("another second", || (now() * 1000 > known).then_some(()));
    proxy.client().get(&lamp().exact()).ok();
    proxy.client().get(&lamp().download()).ok();
    assert!(since(&proxy) < known, "the pin is as old as the index, which travels with it");
    assert_eq!(first_seen_under_rules(&mut proxy, &lamp()), seen);
    // Nor does it matter what else is lost.
    proxy.revive();
    proxy.restart_without("documents");
    assert_eq!(first_seen_under_rules(&mut proxy, &lamp()), seen);
    proxy.revive();
    proxy.restart_without("evidence");
    assert_eq!(first_seen_under_rules(&mut proxy, &lamp()), seen, "the pin says it too");
}

/// A release whose index and metadata are long.
fn long(name: &str) -> Release {
    let mut release = Release::new(name, "1.0.0");
    let padding = || Value::from("x".repeat(300_000));
    release.row_members.insert("padding".to_owned(), padding());
    release.exact_members.insert("padding".to_owned(), padding());
    release
}

#[test]
fn evictions_make_no_release_younger() {
    let upstream = Upstream::start();
    let lamp = long("lamp");
    upstream.publish(&lamp);
    let mut proxy = Setup::before(&upstream).set("storage.max_size", "8MiB").policy("enforce", YOUNG).start();
    let until = proxy.is_refused_by(&lamp, "young", "until 20")["until"].clone();
    for number in 0..40 {
        let filling = long(&format!("fill-{number}"));
        upstream.publish(&filling);
        proxy.client().get(&filling.index()).ok();
        proxy.client().get(&filling.exact()).problem(403, "authorization-failed");
    }
    eventually("evictions", || (proxy.stored("/evicted/values") > 40).then_some(()));
    let asked = || upstream.requests(&lamp.exact()) + upstream.requests(&lamp.index());
    let before = asked();
    proxy.restart();
    assert_eq!(proxy.is_refused_by(&lamp, "young", "until 20")["until"], until);
    assert_eq!(asked(), before + 2, "both were evicted");
}

#[test]
fn a_first_sight_travels_with_pins_and_in_a_bundle() {
    let upstream = Upstream::start();
    let luggage = Luggage::new();
    let (old, new) = (lamp(), Release::new("saw", "1.0.0"));
    let mut near = Setup::before(&upstream).start();
    for release in [&old, &new] {
        upstream.publish(release);
        near.client().get(&release.index()).ok();
        near.client().get(&release.download()).ok();
    }
    near.stop();
    let lines = pins(&near.data(), "export", "");
    let aged = lines.lines().map(|line| {
        let mut pin: Value = serde_json::from_str(line).unwrap();
        if pin["volume"] == "lamp" {
            pin["since"] = json!(1_600_000_000_000_u64);
        }
        pin.to_string() + "\n"
    });
    pins(&near.data(), "import", &aged.collect::<String>());
    near.revive();
    selected(&near, &upstream, &[&old, &new]);
    let far = receiver(&upstream, &luggage.key("corp")).policy("enforce", YOUNG).start();
    export(&near, &luggage, "bundle", &[]);
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    upstream.down();
    far.is_let_in(&old);
    let until = far.is_refused_by(&new, "young", "until 20")["until"].as_str().unwrap().to_owned();
    let near_seen = first_seen_under_rules(&mut near, &new);
    let day = |text: &str| text[..10].to_owned();
    assert!(until > near_seen && day(&until) > day(&near_seen), "{until} {near_seen}");
    // What was seen near counts far away too.
    let mut far = far;
    far.stop();
    assert_eq!(first_seen(&far, &new), Some(near_seen));
    assert_eq!(first_seen(&far, &old).as_deref(), Some("2020-09-13T12:26:40Z"));
}

#[test]
fn commands_that_try_rules_change_nothing_of_a_store() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut proxy = Setup::before(&upstream).start();
    proxy.is_let_in(&lamp());
    proxy.stop();
    let rules = format!(
        "{YOUNG}\n[[policy.rules]]\nid = \"strangers\"\naction = \"deny\"\nmatch = {{ publishers_not_in = [\"corp\"] }}\n"
    );
    proxy.reconfigure(|setup| setup.policy("enforce", &rules));
    let before = contents(&proxy.data());
    let new = proxy.config().with_file_name("new.toml");
    std::fs::write(&new, rules.replace("strangers", "others").replace("young\"", "younger\"")).unwrap();
    for arguments in [
        &["test", "lamp@1.0.0"][..],
        &["test", "lamp@2.0.0"],
        &["diff", new.to_str().unwrap()],
        &["baseline", "--from", "store"],
    ] {
        let mut command = scriptorium();
        command.arg("policy").args(arguments).arg("--config").arg(proxy.config());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        let after = contents(&proxy.data());
        let changed: Vec<_> =
            before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
        assert_eq!(changed, Vec::<&std::path::PathBuf>::new(), "{arguments:?}");
    }
}
