//! Refresh before belief: a change that is seen from one side only is followed to the other before
//! anybody is told of a contradiction, and that costs the registry next to nothing.

use std::thread;

use serde_json::Value;

use crate::support::divergence::refusal;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A change of a release's state, made in its row and on its exact route at one moment.
#[derive(Clone, Copy, Debug)]
struct Change {
    from: &'static str,
    to: &'static str,
    /// What the exact route and the archive answer afterwards.
    status: u16,
}

const CHANGES: [Change; 10] = [
    Change { from: "available", to: "yanked", status: 200 },
    Change { from: "available", to: "tombstoned", status: 404 },
    Change { from: "available", to: "blocked", status: 403 },
    Change { from: "available", to: "unavailable", status: 404 },
    Change { from: "available", to: "unavailable", status: 409 },
    Change { from: "yanked", to: "available", status: 200 },
    Change { from: "yanked", to: "blocked", status: 403 },
    Change { from: "blocked", to: "available", status: 200 },
    Change { from: "unavailable", to: "available", status: 200 },
    Change { from: "tombstoned", to: "available", status: 200 },
];

/// Puts a release into a state, in a registry that agrees with itself.
fn settle(upstream: &Upstream, state: &str, status: u16) {
    let release = match state {
        "available" => lamp(),
        state => lamp().state(state, "a reason"),
    };
    let base = upstream.url();
    let exact = if status == 200 { Reply::json(&release.metadata(&base)) } else { refusal(status) };
    upstream.reply(&release.source(), Reply::archive(release.archive()));
    upstream.say(&release, [release.row(&base)], exact);
}

fn before(state: &str) -> u16 {
    match state {
        "blocked" => 403,
        "tombstoned" | "unavailable" => 404,
        _ => 200,
    }
}

/// Asks for everything about lamp and reports whether the change has arrived everywhere. Nobody may be
/// told of a contradiction meanwhile.
fn has_arrived(proxy: &Proxy, change: Change) -> bool {
    let index = proxy.client().get(&lamp().index()).ok().json();
    let mut arrived = index["items"][0]["status"]["state"] == change.to;
    for target in [lamp().exact(), lamp().download()] {
        let answer = proxy.client().get(&target);
        let text = answer.text();
        assert!(
            answer.status == before(change.from) || answer.status == change.status,
            "{change:?}: {target}: {text}"
        );
        assert!(!text.contains("\"divergence\""), "{change:?}: {target}: {text}");
        arrived &= answer.status == change.status;
        if target == lamp().exact() && change.status == 200 {
            arrived &= answer.status == 200 && answer.json()["status"]["state"] == change.to;
        }
    }
    assert_eq!(proxy.divergences(), Vec::<Value>::new(), "{change:?}");
    arrived
}

/// Lets a change happen while the proxy believes one side for long and the other for a second.
fn a_change_arrives(change: Change, brief: &str, long: &str) {
    let upstream = Upstream::start();
    settle(&upstream, change.from, before(change.from));
    let proxy = Setup::before(&upstream)
        .set(&format!("cache.{brief}"), "1s")
        .set(&format!("cache.{long}"), "1h")
        .set("cache.stale_while_revalidate", "0s")
        .set("cache.negative_ttl", if long == "release_ttl" { "1h" } else { "1s" })
        .start();
    has_arrived(&proxy, change);
    settle(&upstream, change.to, change.status);
    eventually("the change on every route", || has_arrived(&proxy, change).then_some(()));
    for _ in 0..3 {
        assert!(has_arrived(&proxy, change), "{change:?}: what had arrived was taken back");
    }
    assert!(upstream.requests(&lamp().source()) <= 1, "{change:?}: the archive was fetched again");
}

#[test]
fn a_change_seen_in_the_index_is_a_change_and_no_divergence() {
    each(CHANGES, |change| a_change_arrives(change, "index_ttl", "release_ttl"));
}

#[test]
fn a_change_seen_on_the_exact_route_is_a_change_and_no_divergence() {
    each(CHANGES, |change| a_change_arrives(change, "release_ttl", "index_ttl"));
}

#[test]
fn a_new_release_is_no_divergence() {
    let (upstream, new) = (Upstream::start(), Release::new("@acme/lamp", "1.1.0"));
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "1h").start();
    proxy.client().get(&lamp().index()).ok();
    proxy.client().get(&lamp().exact()).ok();
    upstream.publish(&new);
    assert_eq!(proxy.client().get(&new.download()).ok().body, new.archive());
    assert_eq!(proxy.divergences(), Vec::<Value>::new());
    let index = proxy.client().get(&new.index()).ok().text();
    assert!(index.contains("1.1.0"), "the index that was asked again is shown: {index}");
    let asked = (upstream.requests(&new.exact()), upstream.requests(&new.index()));
    assert!(asked.0 <= 2 && asked.1 <= 2, "{asked:?} requests for exact metadata and index");
}

#[test]
fn a_release_that_was_asked_for_too_early_is_no_divergence() {
    let upstream = Upstream::start();
    upstream.publish(&Release::new("@acme/lamp", "0.9.0"));
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "1s").set("cache.negative_ttl", "1h").start();
    proxy.client().get(&lamp().exact()).problem(404, "not-found");
    upstream.publish(&lamp());
    eventually("the release", || {
        proxy.client().get(&lamp().index()).ok();
        let answer = proxy.client().get(&lamp().exact());
        assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
        assert_eq!(proxy.divergences(), Vec::<Value>::new());
        (answer.status == 200).then_some(())
    });
}

#[test]
fn releases_of_one_volume_share_one_question_for_their_index() {
    let upstream = Upstream::start();
    let releases: Vec<_> = (0..8).map(|minor| Release::new("@acme/lamp", &format!("1.{minor}.0"))).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    let proxy = Setup::before(&upstream).start();
    let hold = upstream.hold(&lamp().index());
    let client = proxy.client();
    let asking: Vec<_> = releases
        .iter()
        .map(Release::exact)
        .map(|target| thread::spawn(move || client.get(&target).ok()))
        .collect();
    eventually("their questions", || {
        let all_asked = releases.iter().all(|release| upstream.requests(&release.exact()) == 1);
        (all_asked || upstream.requests(&lamp().index()) > 0).then_some(())
    });
    hold.release();
    asking.into_iter().for_each(|asking| drop(asking.join().unwrap()));
    for release in &releases {
        proxy.client().get(&release.exact()).ok();
        proxy.client().get(&release.download()).ok();
        assert_eq!(upstream.requests(&release.exact()), 1);
    }
    assert!(upstream.requests(&lamp().index()) <= 1, "{} times", upstream.requests(&lamp().index()));
}

#[test]
fn releases_that_agree_are_asked_for_once() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).start();
    for target in [lamp().index(), lamp().exact(), lamp().download(), lamp().index(), lamp().exact()] {
        proxy.client().get(&target).ok();
    }
    for target in [lamp().index(), lamp().exact(), lamp().source()] {
        assert_eq!(upstream.requests(&target), 1, "{target}");
    }
}
