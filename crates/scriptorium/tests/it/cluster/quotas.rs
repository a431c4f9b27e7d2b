//! A client's quota over all proxies: what they let in together, and each by itself while the engine is away.

use std::thread;

use super::Cluster;
use crate::support::{Proxy, Release, Setup, eventually};

const QUOTA: usize = 60;
/// What one proxy may let in before the others know.
const LEASE: usize = QUOTA / 10;

fn strict(setup: Setup) -> Setup {
    setup.set("rate_limits.anonymous", format!("{QUOTA}/h"))
}

/// Proxies that have one release; the questions for it count too.
fn started(nodes: u32) -> Option<(Cluster, Release)> {
    let cluster = Cluster::with(nodes, strict)?;
    let release = Release::new("lamp", "1.0.0");
    cluster.upstream.publish(&release);
    Some((cluster, release))
}

/// How many of `requests` are let in.
fn let_in(proxy: &Proxy, release: &Release, requests: usize) -> usize {
    (0..requests).filter(|_| proxy.client().get(&release.index()).status != 429).count()
}

/// The same at all proxies at once.
fn let_in_by_all(cluster: &Cluster, release: &Release, requests: usize) -> usize {
    thread::scope(|scope| {
        let ask = |proxy| move || let_in(proxy, release, requests);
        let asking: Vec<_> = cluster.proxies.iter().map(|proxy| scope.spawn(ask(proxy))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).sum()
    })
}

#[test]
fn all_proxies_together_let_in_the_quota_and_no_more_than_a_lease_each() {
    let Some((cluster, release)) = started(3) else { return };
    let all = let_in_by_all(&cluster, &release, QUOTA);
    assert!((QUOTA..=QUOTA + 3 * LEASE).contains(&all), "{all}");
    let more = let_in_by_all(&cluster, &release, QUOTA);
    assert!(all + more <= QUOTA + 3 * LEASE + 1, "{all} and {more}");
    let refused = cluster.proxies[2].client().get(&release.index());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // The leases that were let in beyond the quota have to be refilled as well.
    assert!((1..=61 * (3 * LEASE as u64 + 1)).contains(&wait), "{wait}");
}

#[test]
fn what_is_used_at_one_proxy_is_used_at_the_others_and_they_say_so() {
    let Some((cluster, release)) = started(2) else { return };
    assert_eq!(let_in(&cluster.proxies[0], &release, QUOTA), QUOTA, "one proxy lets in all of it");
    assert!(let_in(&cluster.proxies[1], &release, 3 * LEASE) <= LEASE + 1);
    eventually("a full count at the other proxy", || {
        let answer = cluster.proxies[1].client().get(&release.index());
        let left = answer.header("ratelimit").unwrap().to_owned();
        left.starts_with("\"anonymous\";r=0;").then_some(())
    });
    let keys = cluster.redis.command("KEYS *");
    assert!(keys.contains("scriptorium:bucket:") && !keys.contains("127.0.0.1"), "{keys}");
}

#[test]
fn without_the_engine_each_proxy_lets_in_its_part() {
    let Some((mut cluster, release)) = started(3) else { return };
    cluster.redis.down();
    cluster.wait_for("alone", 1);
    let part = QUOTA / 3;
    for proxy in &cluster.proxies {
        assert_eq!(let_in(proxy, &release, part + 5), part);
    }
    cluster.redis.up();
    cluster.wait_for("together", 3);
    let more = let_in_by_all(&cluster, &release, QUOTA);
    assert!(more <= 3 * LEASE + 1, "{more} more after the engine's return");
}

#[test]
fn an_engine_that_stands_still_keeps_nobody_out_who_has_a_part_left_and_hears_of_it_later() {
    let Some((cluster, release)) = started(2) else { return };
    cluster.redis.signal("STOP");
    assert_eq!(let_in(&cluster.proxies[0], &release, QUOTA / 2), QUOTA / 2);
    cluster.redis.signal("CONT");
    cluster.wait_for("together", 2);
    eventually("a debt that is settled without a request", || {
        let metrics = cluster.proxies[0].admin().get("/metrics").ok().text();
        metrics.contains("scriptorium_cluster_calls_total{call=\"settle\",outcome=\"ok\"}").then_some(())
    });
    let more = let_in_by_all(&cluster, &release, QUOTA);
    assert!(more <= QUOTA / 2 + 2 * LEASE + 1, "{more} more than half of the quota");
}

#[test]
fn what_a_client_used_counts_on_when_a_process_hands_its_sockets_over() {
    let Some((mut cluster, release)) = started(1) else { return };
    let before = let_in(&cluster.proxies[0], &release, QUOTA / 2);
    assert_eq!(before, QUOTA / 2);
    cluster.proxies[0].hand_over();
    super::wait_for(&cluster.proxies[0], "together", 1);
    let after = let_in(&cluster.proxies[0], &release, QUOTA);
    assert!((QUOTA..=QUOTA + 2 * LEASE).contains(&(before + after)), "{before} and {after}");
}
