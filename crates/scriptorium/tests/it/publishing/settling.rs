//! A registry that says it released something else than what was uploaded: told, counted, and not believed.

use serde_json::json;

use super::{Ground, lamp};
use crate::support::{Publishing, Release, Reply, Setup, Untrue, eventually};

fn finalize_untruly(untrue: Untrue, change: impl FnOnce(Setup) -> Setup) -> Ground {
    let ground = Ground::with(change);
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    ground.registry.lie(untrue);
    let finalized = ground.publisher().finalize(&lamp(), &intent);
    assert_eq!(finalized.status, 201, "the registry did finalize: {}", finalized.text());
    assert_eq!(finalized.json()["release"]["integrity"], Publishing::UNTRUE, "its answer is its own");
    ground
}

#[track_caller]
fn assert_reported(ground: &Ground) {
    let divergences = ground.proxy.divergences();
    assert_eq!(divergences.len(), 1, "{divergences:?}");
    let text = divergences[0].to_string();
    for part in [lamp().name.as_str(), "1.1.0", Publishing::UNTRUE, &lamp().integrity()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(ground.proxy.open_divergences(), 1.0);
}

#[test]
fn a_registry_that_says_another_tree_is_in_divergence_and_not_believed() {
    let ground = finalize_untruly(Untrue::Everywhere, |setup| setup);
    assert_reported(&ground);
    let client = ground.proxy.client();
    for target in [lamp().exact(), lamp().download()] {
        let problem = client.get(&target).problem(409, "inconsistent-registry-state");
        assert!(problem.to_string().contains(&lamp().integrity()), "{problem}");
    }
    assert_eq!(ground.registry.requests(&lamp().source()), 0);
    assert_reported(&ground);
}

#[test]
fn the_divergence_outlives_a_restart_as_long_as_it_is_one() {
    let mut ground = finalize_untruly(Untrue::Everywhere, |setup| setup);
    ground.proxy.restart();
    ground.proxy.client().get(&lamp().exact()).problem(409, "inconsistent-registry-state");
    assert_reported(&ground);
}

#[test]
fn one_untrue_answer_is_reported_before_anybody_reads() {
    let ground = finalize_untruly(Untrue::Answer, |setup| setup.set("cache.negative_ttl", "2s"));
    assert_reported(&ground);
    ground.proxy.client().get(&lamp().exact()).problem(409, "inconsistent-registry-state");
    // What the registry serves is the tree that passed here, and that is noticed.
    let served = eventually("the release", || {
        Some(ground.proxy.client().get(&lamp().download())).filter(|answer| answer.status == 200)
    });
    assert_eq!(served.body, lamp().archive());
    ground.proxy.agrees_again();
}

#[test]
fn what_was_not_looked_at_is_not_held_against_the_registry() {
    let ground = finalize_untruly(Untrue::Answer, |setup| setup.set("upstream.writes_check", "relay"));
    assert!(ground.proxy.divergences().is_empty());
}

#[test]
fn an_index_that_lags_behind_a_publication_contradicts_nothing() {
    let ground = Ground::new();
    let before = Release::new("@acme/lamp", "1.0.0").row(&ground.registry.url());
    for rows in [json!([]), json!([before])] {
        ground.registry.reply_to("GET", &lamp().index(), Reply::json(&json!({ "items": rows })));
        ground.proxy.client().get(&lamp().index()).ok();
    }
    ground.proxy.client().get(&lamp().exact()).problem(404, "not-found");
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    for _ in 0..3 {
        ground.proxy.client().get(&lamp().index()).ok();
        assert_eq!(ground.proxy.client().get(&lamp().exact()).ok().json()["integrity"], lamp().integrity());
        assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        assert!(ground.proxy.divergences().is_empty());
    }
}
