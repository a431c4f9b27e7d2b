//! What is promised of proxies that work together, with its number: by the clock of whoever asks, and by what the registry counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Cluster, TOGETHER, obeyed_within, wait_for};
use crate::support::bucket::Bucket;
use crate::support::publisher::{Instruction, Publisher};
use crate::support::redis::Redis;
use crate::support::{Proxy, Publishing, Release, Setup};

/// When the engine's absence is noticed.
const NOTICED: Duration = Duration::from_secs(2);
/// When its return is used.
const USED: Duration = Duration::from_secs(5);

fn is(state: &'static str) -> impl Fn(&Proxy) -> bool + Sync {
    move |proxy| proxy.admin().get("/admin/v1/status").ok().json()["cluster"]["state"] == state
}

#[test]
fn the_engines_absence_is_noticed_and_its_return_is_used() {
    let Some(mut cluster) = Cluster::of(3) else { return };
    cluster.redis.down();
    obeyed_within(NOTICED, Instant::now(), "a killed engine", &cluster.proxies, is("alone"));
    cluster.redis.up();
    obeyed_within(USED, Instant::now(), "its return", &cluster.proxies, is("together"));
    cluster.redis.signal("STOP");
    obeyed_within(NOTICED, Instant::now(), "a frozen engine", &cluster.proxies, is("alone"));
    cluster.redis.signal("CONT");
    obeyed_within(USED, Instant::now(), "its return", &cluster.proxies, is("together"));
    cluster.redis.command("REPLICAOF 127.0.0.1 1");
    obeyed_within(NOTICED, Instant::now(), "an engine without writes", &cluster.proxies, is("alone"));
    cluster.redis.command("REPLICAOF NO ONE");
    obeyed_within(USED, Instant::now(), "its return", &cluster.proxies, is("together"));
}

#[test]
fn a_registry_has_no_more_requests_at_once_than_it_is_allowed_over_all_proxies() {
    const MOST: usize = 6;
    let Some(cluster) = Cluster::with(3, |setup| setup.set("upstream.max_concurrent", MOST as i64)) else {
        return;
    };
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (here, ever) = (Arc::clone(&now), Arc::clone(&most));
    cluster.upstream.handle(move |_| {
        ever.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        here.fetch_sub(1, Ordering::SeqCst);
        None
    });
    thread::scope(|scope| {
        for (index, proxy) in cluster.proxies.iter().enumerate() {
            for client in 0..MOST {
                scope.spawn(move || {
                    for number in 0..4 {
                        let name = format!("lamp-{index}-{client}-{number}");
                        proxy.client().get(&Release::new(&name, "1.0.0").index()).problem(404, "not-found");
                    }
                });
            }
        }
    });
    let most = most.load(Ordering::SeqCst);
    assert!((2..=MOST).contains(&most), "{most} at once");
    assert_eq!(now.load(Ordering::SeqCst), 0);
}

#[test]
fn an_upload_begun_at_one_proxy_is_sent_to_another_and_finalized_at_the_third_and_all_show_it() {
    let (Some(bucket), Some(redis)) = (Bucket::start(), Redis::start()) else { return };
    let registry = Publishing::start();
    let setup = || {
        let setup = redis.joined_by(bucket.below(Setup::before(&registry)), 3).set("upstream.writes", true);
        ["index", "release", "negative"]
            .iter()
            .fold(setup, |setup, kind| setup.set(&format!("cache.{kind}_ttl"), "1h"))
    };
    let proxies = [(); 3].map(|()| setup().start());
    proxies.iter().for_each(|proxy| wait_for(proxy, "together", 3));
    let publisher = |index: usize| Publisher::at(proxies[index].client());
    let releases = ["1.0.0", "1.1.0", "1.2.0"].map(|version| Release::new("@acme/lamp", version));
    for (first, release) in releases.iter().enumerate() {
        for proxy in &proxies {
            proxy.client().get(&release.exact()).problem(404, "not-found");
            proxy.client().get(&release.index());
        }
        let intent = publisher(first).announce(release);
        assert_eq!(intent.status, 201, "{}", intent.text());
        let intent = intent.json();
        let Instruction { method, target, fields, .. } = Instruction::of(&intent);
        let token = format!("Bearer {}", Publishing::TOKEN);
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = fields.chain([("authorization", &*token)]).collect();
        let other = proxies[(first + 1) % 3].client();
        let sent = other.send_body(&method, &target, &fields, &release.archive());
        assert!((200..300).contains(&sent.status), "{} {}", sent.status, sent.text());
        let finalized = publisher((first + 2) % 3).finalize(release, &intent);
        assert_eq!(finalized.status, 201, "{}", finalized.text());
        let shows = |proxy: &Proxy| {
            let index = proxy.client().get(&release.index());
            let rows = if index.status == 200 { index.json() } else { serde_json::Value::Null };
            let mut rows = rows["items"].as_array().into_iter().flatten();
            rows.any(|row| row["version"] == *release.version)
                && proxy.client().get(&release.exact()).status == 200
        };
        obeyed_within(TOGETHER, Instant::now(), "a release", &proxies, shows);
        for proxy in &proxies {
            assert!(proxy.client().get(&release.download()).ok().body == release.archive());
        }
        assert_eq!(registry.requests(&release.source()), 0, "the archive was in the bucket");
    }
}
