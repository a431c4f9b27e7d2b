//! What one proxy learned that is no success none asks for again: an absence, a refusal, an answer that is no document, an
//! archive that is damaged.

use std::time::{Duration, Instant};

use serde_json::json;

use super::flights::{crowd, one_client_each};
use super::{Cluster, metric};
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, eventually, noise, within};

#[test]
fn what_is_not_there_one_asks_for_and_all_know_for_a_while() {
    let Some(cluster) = Cluster::of(3) else { return };
    let [crowded, later] = ["nobody", "later"].map(|name| Release::new(name, "1.0.0"));
    for answer in crowd(&cluster, &crowded.index(), &crowded.index()) {
        answer.problem(404, "not-found");
    }
    assert_eq!(cluster.upstream.requests(&crowded.index()), 1);
    let ask = |release: &Release| {
        for proxy in &cluster.proxies {
            proxy.client().get(&release.index()).problem(404, "not-found");
            proxy.client().get(&release.exact()).problem(404, "not-found");
        }
    };
    ask(&later);
    let asked = || (cluster.upstream.requests(&later.index()), cluster.upstream.requests(&later.exact()));
    assert_eq!(asked(), (1, 1), "of one after the other one asks");
    // What somebody declares out of date is asked for again, whatever the note says.
    cluster.upstream.publish(&later);
    cluster.proxies[2].invalidate(&json!({"volume": "later"})).ok();
    for proxy in &cluster.proxies {
        eventually("the release", || (proxy.client().get(&later.exact()).status == 200).then_some(()));
    }
}

#[test]
fn an_absence_is_old_everywhere_when_it_is_old_where_it_was_learned() {
    let Some(cluster) = Cluster::with(3, |setup| setup.set("cache.negative_ttl", "3s")) else { return };
    let release = Release::new("lamp", "1.0.0");
    let begun = Instant::now();
    cluster.proxies[0].client().get(&release.index()).problem(404, "not-found");
    cluster.upstream.publish(&release);
    let found = |proxy: &Proxy| proxy.client().get(&release.index()).status == 200;
    eventually("the new answer", || found(&cluster.proxies[1]).then_some(()));
    assert!(begun.elapsed().as_secs() >= 2, "the second did not know what the first had learned");
    let known = || found(&cluster.proxies[2]).then_some(());
    within(Duration::from_millis(500), "no older one at the third", known);
}

#[test]
fn an_archive_that_came_damaged_fails_all_who_wait_and_is_tried_anew_for_who_comes_later() {
    let Some(cluster) = Cluster::with(3, |setup| setup.set("upstream.retries", 0)) else { return };
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(1, 1 << 18)));
    let whole = release.archive();
    cluster.upstream.publish_as(&release, whole[..whole.len() - 100].to_vec());
    for proxy in &cluster.proxies {
        proxy.client().get(&release.exact()).ok();
    }
    for answer in one_client_each(&cluster, &release.source(), &release.download()) {
        answer.problem(502, "about:blank");
    }
    assert_eq!(cluster.upstream.requests(&release.source()), 1);
    cluster.upstream.publish(&release);
    let answer = cluster.proxies[1].client().get(&release.download()).ok();
    assert!(answer.body == whole);
}

#[test]
fn what_is_no_document_and_what_is_refused_one_asks_for() {
    let Some(cluster) = Cluster::with(3, |setup| setup.set("upstream.retries", 0)) else { return };
    let [garbage, refused, gone] =
        ["garbage", "refused", "gone"].map(|name| Release::new(name, "1.0.0").index());
    cluster.upstream.reply(&garbage, Reply::json(&json!({"items": "none"})));
    cluster.upstream.reply(&refused, Reply::problem(400, "validation-failed", "No", "Not like this."));
    cluster.upstream.reply(&gone, Reply::problem(410, "not-found", "Gone", "It was withdrawn."));
    for (target, status, slug) in
        [(&garbage, 502, "about:blank"), (&refused, 400, "validation-failed"), (&gone, 410, "not-found")]
    {
        for answer in one_client_each(&cluster, target, target) {
            answer.problem(status, slug);
        }
        assert_eq!(cluster.upstream.requests(target), 1, "{target}");
    }
    let followed = "scriptorium_cluster_flights_total{part=\"followed\"}";
    let followed = cluster.proxies.iter().filter_map(|proxy| metric(proxy, followed)?.parse::<u32>().ok());
    assert!(followed.sum::<u32>() >= 6, "nobody followed");
}
