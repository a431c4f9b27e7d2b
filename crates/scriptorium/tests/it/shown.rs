//! What an index shows of a release whose exact metadata the registry refuses with 403: a block, whoever asked, as long
//! as that stands.

use serde_json::{Value, json};

use crate::support::divergence::refusal;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A registry whose row of a release says `state` and whose exact route answers `exact`, beside an honest release.
fn started(state: &str, exact: Reply) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("@acme/lamp", "0.9.0"));
    say(&upstream, state, exact);
    let proxy = Setup::before(&upstream).short_lived().start();
    (upstream, proxy)
}

fn say(upstream: &Upstream, state: &str, exact: Reply) {
    upstream.say(&lamp(), [lamp().state(state, "its own words").row(&upstream.url())], exact);
}

fn status(proxy: &Proxy, version: &str) -> Value {
    let index = proxy.client().get(&lamp().index()).ok().json();
    let rows = index["items"].as_array().unwrap();
    rows.iter().find(|row| row["version"] == version).unwrap()["status"].clone()
}

fn is_blocked(proxy: &Proxy) -> bool {
    let status = status(proxy, "1.0.0");
    let reason = status["reason"].as_str().unwrap_or_default();
    status["state"] == "blocked" && reason == "authorization-failed: Words of the registry's own."
}

#[test]
fn a_release_that_is_refused_with_403_is_shown_as_blocked() {
    for state in ["available", "yanked", "unavailable"] {
        let (_upstream, proxy) = started(state, refusal(403));
        assert_eq!(status(&proxy, "1.0.0")["state"], state, "nobody asked for the release yet");
        let tag = proxy.client().get(&lamp().index()).ok().header("etag").unwrap().to_owned();
        for target in [lamp().exact(), lamp().download()] {
            proxy.client().get(&target).problem(403, "authorization-failed");
        }
        eventually("the block", || is_blocked(&proxy).then_some(()));
        assert_eq!(status(&proxy, "0.9.0")["state"], "available");
        assert_eq!(proxy.client().get_with(&lamp().index(), "if-none-match", &tag).status, 200);
    }
}

#[test]
fn a_row_that_is_as_low_already_stays_as_it_came() {
    for (state, exact) in [("tombstoned", 404), ("tombstoned", 403), ("blocked", 404), ("blocked", 403)] {
        let (_upstream, proxy) = started(state, refusal(exact));
        let came = json!({ "state": state, "reason": "its own words" });
        assert_eq!(proxy.client().get(&lamp().exact()).status, exact);
        assert_eq!(status(&proxy, "1.0.0"), came);
    }
}

#[test]
fn a_block_that_is_lifted_is_seen_though_nobody_asks_for_what_reads_as_blocked() {
    let (upstream, proxy) = started("available", refusal(403));
    proxy.client().get(&lamp().exact());
    eventually("the block", || is_blocked(&proxy).then_some(()));
    upstream.publish(&lamp());
    eventually("the release again", || (status(&proxy, "1.0.0")["state"] == "available").then_some(()));
    assert_eq!(proxy.client().get(&lamp().exact()).status, 200);
}

#[test]
fn a_block_outlives_the_process() {
    let (upstream, mut proxy) = started("available", refusal(403));
    proxy.client().get(&lamp().exact());
    eventually("the block", || is_blocked(&proxy).then_some(()));
    upstream.down();
    proxy.crash_and_restart();
    eventually("the block", || is_blocked(&proxy).then_some(()));
}
