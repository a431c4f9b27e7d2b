//! What a registry is asked by all proxies together: its budget, its slots, and the pauses that it asks for.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::{Cluster, TOGETHER, obeyed_within};
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually, within};

const BUDGET: usize = 30;
/// A permit comes free so long after its request.
const WINDOW: Duration = Duration::from_secs(60);

fn thrifty(setup: Setup) -> Setup {
    setup.set("upstream.requests_per_minute", BUDGET as i64).set("upstream.retries", 0)
}

/// What the registry had received, and before and after which moments that was looked at.
#[derive(Default)]
pub(super) struct Samples(Mutex<Vec<(Instant, usize, Instant)>>);

impl Samples {
    pub(super) fn take(&self, upstream: &Upstream) -> usize {
        let before = Instant::now();
        let seen = upstream.seen().len();
        self.0.lock().unwrap().push((before, seen, Instant::now()));
        seen
    }

    /// In no window the registry received more than `budget`.
    pub(super) fn assert_bound(&self, budget: usize) {
        let samples = self.0.lock().unwrap();
        for (begin, seen_before, _) in samples.iter() {
            let within = samples.iter().filter(|(_, _, end)| end.duration_since(*begin) < WINDOW);
            let seen = within.map(|(_, seen, _)| *seen).max().unwrap_or(0);
            assert!(seen.saturating_sub(*seen_before) <= budget, "{seen_before} and then {seen} in a window");
        }
    }

    /// Asks all proxies at once.
    fn ask_all(&self, cluster: &Cluster, what: &str) {
        thread::scope(|scope| {
            for proxy in &cluster.proxies {
                scope.spawn(|| ask(proxy, what, BUDGET));
            }
        });
        self.take(&cluster.upstream);
    }
}

/// Asks for so many volumes that nobody has asked for.
fn ask(proxy: &Proxy, what: &str, volumes: usize) {
    for number in 0..volumes {
        let name = format!("/api/v1/index/volumes/{what}-{}-{number}", proxy.pid());
        let status = proxy.client().get(&name).status;
        assert!([404, 502, 503].contains(&status), "{status}");
    }
}

#[test]
fn one_proxy_may_use_all_of_the_budget_and_nothing_makes_it_more() {
    let Some(mut cluster) = Cluster::with(3, thrifty) else { return };
    let samples = Samples::default();
    samples.take(&cluster.upstream);
    let mut round = 0;
    within(WINDOW, "a budget that one proxy used up", || {
        round += 1;
        ask(&cluster.proxies[0], &format!("first-{round}"), 5);
        (samples.take(&cluster.upstream) >= BUDGET).then_some(())
    });
    samples.ask_all(&cluster, "together");
    cluster.redis.command("FLUSHALL");
    samples.ask_all(&cluster, "flushed");
    cluster.redis.signal("STOP");
    samples.ask_all(&cluster, "stopped");
    cluster.redis.signal("CONT");
    samples.ask_all(&cluster, "continued");
    cluster.redis.down();
    samples.ask_all(&cluster, "killed");
    cluster.redis.up();
    cluster.wait_for("together", 3);
    samples.ask_all(&cluster, "restarted");
    cluster.proxies[0].crash();
    cluster.proxies[0].revive();
    samples.ask_all(&cluster, "revived");
    samples.assert_bound(BUDGET);
}

#[test]
fn without_the_engine_each_proxy_has_a_part_and_all_of_them_the_budget() {
    let Some(mut cluster) = Cluster::with(3, thrifty) else { return };
    let samples = Samples::default();
    samples.take(&cluster.upstream);
    cluster.redis.down();
    cluster.wait_for("alone", 1);
    for (index, proxy) in cluster.proxies.iter().enumerate() {
        let before = samples.take(&cluster.upstream);
        ask(proxy, "alone", BUDGET);
        assert!(samples.take(&cluster.upstream) > before, "proxy {index} has nothing");
    }
    cluster.redis.up();
    cluster.wait_for("together", 3);
    samples.ask_all(&cluster, "again");
    samples.assert_bound(BUDGET);
}

#[test]
fn a_pause_that_one_proxy_learns_of_is_obeyed_by_the_other_and_ended_for_both() {
    let Some(cluster) = Cluster::of(2) else { return };
    let (release, other) = (Release::new("lamp", "1.0.0"), Release::new("other", "1.0.0"));
    cluster.upstream.publish(&other);
    let often = Reply::problem(429, "rate-limited", "Rate limited", "Slow down.").with("retry-after", "300");
    cluster.upstream.reply(&release.index(), often);
    cluster.proxies[0].client().get(&release.index()).could_not_ask();
    obeyed_within(TOGETHER, Instant::now(), "a pause", &cluster.proxies, is_paused);
    let before = cluster.upstream.seen().len();
    cluster.proxies[1].client().get(&other.index()).could_not_ask();
    assert_eq!(cluster.upstream.seen().len(), before);
    cluster.redis.command("FLUSHALL");
    let resumed = cluster.proxies[1].admin().post("/admin/v1/upstreams/public/resume", "").ok();
    drop(resumed);
    // What the first proxy learned is its own, so it is told again until that one is resumed.
    eventually("a pause that is told again", || is_paused(&cluster.proxies[1]).then_some(()));
    cluster.proxies[0].admin().post("/admin/v1/upstreams/public/resume", "").ok();
    eventually("an end at both", || cluster.proxies.iter().all(|proxy| !is_paused(proxy)).then_some(()));
    cluster.proxies[1].client().get(&other.index()).ok();
}

fn is_paused(proxy: &Proxy) -> bool {
    let status = proxy.admin().get("/admin/v1/status").ok().json();
    !status["upstreams"][0]["paused_seconds"].as_object().is_none_or(serde_json::Map::is_empty)
}

#[test]
fn a_breaker_that_opened_at_one_proxy_keeps_the_other_from_asking() {
    let Some(cluster) = Cluster::with(2, |setup| setup.set("upstream.retries", 0)) else { return };
    cluster.upstream.otherwise(Reply::failure(500));
    within(Duration::from_secs(60), "a breaker that is open", || {
        ask(&cluster.proxies[0], &format!("failing-{}", cluster.upstream.seen().len()), 1);
        is_paused(&cluster.proxies[0]).then_some(())
    });
    obeyed_within(TOGETHER, Instant::now(), "an open breaker", &cluster.proxies, is_paused);
    let metrics = cluster.proxies[1].admin().get("/metrics").ok().text();
    assert!(metrics.contains("scriptorium_upstream_up{upstream=\"public\"} 1"), "its own is closed");
}
