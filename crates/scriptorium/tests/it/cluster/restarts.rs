//! What it costs to replace the processes of a cluster: never more requests than the budget allows, and nobody starves.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::budget::Samples;
use super::{Cluster, wait_for};
use crate::support::{Answer, Proxy, Setup, Upstream, eventually, within};

const BUDGET: usize = 150;
/// Between requests of one proxy: all three ask for four fifths of the budget.
const PACE: Duration = Duration::from_millis(1_500);
/// The longest that a proxy refuses cold requests, from when it is ready. The page promises it.
const SOON: Duration = Duration::from_secs(5);

fn thrifty(setup: Setup) -> Setup {
    setup.set("upstream.requests_per_minute", BUDGET as i64).set("upstream.retries", 0)
}

/// Cold requests, and what the registry received of them.
struct ColdLoad<'a> {
    upstream: &'a Upstream,
    samples: Samples,
    asked: AtomicUsize,
}

impl ColdLoad<'_> {
    /// Asks for what nobody asked for.
    fn answer(&self, proxy: &Proxy) -> Answer {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = proxy.client().get(&format!("/api/v1/index/volumes/cold-{number}"));
        self.samples.take(self.upstream);
        assert!([404, 503].contains(&answer.status), "{}", answer.status);
        answer
    }

    /// The same. Whether the registry could be asked.
    fn ask(&self, proxy: &Proxy) -> bool {
        self.answer(proxy).status == 404
    }

    /// Asks at the pace of one proxy until `ends`. The longest time without a permit.
    fn ask_until(&self, proxy: &Proxy, ends: impl Fn() -> bool) -> Duration {
        let (mut longest, mut refused) = (Duration::ZERO, None);
        while !ends() {
            let begun = Instant::now();
            if self.ask(proxy) {
                refused = None;
                thread::sleep(PACE.saturating_sub(begun.elapsed()));
            } else {
                let since: Instant = *refused.get_or_insert(begun);
                longest = longest.max(since.elapsed());
                thread::sleep(Duration::from_millis(100));
            }
        }
        longest
    }

    /// Asks all `proxies` for a while.
    fn ask_all(&self, proxies: &[Proxy], lasting: Duration) -> Duration {
        let end = Instant::now() + lasting;
        thread::scope(|scope| {
            let asking: Vec<_> = proxies
                .iter()
                .map(|proxy| scope.spawn(move || self.ask_until(proxy, || Instant::now() >= end)))
                .collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).max().unwrap()
        })
    }

    /// Replaces one process in order while the others are asked, and asks the new one for a moment.
    fn replace(&self, proxies: &mut [Proxy], index: usize, replace: fn(&mut Proxy)) -> Duration {
        let (before, rest) = proxies.split_at_mut(index);
        let (replaced, after) = rest.split_first_mut().unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let over = &is_over;
            let others: Vec<_> = before
                .iter()
                .chain(&*after)
                .map(|proxy| scope.spawn(move || self.ask_until(proxy, || over.load(Ordering::Relaxed))))
                .collect();
            replace(replaced);
            let end = Instant::now() + PACE * 2;
            let own = self.ask_until(replaced, || Instant::now() >= end);
            is_over.store(true, Ordering::Relaxed);
            others.into_iter().map(|other| other.join().unwrap()).fold(own, Duration::max)
        })
    }
}

#[test]
fn a_rolling_restart_neither_starves_a_registry_nor_exceeds_its_budget() {
    let Some(mut cluster) = Cluster::with(3, thrifty) else { return };
    let load =
        ColdLoad { upstream: &cluster.upstream, samples: Samples::default(), asked: AtomicUsize::new(0) };
    let proxies = &mut cluster.proxies;
    let mut longest = load.ask_all(proxies, Duration::from_secs(6));
    for index in 0..proxies.len() {
        longest = longest.max(load.replace(proxies, index, Proxy::restart));
    }
    // Where nobody had a share, it took longer to see than a loan that its lender can have back.
    longest = longest.max(load.ask_all(proxies, Duration::from_secs(20)));
    assert!(longest <= SOON, "{longest:?} without a permit");

    proxies.iter_mut().for_each(Proxy::stop);
    proxies.iter_mut().for_each(Proxy::revive);
    let stopped = load.ask_all(proxies, Duration::from_secs(8));
    assert!(stopped <= SOON, "{stopped:?} without a permit");

    // Far more than there may be.
    thread::scope(|scope| {
        for proxy in &*proxies {
            scope.spawn(|| (0..BUDGET / 2).for_each(|_| _ = load.ask(proxy)));
        }
    });
    assert!(load.asked.load(Ordering::Relaxed) > BUDGET + BUDGET / 2);
    load.samples.assert_bound(BUDGET);
}

#[test]
fn a_proxy_that_waits_for_its_share_says_for_how_long() {
    let Some(mut cluster) = Cluster::with(2, thrifty) else { return };
    cluster.proxies.iter_mut().for_each(Proxy::crash);
    cluster.proxies.iter_mut().for_each(Proxy::revive);
    cluster.wait_for("together", 2);
    let proxy = &cluster.proxies[0];
    let answer = eventually("a refusal that knows the pool", || {
        let answer = proxy.client().get("/api/v1/index/volumes/cold");
        assert_eq!(answer.status, 503);
        (answer.header("retry-after") != Some("1")).then_some(answer)
    });
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((40..=75).contains(&wait), "{wait}");
    let status = proxy.admin().get("/admin/v1/status").ok().json();
    let budget = &status["upstreams"][0]["budget"];
    let told = budget["wait_seconds"].as_u64().unwrap();
    assert!(budget["left"] == 0 && told <= wait && told + 10 > wait, "{budget}, refused for {wait}");
    let explained = proxy.admin().get("/admin/v1/explain?volume=cold&version=1.0.0").ok().json();
    assert!(
        explained["upstream"]["over_budget_seconds"].as_u64().is_some_and(|over| over <= wait),
        "{explained}"
    );
    let metrics = proxy.admin().get("/metrics").ok().text();
    assert!(metrics.contains("scriptorium_upstream_budget_left{upstream=\"public\"} 0"), "{metrics}");
}

#[test]
fn a_proxy_that_follows_a_killed_one_takes_the_place_of_one_that_ends_in_order() {
    let Some(mut cluster) = Cluster::with(2, thrifty) else { return };
    let load =
        ColdLoad { upstream: &cluster.upstream, samples: Samples::default(), asked: AtomicUsize::new(0) };
    cluster.proxies[0].crash();
    cluster.proxies[0].revive();
    // The one that was killed may have lent its share, so this one has none; the other's is enough for both.
    wait_for(&cluster.proxies[0], "together", 2);
    eventually("a permit that was lent", || load.ask(&cluster.proxies[0]).then_some(()));
    cluster.proxies[1].stop();
    cluster.proxies[1].revive();
    let longest = load.ask_all(&cluster.proxies, Duration::from_secs(15));
    assert!(longest <= SOON, "{longest:?} without a permit");
    load.samples.assert_bound(BUDGET);
}

#[test]
fn processes_that_hand_their_sockets_over_neither_starve_a_registry_nor_exceed_its_budget() {
    let Some(mut cluster) = Cluster::with(2, thrifty) else { return };
    let load =
        ColdLoad { upstream: &cluster.upstream, samples: Samples::default(), asked: AtomicUsize::new(0) };
    let proxies = &mut cluster.proxies;
    let mut longest = load.ask_all(proxies, Duration::from_secs(6));
    for index in [0, 1, 0] {
        longest = longest.max(load.replace(proxies, index, Proxy::hand_over));
    }
    longest = longest.max(load.ask_all(proxies, Duration::from_secs(15)));
    assert!(longest <= SOON, "{longest:?} without a permit");
    proxies.iter().for_each(|proxy| wait_for(proxy, "together", 2));
    thread::scope(|scope| {
        for proxy in &*proxies {
            scope.spawn(|| (0..BUDGET).for_each(|_| _ = load.ask(proxy)));
        }
    });
    assert!(load.asked.load(Ordering::Relaxed) > BUDGET * 2);
    load.samples.assert_bound(BUDGET);
}

#[test]
fn what_a_killed_proxy_did_not_hold_the_others_use_and_they_say_when_there_is_more() {
    let Some(mut cluster) = Cluster::with(3, thrifty) else { return };
    let load =
        ColdLoad { upstream: &cluster.upstream, samples: Samples::default(), asked: AtomicUsize::new(0) };
    let taken = |proxy: &Proxy, most: usize| (0..most).take_while(|_| load.ask(proxy)).count();
    // One proxy uses nine tenths, which it has to borrow.
    let most = BUDGET * 9 / 10;
    let mut used = 0;
    eventually("nine tenths of the budget", || {
        used += taken(&cluster.proxies[0], most - used);
        (used == most).then_some(())
    });
    let killed = Instant::now();
    cluster.proxies[0].crash();
    let others = &cluster.proxies[1..];
    let mut rest = 0;
    // The other third it held ahead.
    eventually("what it did not hold", || {
        rest += others.iter().map(|proxy| taken(proxy, 1)).sum::<usize>();
        (rest >= (BUDGET - most) * 2 / 3).then_some(())
    });
    let promised = eventually("a refusal that knows the pool", || {
        let answer = load.answer(&others[0]);
        let wait = answer.header("retry-after")?.parse::<u64>().ok().filter(|wait| *wait > 1)?;
        Some(Instant::now() + Duration::from_secs(wait))
    });
    assert!(promised <= killed + Duration::from_secs(76), "{:?} after the death", promised - killed);
    let status = others[0].admin().get("/admin/v1/status").ok().json();
    assert_eq!(status["upstreams"][0]["budget"]["left"], 0, "{status}");
    // The promise is kept.
    within(Duration::from_secs(90), "a permit", || load.ask(&others[0]).then_some(()));
    assert!(Instant::now() <= promised + Duration::from_secs(10), "{:?} late", promised.elapsed());
    load.samples.assert_bound(BUDGET);
}

#[test]
fn while_proxies_disagree_on_how_many_they_are_and_after_another_came_the_budget_holds() {
    let Some(mut cluster) = Cluster::with(3, thrifty) else { return };
    let load =
        ColdLoad { upstream: &cluster.upstream, samples: Samples::default(), asked: AtomicUsize::new(0) };
    let use_up = |proxies: &[Proxy]| {
        thread::scope(|scope| {
            for proxy in proxies {
                scope.spawn(|| (0..BUDGET / 2).for_each(|_| _ = load.ask(proxy)));
            }
        });
    };
    use_up(&cluster.proxies);
    for index in 0..3 {
        cluster.proxies[index].restart_as(|setup| setup.set("cluster.nodes", 4));
        use_up(&cluster.proxies);
    }
    let setup = cluster.redis.joined_by(cluster.bucket.below(Setup::before(&cluster.upstream)), 4);
    cluster.proxies.push(thrifty(setup).start());
    cluster.wait_for("together", 4);
    use_up(&cluster.proxies);
    load.samples.assert_bound(BUDGET);
    assert!(load.asked.load(Ordering::Relaxed) > BUDGET * 4);
}
