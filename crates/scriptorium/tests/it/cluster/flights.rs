//! One fetch for all proxies: a crowd on every node is one request, and whoever fetches may die.

use std::thread;
use std::time::Duration;

use super::{Cluster, metric};
use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Release, Reply, eventually, noise, within};

const CLIENTS: usize = 20;

/// Asks every proxy from many connections; the registry answers when every proxy knows who asks it.
pub(super) fn crowd(cluster: &Cluster, held: &str, target: &str) -> Vec<Answer> {
    ask_all(cluster, CLIENTS, held, target)
}

/// The same from one connection to each proxy, for what is not kept: a client of a crowd that is read late asks a new question.
pub(super) fn one_client_each(cluster: &Cluster, held: &str, target: &str) -> Vec<Answer> {
    ask_all(cluster, 1, held, target)
}

fn ask_all(cluster: &Cluster, clients: usize, held: &str, target: &str) -> Vec<Answer> {
    const LEASES: &str = "scriptorium_cluster_calls_total{call=\"lease\",outcome=\"ok\"}";
    let leases = |proxy| metric(proxy, LEASES).map_or(0, |calls| calls.parse::<u64>().unwrap());
    let before: Vec<_> = cluster.proxies.iter().map(leases).collect();
    let hold = cluster.upstream.hold(held);
    let mut conversations: Vec<_> = cluster
        .proxies
        .iter()
        .flat_map(|proxy| (0..clients).map(|_| Conversation::open(proxy.client().0).unwrap()))
        .collect();
    for conversation in &mut conversations {
        conversation.ask("GET", target, &[]).unwrap();
    }
    eventually("a request", || (cluster.upstream.requests(held) > 0).then_some(()));
    for (proxy, before) in cluster.proxies.iter().zip(before) {
        eventually("a question for the lease", || (leases(proxy) > before).then_some(()));
    }
    hold.release();
    conversations.into_iter().map(|mut conversation| conversation.answer().unwrap()).collect()
}

#[test]
fn a_cold_document_and_a_cold_archive_are_fetched_once_for_all_nodes() {
    let Some(cluster) = Cluster::of(3) else { return };
    for turn in 0..3 {
        let release = Release::new(&format!("lamp-{turn}"), "1.0.0");
        let release = release.adding(Entry::file("data.bin", noise(turn, 1 << 20)));
        cluster.upstream.publish(&release);
        let answers = crowd(&cluster, &release.index(), &release.index());
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(cluster.upstream.requests(&release.index()), 1);
        crowd(&cluster, &release.exact(), &release.exact())
            .iter()
            .for_each(|answer| assert_eq!(answer.status, 200));
        assert_eq!(cluster.upstream.requests(&release.exact()), 1);
        let archive = release.archive();
        for answer in crowd(&cluster, &release.source(), &release.download()) {
            assert!(answer.status == 200 && answer.body == archive, "{}", answer.status);
        }
        assert_eq!(cluster.upstream.requests(&release.source()), 1);
    }
}

#[test]
fn a_fetcher_that_dies_or_freezes_is_replaced() {
    for way in ["KILL", "STOP"] {
        let Some(cluster) = Cluster::of(2) else { return };
        let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(1, 1 << 20)));
        cluster.upstream.publish(&release);
        cluster.proxies[1].client().get(&release.exact()).ok();
        let hold = cluster.upstream.hold(&release.source());
        let mut leader = Conversation::open(cluster.proxies[0].client().0).unwrap();
        leader.ask("GET", &release.download(), &[]).unwrap();
        eventually("the first fetch", || (cluster.upstream.requests(&release.source()) == 1).then_some(()));
        thread::scope(|scope| {
            let follower = scope.spawn(|| cluster.proxies[1].client().get(&release.download()).ok());
            let waits = || cluster.redis.command("KEYS *waiting:*").contains("waiting:").then_some(());
            eventually("the other to wait for it", waits);
            assert_eq!(cluster.upstream.requests(&release.source()), 1);
            cluster.proxies[0].signal(way);
            within(Duration::from_secs(10), "another fetch", || {
                (cluster.upstream.requests(&release.source()) == 2).then_some(())
            });
            hold.release();
            assert!(follower.join().unwrap().body == release.archive());
        });
        if way == "STOP" {
            cluster.proxies[0].signal("CONT");
        }
    }
}

#[test]
fn a_fetch_that_fails_fails_nobody_longer_than_its_own() {
    let Some(cluster) = Cluster::of(3) else { return };
    let release = Release::new("lamp", "1.0.0");
    cluster.upstream.reply(&release.index(), Reply::failure(503));
    for answer in crowd(&cluster, &release.index(), &release.index()) {
        answer.could_not_ask();
    }
    let requests = cluster.upstream.requests(&release.index());
    assert!(requests <= 3 * 4, "{requests}");
}

#[test]
fn without_the_engine_each_fetches_for_itself() {
    let Some(mut cluster) = Cluster::of(2) else { return };
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(1, 1 << 20)));
    cluster.upstream.publish(&release);
    cluster.redis.down();
    // The first does not know yet that the engine is gone.
    let hold = cluster.upstream.hold(&release.index());
    thread::scope(|scope| {
        let asking: Vec<_> = cluster
            .proxies
            .iter()
            .map(|proxy| scope.spawn(|| proxy.client().get(&release.index()).ok()))
            .collect();
        eventually("both to ask", || (cluster.upstream.requests(&release.index()) == 2).then_some(()));
        hold.release();
        asking.into_iter().for_each(|asking| drop(asking.join().unwrap()));
    });
    cluster
        .proxies
        .iter()
        .for_each(|proxy| assert!(proxy.client().get(&release.download()).ok().body == release.archive()));
}

#[test]
fn an_engine_that_freezes_in_the_middle_of_a_fetch_holds_nobody() {
    let Some(cluster) = Cluster::of(2) else { return };
    let release = Release::new("lamp", "1.0.0");
    cluster.upstream.publish(&release);
    let hold = cluster.upstream.hold(&release.index());
    thread::scope(|scope| {
        let first = scope.spawn(|| cluster.proxies[0].client().get(&release.index()).ok());
        eventually("the fetch", || (cluster.upstream.requests(&release.index()) == 1).then_some(()));
        let second = scope.spawn(|| cluster.proxies[1].client().get(&release.index()).ok());
        cluster.redis.signal("STOP");
        eventually("a fetch of its own", || (cluster.upstream.requests(&release.index()) == 2).then_some(()));
        hold.release();
        for asking in [first, second] {
            asking.join().unwrap();
        }
    });
    cluster.redis.signal("CONT");
}
