//! Many clients, one question: a cold resource is fetched once however many ask, and nobody suffers
//! from another's leaving.

use std::thread;

use crate::support::tarball::Entry;
use crate::support::{
    Answer, Client, Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise,
};

const CLIENTS: usize = 50;

/// Asks from many connections at once; the upstream answers when every request has been sent.
fn crowd(upstream: &Upstream, held: &str, client: Client, target: &str) -> Vec<Answer> {
    let hold = upstream.hold(held);
    let mut conversations: Vec<_> = (0..CLIENTS).map(|_| Conversation::open(client.0).unwrap()).collect();
    for conversation in &mut conversations {
        conversation.ask("GET", target, &[]).unwrap();
    }
    eventually("the one request", || (upstream.requests(held) > 0).then_some(()));
    hold.release();
    conversations.into_iter().map(|mut conversation| conversation.answer().unwrap()).collect()
}

fn assert_one_flight(answers: &[Answer]) {
    let leaders = answers
        .iter()
        .filter(|answer| answer.cache().contains("fwd=uri-miss") && !answer.cache().contains("collapsed"));
    assert_eq!(leaders.count(), 1);
    assert!(answers.iter().any(|answer| answer.cache().contains("collapsed")), "nobody waited");
}

#[test]
fn a_cold_document_is_fetched_once_for_everybody() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let answers = crowd(&upstream, &release.index(), proxy.client(), &release.index());
    assert_one_flight(&answers);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(upstream.requests(&release.index()), 1);
}

#[test]
fn a_cold_archive_is_fetched_once_for_everybody() {
    let upstream = Upstream::start();
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(1, 1 << 20)));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.exact()).ok();
    let answers = crowd(&upstream, &release.source(), proxy.client(), &release.download());
    assert_one_flight(&answers);
    let archive = release.archive();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == archive));
    assert_eq!(upstream.requests(&release.source()), 1);
    assert_eq!(upstream.requests(&release.exact()), 1);
}

#[test]
fn a_failed_fetch_fails_everybody_without_a_stampede() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.otherwise(Reply::failure(500));
    let proxy = Setup::before(&upstream).start();
    for answer in crowd(&upstream, &release.index(), proxy.client(), &release.index()) {
        answer.could_not_ask();
    }
    let requests = upstream.requests(&release.index());
    assert!(requests <= CLIENTS / 5, "{requests} requests for one failing document");
}

/// A leader asks, a follower joins, the leader hangs up, the upstream answers.
fn leave_in_the_middle(upstream: &Upstream, proxy: &Proxy, held: &str, target: &str) -> Answer {
    let hold = upstream.hold(held);
    let mut leader = Conversation::open(proxy.client().0).unwrap();
    leader.ask("GET", target, &[]).unwrap();
    eventually("the leader's request", || (upstream.requests(held) == 1).then_some(()));
    let client = proxy.client();
    let target = target.to_owned();
    let follower = thread::spawn(move || client.get(&target));
    leader.hang_up();
    hold.release();
    follower.join().unwrap()
}

#[test]
fn a_leader_that_leaves_harms_nobody() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let document = leave_in_the_middle(&upstream, &proxy, &release.index(), &release.index()).ok();
    assert!(document.text().contains("1.0.0"));
    let archive = leave_in_the_middle(&upstream, &proxy, &release.source(), &release.download()).ok();
    assert_eq!(archive.body, release.archive());
    assert_eq!(upstream.requests(&release.index()), 1);
    assert_eq!(upstream.requests(&release.source()), 1);
}

#[test]
fn a_client_that_leaves_alone_still_fills_the_cache() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    let hold = upstream.hold(&release.source());
    let mut only = Conversation::open(proxy.client().0).unwrap();
    only.ask("GET", &release.download(), &[]).unwrap();
    eventually("the request", || (upstream.requests(&release.source()) == 1).then_some(()));
    only.hang_up();
    hold.release();
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert_eq!(upstream.requests(&release.source()), 1);
}
