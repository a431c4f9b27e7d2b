//! What an index offers while this proxy is offline: what can be installed from here, unless the configuration wants all.

use serde_json::{Value, json};

use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually};

const NAME: &str = "@acme/lamp";

fn version(version: &str) -> Release {
    Release::new(NAME, version)
}

/// A proxy that was asked for the archive of 1.0.0, the metadata of 1.1.0, both of a yanked 1.2.0, nothing of 1.3.0, and
/// the metadata of 1.4.0 that is delivered by Git; 2.0.0, 2.1.0 and 2.2.0 are given by nobody.
fn stocked() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    for number in ["1.0.0", "1.1.0", "1.3.0"] {
        upstream.publish(&version(number));
    }
    let yanked = version("1.2.0").state("yanked", "wrong");
    upstream.publish(&yanked);
    let git = version("1.4.0");
    let mut metadata = git.metadata("");
    metadata["dist"] = json!({ "source": "git", "repository": "https://git.example/x", "ref": "v1" });
    upstream.say(&git, [git.row(&upstream.url())], Reply::json(&metadata));
    for (number, state) in [("2.0.0", "blocked"), ("2.1.0", "tombstoned"), ("2.2.0", "unavailable")] {
        let gone = version(number).state(state, "its own words");
        upstream.say(&gone, [gone.row(&upstream.url())], Reply::not_found());
    }
    let proxy = Setup::before(&upstream).start();
    for target in [
        version("1.0.0").index(),
        version("1.0.0").download(),
        version("1.1.0").exact(),
        version("1.2.0").download(),
        version("1.4.0").exact(),
    ] {
        proxy.client().get(&target).ok();
    }
    (upstream, proxy)
}

fn rows(proxy: &Proxy) -> Vec<(String, String, String)> {
    let index = proxy.client().get(&version("1.0.0").index()).ok().json();
    let row = |row: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&row["version"]), text(&row["status"]["state"]), text(&row["status"]["reason"]))
    };
    index["items"].as_array().unwrap().iter().map(row).collect()
}

fn states(proxy: &Proxy) -> Vec<String> {
    rows(proxy).into_iter().map(|(_, state, _)| state).collect()
}

const ONLINE: [&str; 8] =
    ["available", "available", "available", "yanked", "available", "blocked", "tombstoned", "unavailable"];
const OFFLINE: [&str; 8] = [
    "available",
    "unavailable",
    "unavailable",
    "yanked",
    "available",
    "blocked",
    "tombstoned",
    "unavailable",
];

/// The rows come in the order they were published in.
fn sorted(expected: [&str; 8]) -> Vec<String> {
    let mut sorted: Vec<_> = expected.iter().map(ToString::to_string).collect();
    sorted.sort();
    sorted
}

fn sorted_states(proxy: &Proxy) -> Vec<String> {
    let mut states = states(proxy);
    states.sort();
    states
}

#[test]
fn offline_an_index_offers_what_can_be_installed() {
    let (upstream, mut proxy) = stocked();
    assert_eq!(sorted_states(&proxy), sorted(ONLINE), "online nothing is marked");
    upstream.down();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    assert_eq!(sorted_states(&proxy), sorted(OFFLINE));
    for (number, state, reason) in rows(&proxy) {
        let marked = ["1.1.0", "1.3.0"].contains(&&*number);
        assert_eq!(reason.starts_with("not-held:"), marked, "{number} {state}: {reason}");
        if ["available", "yanked"].contains(&&*state) && number != "1.4.0" {
            assert_eq!(proxy.client().get(&version(&number).download()).status, 200, "{number}");
        }
        if ["2.0.0", "2.1.0", "2.2.0"].contains(&&*number) {
            assert_eq!(reason, "its own words");
        }
    }
    assert_eq!(proxy.client().get(&version("1.1.0").exact()).status, 200, "the metadata stays what it is");
}

#[test]
fn all_rows_are_offered_where_that_is_configured() {
    let (upstream, mut proxy) = stocked();
    upstream.down();
    proxy.restart_as(|setup| setup.set("cache.offline", true).set("cache.offline_rows", "all"));
    assert_eq!(sorted_states(&proxy), sorted(ONLINE));
}

#[test]
fn going_offline_and_coming_back_shows_at_once() {
    let (_upstream, proxy) = stocked();
    let target = version("1.0.0").index();
    let online = proxy.client().get(&target).ok();
    for _ in 0..2 {
        proxy.reconfigure(|setup| setup.set("cache.offline", true));
        assert_eq!(proxy.reload().status, 200);
        assert_eq!(sorted_states(&proxy), sorted(OFFLINE));
        let offline = proxy.client().get_with(&target, "if-none-match", online.header("etag").unwrap());
        assert_eq!(offline.status, 200, "another body is another entity");
        assert_ne!(offline.header("etag"), online.header("etag"));
        proxy.reconfigure(|setup| setup);
        assert_eq!(proxy.reload().status, 200);
        assert_eq!(proxy.client().get(&target).ok().body, online.body);
    }
}

#[test]
fn what_is_lost_or_comes_back_meanwhile_shows_soon() {
    let (upstream, mut proxy) = stocked();
    proxy.client().get(&version("1.3.0").download()).ok();
    upstream.down();
    proxy.stop();
    std::fs::remove_dir_all(proxy.data().join("archives")).unwrap();
    proxy.revive();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    let offered = || rows(&proxy).into_iter().filter(|(_, state, _)| state == "available").count();
    eventually("only what is by Git", || (offered() == 1).then_some(()));
}

#[test]
fn a_divergence_and_a_block_outrank_what_is_not_held() {
    each([403, 409], |status| {
        let (upstream, lamp) = (Upstream::start(), version("1.0.0"));
        let refusal = match status {
            403 => Reply::problem(403, "authorization-failed", "Blocked", "Malware."),
            _ => {
                let mut other = lamp.metadata("");
                other["name"] = "@acme/lantern".into();
                Reply::json(&other)
            }
        };
        upstream.say(&lamp, [lamp.row(&upstream.url())], refusal);
        let mut proxy = Setup::before(&upstream).start();
        proxy.client().get(&lamp.index()).ok();
        assert_eq!(proxy.client().get(&lamp.exact()).status, status);
        proxy.restart_as(|setup| setup.set("cache.offline", true));
        let (_, state, reason) = rows(&proxy).remove(0);
        match status {
            403 => assert_eq!(
                (&*state, reason.starts_with("authorization-failed:")),
                ("blocked", true),
                "{reason}"
            ),
            _ => assert!(reason.starts_with("inconsistent-registry-state:"), "{reason}"),
        }
    });
}
