//! An index that lags is no lie: a row that is missing or late takes nothing away, a block stands whatever a row says,
//! and a contradiction is over as soon as the next answer agrees, whoever asked for it.

use serde_json::{Value, json};

use crate::support::divergence::{assert_divergent, refusal};
use crate::support::{Lie, Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn row(proxy: &Proxy, version: &str) -> Option<Value> {
    let index = proxy.client().get(&lamp().index()).ok().json();
    index["items"].as_array().unwrap().iter().find(|row| row["version"] == version).cloned()
}

#[test]
fn a_release_without_a_row_is_served() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("@acme/lamp", "0.9.0"));
    upstream.publish(&lamp());
    upstream.say(&lamp(), [], Reply::json(&lamp().metadata(&upstream.url())));
    for first in [lamp().index(), lamp().exact(), lamp().download()] {
        let proxy = Setup::before(&upstream).start();
        proxy.client().get(&first).ok();
        for _ in 0..3 {
            proxy.client().get(&lamp().exact()).ok();
            assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
            assert_eq!(row(&proxy, "1.0.0"), None, "nothing is invented");
        }
        assert_eq!(proxy.divergences(), Vec::<Value>::new());
    }
}

#[test]
fn an_index_that_lost_its_rows_takes_nothing_away() {
    for rows in [json!([]), json!([Release::new("@acme/lamp", "0.9.0").row("")])] {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        let mut proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&lamp().download()).ok();
        upstream.reply(&lamp().index(), Reply::json(&json!({ "items": rows })));
        eventually("the index without the row", || row(&proxy, "1.0.0").is_none().then_some(()));
        for restarted in [false, true] {
            if restarted {
                proxy.restart();
            }
            for _ in 0..3 {
                proxy.client().get(&lamp().exact()).ok();
                assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
            }
        }
        assert_eq!(proxy.divergences(), Vec::<Value>::new());
    }
}

#[test]
fn a_403_stands_whatever_the_row_says() {
    each(["available", "yanked", "unavailable", "tombstoned", "blocked"], |state| {
        for first in [lamp().index(), lamp().exact(), lamp().download()] {
            let upstream = Upstream::start();
            let told = lamp().state(state, "a reason").row(&upstream.url());
            upstream.publish(&lamp());
            upstream.say(&lamp(), [told], refusal(403));
            let mut proxy = Setup::before(&upstream).start();
            proxy.client().get(&first);
            for restarted in [false, true] {
                if restarted {
                    proxy.restart();
                }
                for target in [lamp().exact(), lamp().download()] {
                    let problem = proxy.client().get(&target).problem(403, "authorization-failed");
                    assert_eq!(problem["detail"], "Words of the registry's own.", "{state}");
                }
                assert_eq!(proxy.divergences(), Vec::<Value>::new(), "{state}");
                let shown = row(&proxy, "1.0.0").unwrap()["status"]["state"].clone();
                assert_eq!(shown, if state == "tombstoned" { state } else { "blocked" }, "{first}");
            }
        }
    });
}

#[test]
fn a_blocked_row_beside_exact_metadata_that_is_served_stays_a_divergence() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    Lie::RowState("blocked").tell(&upstream, &lamp());
    let proxy = Setup::before(&upstream).start();
    assert_divergent(&proxy.client().get(&lamp().exact()), &lamp(), "release", "state");
}

#[test]
fn a_block_that_is_lifted_in_the_row_is_asked_about() {
    let upstream = Upstream::start();
    let blocked = lamp().state("blocked", "a reason").row(&upstream.url());
    upstream.say(&lamp(), [blocked], refusal(403));
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "1s").set("cache.negative_ttl", "1h").start();
    proxy.client().get(&lamp().exact()).problem(403, "authorization-failed");
    proxy.client().get(&lamp().index()).ok();
    upstream.publish(&lamp());
    eventually("the release", || {
        proxy.client().get(&lamp().index()).ok();
        (proxy.client().get(&lamp().exact()).status == 200).then_some(())
    });
}

#[test]
fn a_divergence_ends_with_the_next_index_that_agrees() {
    for lie in
        [Lie::RowState("blocked"), Lie::RowState("yanked"), Lie::RowIntegrity, Lie::TwoRows, Lie::RowLink]
    {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        lie.tell(&upstream, &lamp());
        let proxy =
            Setup::before(&upstream).set("cache.index_ttl", "1s").set("cache.negative_ttl", "1h").start();
        assert_divergent(&proxy.client().get(&lamp().exact()), &lamp(), "release", lie.kind());
        let asked = upstream.requests(&lamp().exact());
        upstream.publish(&lamp());
        eventually("the end of it", || {
            proxy.client().get(&lamp().index()).ok();
            proxy.divergences().is_empty().then_some(())
        });
        proxy.client().get(&lamp().exact()).ok();
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        assert_eq!(row(&proxy, "1.0.0").unwrap()["status"]["state"], "available");
        assert_eq!(upstream.requests(&lamp().exact()), asked, "{lie:?}: what was here was enough");
    }
}

#[test]
fn a_divergence_ends_with_exact_metadata_that_was_asked_for_something_else() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    Lie::ExactState("yanked").tell(&upstream, &lamp());
    let proxy = Setup::before(&upstream).set("cache.negative_ttl", "1h").start();
    assert_divergent(&proxy.client().get(&lamp().exact()), &lamp(), "release", "state");
    upstream.publish(&lamp());
    proxy.invalidate(&json!({ "volume": "@acme/lamp" }));
    eventually("the release", || (proxy.client().get(&lamp().exact()).status == 200).then_some(()));
    assert_eq!(proxy.divergences(), Vec::<Value>::new());
}

#[test]
fn another_reason_arrives_like_another_state() {
    for state in ["yanked", "blocked"] {
        let upstream = Upstream::start();
        let with = |reason: &str| lamp().state(state, reason);
        let say = |release: &Release| {
            let base = upstream.url();
            upstream.say(release, [release.row(&base)], Reply::json(&release.metadata(&base)));
        };
        say(&with("first"));
        let proxy =
            Setup::before(&upstream).set("cache.index_ttl", "1s").set("cache.release_ttl", "1h").start();
        let reason = || proxy.client().get(&lamp().exact()).ok().json()["status"]["reason"].clone();
        assert_eq!(reason(), "first");
        say(&with("second"));
        eventually("the other reason", || (reason() == "second").then_some(()));
        assert_eq!(row(&proxy, "1.0.0").unwrap()["status"]["reason"], "second");
        let asked = upstream.requests(&lamp().exact());
        for _ in 0..20 {
            assert_eq!(reason(), "second");
        }
        assert_eq!(upstream.requests(&lamp().exact()), asked);
    }
}
