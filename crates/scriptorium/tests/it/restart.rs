//! What was stored outlives the process that stored it.

use std::time::{Duration, Instant};

use crate::support::{Conversation, Proxy, Release, Reply, Setup, Upstream, eventually};

fn warmed(upstream: &Upstream, release: &Release) -> Proxy {
    upstream.publish(release);
    let proxy = Setup::before(upstream).start();
    for target in [release.index(), release.exact(), release.download()] {
        proxy.client().get(&target).ok();
    }
    proxy
}

fn assert_served_without_upstream(upstream: &Upstream, release: &Release, proxy: &Proxy) {
    let connections = upstream.connections();
    for target in [release.index(), release.exact(), release.download()] {
        assert!(proxy.client().get(&target).ok().is_hit(), "{target}");
    }
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert_eq!(upstream.connections(), connections, "a fresh answer went upstream");
}

#[test]
fn a_restart_serves_at_once_with_the_upstream_down() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    let mut proxy = warmed(&upstream, &release);
    upstream.down();
    proxy.restart();
    assert_served_without_upstream(&upstream, &release, &proxy);
}

#[test]
fn a_crash_loses_nothing_that_was_stored() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let mut proxy = warmed(&upstream, &release);
    proxy.crash_and_restart();
    assert_served_without_upstream(&upstream, &release, &proxy);
}

#[test]
fn a_crash_in_the_middle_of_a_download_leaves_nothing_half_done() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let archive = release.archive();
    let (reply, hold) = Reply::archive(archive.clone()).pausing_after(archive.len() / 2);
    upstream.reply(&release.source(), reply);
    let mut proxy = Setup::before(&upstream).start();
    let mut client = Conversation::open(proxy.client().0).unwrap();
    client.ask("GET", &release.download(), &[]).unwrap();
    eventually("half the archive", || (upstream.sent() >= archive.len() as u64 / 2).then_some(()));
    proxy.crash_and_restart();
    hold.release();
    assert_eq!(proxy.client().get(&release.download()).ok().body, archive);
}

#[test]
fn a_restart_keeps_stale_answers_useful() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&release.index()).ok();
    upstream.down();
    proxy.restart();
    eventually("an answer marked stale-if-error", || {
        let answer = proxy.client().get(&release.index()).ok();
        answer.cache().contains("stale-if-error").then_some(())
    });
}

#[test]
fn a_release_without_an_index_is_served_at_once_after_a_restart_before_a_silent_registry() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    upstream.reply(&release.index(), Reply::failure(404));
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.download()).ok();
    upstream.otherwise(Reply::silence());
    for target in [release.index(), release.exact(), release.source()] {
        upstream.reply(&target, Reply::silence());
    }
    proxy.restart();
    let started = Instant::now();
    proxy.client().get(&release.exact()).ok();
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert!(started.elapsed() < Duration::from_secs(1), "waited for the registry: {:?}", started.elapsed());
}
