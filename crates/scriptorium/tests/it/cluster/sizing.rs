//! What the engine and the bucket are asked, held against the numbers of docs/cluster.md.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Cluster;
use crate::support::{Release, within};

/// Requests a second of a proxy that is asked nothing, with one registry: beats, news, pauses, and two pools.
const FIXED: f64 = 2.0 + 4.0 + 2.0 + 2.0;
/// For one client at one proxy, at most.
const CLIENT: f64 = 4.0;
/// Requests a second to the bucket of a proxy that is asked nothing: the record of news.
const READS: f64 = 1.0 / 30.0;
/// Requests to the bucket for a cold document, at most.
const COLD: f64 = 12.0;
/// A pause takes longer than it should on a busy machine, never less.
const SLACK: f64 = 1.1;

/// Calls to the engine by all proxies so far: all of them, or those with this name.
fn calls(cluster: &Cluster, name: &str) -> f64 {
    let of = |metrics: String| -> f64 {
        let calls = metrics.lines().filter_map(|line| line.strip_prefix("scriptorium_cluster_calls_total{"));
        let named = calls.filter(|labels| labels.starts_with(&format!("call=\"{name}")));
        named.filter_map(|labels| labels.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    cluster.proxies.iter().map(|proxy| of(proxy.admin().get("/metrics").ok().text())).sum()
}

#[test]
fn the_engine_and_the_bucket_are_asked_as_often_as_the_page_says() {
    let Some(cluster) = Cluster::with(3, |setup| setup.set("cache.index_ttl", "1h")) else { return };
    let (release, proxies) = (Release::new("lamp", "1.0.0"), cluster.proxies.len() as f64);
    cluster.upstream.publish(&release);
    cluster.proxies.iter().for_each(|proxy| drop(proxy.client().get(&release.index()).ok()));

    let (begun, before) = (Instant::now(), calls(&cluster, ""));
    within(Duration::from_secs(30), "some seconds", || (begun.elapsed().as_secs() >= 5).then_some(()));
    let (calls_a_second, fixed) =
        ((calls(&cluster, "") - before) / begun.elapsed().as_secs_f64(), FIXED * proxies);
    assert!((fixed / 3.0..fixed * SLACK).contains(&calls_a_second), "{calls_a_second} instead of {fixed}");

    let (begun, before, bucket) = (Instant::now(), calls(&cluster, ""), cluster.bucket.requests());
    for _ in 0..1_000 {
        cluster.proxies.iter().for_each(|proxy| assert!(proxy.client().get(&release.index()).ok().is_hit()));
    }
    let (more, time) = (calls(&cluster, "") - before, begun.elapsed().as_secs_f64());
    let most = (FIXED + CLIENT) * proxies * time * SLACK + proxies;
    assert!(more <= most, "{more} calls for 3,000 hits in {time} s, at most {most}");
    assert_eq!(cluster.upstream.requests(&release.index()), 1);
    let (read, most) = ((cluster.bucket.requests() - bucket) as f64, (READS * time + 1.0) * proxies);
    assert!(read <= most, "{read} requests to the bucket for 3,000 hits in {time} s, at most {most}");

    let bucket = cluster.bucket.requests();
    let counted = |name: &str| calls(&cluster, name);
    let before = ["lease", "release", "announce"].map(counted);
    for number in 0..50 {
        let cold = Release::new(&format!("cold-{number}"), "1.0.0");
        cluster.upstream.publish(&cold);
        cluster.proxies[number % 3].client().get(&cold.index()).ok();
    }
    within(Duration::from_secs(5), "the end of all fetches", || {
        (calls(&cluster, "release") >= before[1] + 50.0).then_some(())
    });
    let more = ["lease", "release", "announce"].map(counted);
    let more: Vec<_> = more.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(more, [50.0, 50.0, 0.0], "leases, releases and messages of 50 cold documents");
    let each = (cluster.bucket.requests() - bucket) as f64 / 50.0;
    assert!(each <= COLD, "{each} requests to the bucket for a cold document");

    cluster.proxies[0].invalidate(&json!({"volume": "cold-1"})).ok();
    within(Duration::from_secs(5), "news, once at once and once when it is in the bucket", || {
        (calls(&cluster, "announce") == before[2] + 2.0).then_some(())
    });
}
