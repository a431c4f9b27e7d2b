//! Pins: a release that a registry replaces is refused however long ago its archive was evicted, and it
//! is served again when the registry goes back to the first.

use serde_json::Value;

use crate::support::divergence::{assert_divergent, assert_shape, assert_sources, replaced};
use crate::support::{Answer, Proxy, Release, Setup, Upstream, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn warmed() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).short_lived().start();
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    (upstream, proxy)
}

fn until_refused(proxy: &Proxy, target: &str) -> Answer {
    eventually("a refusal", || {
        let answer = proxy.client().get(target);
        let second = replaced(&lamp()).archive();
        assert!(answer.body != second, "the replacement was served");
        (answer.status != 200).then_some(answer)
    })
}

fn assert_replaced(answer: &Answer) -> Value {
    let problem = assert_divergent(answer, &lamp(), "release", "integrity-changed");
    let detail = problem["detail"].as_str().unwrap();
    for integrity in [lamp().integrity(), replaced(&lamp()).integrity()] {
        assert!(detail.contains(&integrity), "{integrity} is not named in: {detail}");
    }
    assert_sources(&problem["divergence"], ["pin", "exact"]);
    problem
}

#[test]
fn a_replaced_release_is_a_divergence_from_its_pin() {
    let (upstream, proxy) = warmed();
    upstream.publish(&replaced(&lamp()));
    for target in [lamp().exact(), lamp().download()] {
        assert_replaced(&until_refused(&proxy, &target));
    }
    let listed = proxy.divergences();
    assert_eq!((listed.len(), proxy.open_divergences()), (1, 1.0), "{listed:?}");
    assert_shape(&listed[0], &lamp(), "release", "integrity-changed");
    let index = proxy.client().get(&lamp().index()).ok().json();
    assert_eq!(index["items"][0]["status"]["state"], "unavailable", "its row must not be resolved to");
    let requests = upstream.requests(&lamp().source());
    assert_eq!(requests, 1, "the replacement's archive was asked for");
}

#[test]
fn a_replacement_is_noticed_though_the_archive_was_evicted() {
    let (upstream, mut proxy) = warmed();
    upstream.publish(&replaced(&lamp()));
    proxy.restart_without("archives");
    for target in [lamp().exact(), lamp().download()] {
        assert_replaced(&until_refused(&proxy, &target));
    }
    proxy.restart();
    assert_replaced(&until_refused(&proxy, &lamp().download()));

    upstream.publish(&lamp());
    let mended = eventually("the pinned release again", || {
        Some(proxy.client().get(&lamp().download())).filter(|answer| answer.status == 200)
    });
    assert_eq!(mended.body, lamp().archive());
    proxy.client().get(&lamp().exact()).ok();
    proxy.agrees_again();
}

#[test]
fn a_replacement_is_noticed_though_everything_but_the_pins_is_gone() {
    let (upstream, mut proxy) = warmed();
    upstream.publish(&replaced(&lamp()));
    proxy.restart_without("archives");
    proxy.restart_without("documents");
    assert_replaced(&proxy.client().get(&lamp().download()));
    assert_replaced(&proxy.client().get(&lamp().exact()));
    upstream.publish(&lamp());
    eventually("the pinned release again", || {
        (proxy.client().get(&lamp().download()).status == 200).then_some(())
    });
}

#[test]
fn a_replacement_in_the_row_alone_is_no_licence_either() {
    let (upstream, mut proxy) = warmed();
    upstream.list(&lamp().name, replaced(&lamp()).row(&upstream.url()));
    proxy.restart_without("archives");
    let refused = until_refused(&proxy, &lamp().download());
    let problem = refused.problem(409, "inconsistent-registry-state");
    let kind = problem["divergence"]["kind"].as_str().unwrap_or_default();
    assert!(["integrity", "integrity-changed"].contains(&kind), "{problem}");
}

#[test]
fn a_pin_is_set_by_what_was_first_served_and_not_by_an_index() {
    let upstream = Upstream::start();
    upstream.publish(&replaced(&lamp()));
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().index()).ok();
    upstream.publish(&lamp());
    let served = eventually("the release as it is now", || {
        Some(proxy.client().get(&lamp().download())).filter(|answer| answer.status == 200)
    });
    assert_eq!(served.body, lamp().archive());
}
