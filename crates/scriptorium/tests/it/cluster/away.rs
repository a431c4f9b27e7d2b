//! Requests that are under way while the engine goes, stands still, turns into a replica or comes back: none fails that a proxy
//! without one would have answered.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bibliotheca::ReplyHold;

use super::Cluster;
use crate::support::redis::Redis;
use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Reply, Upstream, noise, within};

/// Cold questions that were asked, and those that failed.
#[derive(Default)]
struct Questions {
    asked: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Questions {
    /// Has one new release after the other fetched until `is_over`.
    fn ask(&self, upstream: &Upstream, proxy: &Proxy, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let release = Release::new(&format!("lamp-{number}"), "1.0.0");
            upstream.publish(&release);
            for target in [release.index(), release.download()] {
                let answer = proxy.client().get(&target);
                if answer.status != 200 {
                    self.failed.lock().unwrap().push(format!("{target} {}", answer.text()));
                }
            }
        }
    }

    fn wait_for(&self, more: usize) {
        let before = self.asked.load(Ordering::Relaxed);
        let enough = || (self.asked.load(Ordering::Relaxed) >= before + more).then_some(());
        within(Duration::from_secs(60), "questions", enough);
    }
}

/// What happens to an engine, and how it ends.
struct Trouble {
    name: &'static str,
    begin: fn(&mut Redis),
    end: fn(&mut Redis),
    /// Whether proxies notice it.
    is_absence: bool,
}

const TROUBLES: [Trouble; 5] = [
    Trouble { name: "killed", begin: Redis::down, end: Redis::up, is_absence: true },
    Trouble {
        name: "stopped",
        begin: |redis| redis.signal("STOP"),
        end: |redis| redis.signal("CONT"),
        is_absence: true,
    },
    Trouble {
        name: "paused",
        begin: |redis| drop(redis.command("CLIENT PAUSE 60000 WRITE")),
        end: |redis| drop(redis.command("CLIENT UNPAUSE")),
        is_absence: true,
    },
    Trouble {
        name: "a replica of nobody",
        begin: |redis| drop(redis.command("REPLICAOF 127.0.0.1 1")),
        end: |redis| drop(redis.command("REPLICAOF NO ONE")),
        is_absence: true,
    },
    Trouble {
        name: "emptied",
        begin: |redis| drop(redis.command("FLUSHALL")),
        end: |_| {},
        is_absence: false,
    },
];

#[test]
fn no_cold_question_fails_whatever_becomes_of_the_engine() {
    let Some(mut cluster) = Cluster::of(3) else { return };
    let Cluster { proxies, redis, upstream, .. } = &mut cluster;
    let (questions, proxies) = (Questions::default(), &*proxies);
    let wait_for = |state, nodes| proxies.iter().for_each(|proxy| super::wait_for(proxy, state, nodes));
    for Trouble { name, begin, end, is_absence } in TROUBLES {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for proxy in proxies.iter().chain(proxies) {
                scope.spawn(|| questions.ask(upstream, proxy, &is_over));
            }
            questions.wait_for(6);
            begin(redis);
            questions.wait_for(12);
            if is_absence {
                wait_for("alone", 1);
            }
            end(redis);
            questions.wait_for(12);
            wait_for("together", 3);
            is_over.store(true, Ordering::Relaxed);
        });
        let failed = std::mem::take(&mut *questions.failed.lock().unwrap());
        assert!(failed.is_empty(), "{name}: {failed:#?}");
    }
}

/// Longer than a proxy uses what the others lent it, once the engine is gone.
const SLOW: Duration = Duration::from_secs(13);

/// A registry whose first answer to each target is slow, as it would be where the way there hangs.
fn slow_at_first(upstream: &Upstream) {
    let asked = Mutex::new(HashSet::new());
    upstream.handle(move |request| {
        if asked.lock().unwrap().insert(request.target.clone()) {
            thread::sleep(SLOW);
        }
        None
    });
}

#[test]
fn what_the_others_lent_is_given_back_and_the_requests_that_used_it_go_on() {
    let Some(mut cluster) = Cluster::with(3, |setup| setup.set("upstream.max_concurrent", 12)) else {
        return;
    };
    let releases: Vec<_> = (0..10).map(|number| Release::new(&format!("lamp-{number}"), "1.0.0")).collect();
    releases.iter().for_each(|release| cluster.upstream.publish(release));
    slow_at_first(&cluster.upstream);
    let mut asking: Vec<_> =
        releases.iter().map(|_| Conversation::open(cluster.proxies[0].client().0).unwrap()).collect();
    for (conversation, release) in asking.iter_mut().zip(&releases) {
        conversation.ask("GET", &release.index(), &[]).unwrap();
    }
    let under_way = || releases.iter().all(|release| cluster.upstream.requests(&release.index()) == 1);
    within(Duration::from_secs(5), "more requests than its share", || under_way().then_some(()));
    cluster.redis.down();
    for conversation in asking {
        let answer = conversation.patient().answer().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let again = releases.iter().filter(|release| cluster.upstream.requests(&release.index()) > 1);
    assert!(again.count() >= 6, "nothing was given back");
}

#[test]
fn a_download_that_used_what_the_others_lent_goes_on_where_it_was() {
    let Some(mut cluster) = Cluster::with(3, |setup| setup.set("upstream.max_concurrent", 3)) else { return };
    let release = |number: u64| {
        let data = Entry::file("data.bin", noise(number, 1 << 18));
        Release::new(&format!("lamp-{number}"), "1.0.0").adding(data)
    };
    let releases = [1, 2, 3].map(release);
    let mut asking = Vec::new();
    let mut holds = Vec::new();
    for release in &releases {
        cluster.upstream.publish(release);
        cluster.proxies[0].client().get(&release.exact()).ok();
        let (pausing, hold) = Reply::archive(release.archive()).pausing_after(1 << 16);
        cluster.upstream.reply(&release.source(), pausing);
        holds.push(hold);
        let mut conversation = Conversation::open(cluster.proxies[0].client().0).unwrap();
        conversation.ask("GET", &release.download(), &[]).unwrap();
        asking.push(conversation);
    }
    let under_way = || releases.iter().all(|release| cluster.upstream.requests(&release.source()) == 1);
    within(Duration::from_secs(5), "more requests than its share", || under_way().then_some(()));
    cluster.redis.down();
    releases.iter().for_each(|release| cluster.upstream.publish_ranged(release));
    let begun = Instant::now();
    within(2 * SLOW, "the end of what was lent", || (begun.elapsed() > SLOW).then_some(()));
    holds.into_iter().for_each(ReplyHold::release);
    for (conversation, release) in asking.into_iter().zip(&releases) {
        let answer = conversation.patient().answer().unwrap();
        assert!(answer.status == 200 && answer.body == release.archive(), "{}", answer.text());
    }
    let again = releases.iter().filter(|release| cluster.upstream.requests(&release.source()) > 1);
    assert!(again.count() >= 2, "nothing was given back");
}
