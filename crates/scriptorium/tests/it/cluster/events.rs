//! What one proxy changes or finds, all obey: together within moments, and through the bucket while the engine is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ALONE, Cluster, TOGETHER, obeyed_within};
use crate::support::tarball::Entry;
use crate::support::{Lie, Proxy, Release, Reply, Setup, eventually};

/// Documents that stay fresh for an hour, so that only news makes a proxy ask.
fn long_lived(setup: Setup) -> Setup {
    ["index", "release", "trust", "negative"]
        .iter()
        .fold(setup, |setup, kind| setup.set(&format!("cache.{kind}_ttl"), "1h"))
        .set("cache.stale_while_revalidate", "0s")
}

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// Three proxies that all hold the release and its index.
fn warmed() -> Option<Cluster> {
    let cluster = Cluster::with(3, long_lived)?;
    cluster.upstream.publish(&lamp());
    for proxy in &cluster.proxies {
        for target in [lamp().index(), lamp().exact(), lamp().download()] {
            proxy.client().get(&target).ok();
        }
    }
    Some(cluster)
}

fn row(proxy: &Proxy) -> Value {
    proxy.client().get(&lamp().index()).ok().json()["items"][0].clone()
}

/// Every proxy shows the release so, for whoever asks more than `bound` from now on.
fn all_show(cluster: &Cluster, state: &str, bound: Duration) {
    let shows = |proxy: &Proxy| row(proxy)["status"]["state"] == state;
    obeyed_within(bound, Instant::now(), state, &cluster.proxies, shows);
}

#[test]
fn what_one_invalidates_all_ask_for() {
    let Some(cluster) = warmed() else { return };
    let asked = || cluster.upstream.requests(&lamp().exact());
    for (turn, what) in
        [json!({"volume": "@acme/lamp"}), json!({"pattern": "@acme/*"})].into_iter().enumerate()
    {
        let before = asked();
        cluster.upstream.publish(&lamp().state("yanked", &format!("turn {turn}")));
        cluster.proxies[turn].invalidate(&what).ok();
        let reason = format!("turn {turn}");
        let shows =
            |proxy: &Proxy| proxy.client().get(&lamp().exact()).ok().json()["status"]["reason"] == *reason;
        obeyed_within(TOGETHER, Instant::now(), "an invalidation", &cluster.proxies, shows);
        assert!(asked() > before);
    }
}

#[test]
fn a_block_that_one_sees_all_obey() {
    let Some(cluster) = warmed() else { return };
    cluster.upstream.publish(&lamp().state("blocked", "malware"));
    cluster
        .upstream
        .reply(&lamp().exact(), Reply::problem(403, "authorization-failed", "Blocked", "malware"));
    // The one that sees it first is told to look; the others hear of it from what it finds.
    cluster.proxies[0].invalidate(&json!({"volume": "@acme/lamp", "version": "1.0.0"})).ok();
    cluster.proxies[0].client().get(&lamp().exact()).problem(403, "authorization-failed");
    let refuses = |proxy: &Proxy| proxy.client().get(&lamp().download()).status == 403;
    let seen = Instant::now();
    obeyed_within(TOGETHER, seen, "a block", &cluster.proxies, refuses);
    all_show(&cluster, "blocked", TOGETHER);
}

#[test]
fn what_changes_while_the_engine_is_away_is_heard_through_the_bucket() {
    let Some(mut cluster) = warmed() else { return };
    cluster.redis.down();
    cluster.wait_for("alone", 1);
    cluster.upstream.publish(&lamp().state("yanked", "old"));
    cluster.proxies[1].invalidate(&json!({"volume": "@acme/lamp"})).ok();
    all_show(&cluster, "yanked", ALONE);
    cluster
        .upstream
        .reply(&lamp().exact(), Reply::problem(403, "authorization-failed", "Blocked", "malware"));
    cluster.proxies[0].invalidate(&json!({"volume": "@acme/lamp", "version": "1.0.0"})).ok();
    cluster.proxies[0].client().get(&lamp().exact()).problem(403, "authorization-failed");
    let refuses = |proxy: &Proxy| proxy.client().get(&lamp().download()).status == 403;
    obeyed_within(ALONE, Instant::now(), "a block", &cluster.proxies, refuses);
    cluster.redis.up();
    cluster.wait_for("together", 3);
    cluster.redis.command("FLUSHALL");
    cluster.upstream.publish(&lamp());
    cluster.proxies[2].invalidate(&json!({"volume": "@acme/lamp"})).ok();
    // An engine that forgot tells nothing either: the record in the bucket is looked at.
    all_show(&cluster, "available", ALONE);
}

#[test]
fn a_proxy_that_was_stopped_serves_nothing_as_fresh_that_changed_meanwhile() {
    let Some(cluster) = warmed() else { return };
    cluster.proxies[2].signal("STOP");
    cluster.proxies[..2].iter().for_each(|proxy| super::wait_for(proxy, "together", 2));
    cluster.upstream.publish(&lamp().state("yanked", "old"));
    cluster.proxies[0].invalidate(&json!({"volume": "@acme/lamp"})).ok();
    eventually("the new row", || (row(&cluster.proxies[0])["status"]["state"] == "yanked").then_some(()));
    // Longer than anything counts as heard.
    let now = Instant::now();
    eventually("some seconds", || (now.elapsed() > ALONE).then_some(()));
    cluster.proxies[2].signal("CONT");
    assert_eq!(row(&cluster.proxies[2])["status"]["state"], "yanked", "its first answer");
}

#[test]
fn a_divergence_that_one_finds_all_refuse_and_its_end_all_hear() {
    let Some(cluster) = warmed() else { return };
    Lie::RowState("yanked").tell(&cluster.upstream, &lamp());
    cluster.proxies[0].invalidate(&json!({"volume": "@acme/lamp"})).ok();
    // The index is asked for behind the first answer.
    eventually("the difference", || {
        (cluster.proxies[0].client().get(&lamp().exact()).status == 409).then_some(())
    });
    let open = |proxy: &Proxy| {
        proxy.admin().get("/admin/v1/divergences").ok().json()["items"].as_array().unwrap().len()
    };
    for proxy in &cluster.proxies {
        eventually("the divergence", || (open(proxy) == 1).then_some(()));
        proxy.client().get(&lamp().exact()).problem(409, "inconsistent-registry-state");
    }
    cluster.upstream.publish(&lamp());
    cluster.proxies[1].invalidate(&json!({"volume": "@acme/lamp"})).ok();
    for proxy in &cluster.proxies {
        eventually("the end of it", || (proxy.client().get(&lamp().exact()).status == 200).then_some(()));
        eventually("no divergence", || (open(proxy) == 0).then_some(()));
    }
}

#[test]
fn an_archive_that_one_refuses_none_downloads_again() {
    let Some(cluster) = Cluster::with(3, long_lived) else { return };
    let other = lamp().adding(Entry::file("docs/more.md", "more"));
    cluster.upstream.publish_as(&lamp(), other.archive());
    for proxy in &cluster.proxies {
        assert_eq!(row(proxy)["status"]["state"], "available");
        proxy.client().get(&lamp().exact()).ok();
    }
    for proxy in &cluster.proxies {
        proxy.client().get(&lamp().download()).problem(409, "inconsistent-registry-state");
    }
    assert_eq!(cluster.upstream.requests(&lamp().source()), 1);
    all_show(&cluster, "unavailable", TOGETHER);
}

#[test]
fn what_two_declare_out_of_date_outlives_both() {
    let Some(mut cluster) = Cluster::with(2, long_lived) else { return };
    let releases = ["a", "b", "c", "d"].map(|name| Release::new(name, "1.0.0"));
    for release in &releases {
        cluster.upstream.publish(release);
        cluster.proxies[0].client().get(&release.index()).ok();
    }
    for (release, proxy) in releases.iter().zip([0, 1, 0, 1]) {
        cluster.proxies[proxy].invalidate(&json!({"volume": release.name})).ok();
    }
    cluster.proxies.iter_mut().for_each(Proxy::restart);
    for release in &releases {
        cluster.proxies[1].client().get(&release.index()).ok();
        assert_eq!(cluster.upstream.requests(&release.index()), 2, "{}", release.name);
    }
}
