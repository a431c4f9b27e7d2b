//! Signals: a proxy that is told to stop finishes what it began, and no more.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Setup, Upstream, eventually, noise};

/// A proxy in the middle of sending an archive larger than any socket buffer.
fn downloading(setup: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy, Conversation, Vec<u8>) {
    let upstream = Upstream::start();
    let release = Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(5, 32 << 20)));
    upstream.publish(&release);
    let proxy = setup(Setup::before(&upstream)).start();
    let mut download = Conversation::open(proxy.client().0).unwrap();
    download.ask("GET", &release.download(), &[]).unwrap();
    (upstream, proxy, download, release.archive())
}

#[test]
fn an_idle_proxy_stops_at_once() {
    let upstream = Upstream::start();
    let mut proxy = Setup::before(&upstream).start();
    let kept_alive = Conversation::open(proxy.client().0).unwrap();
    let started = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.exit().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
    drop(kept_alive);
}

/// A client that has just connected cannot know, and would take a closed connection for a failure.
#[test]
fn the_first_request_of_a_new_connection_is_answered_after_the_stop_began() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    // A busy machine may be too slow for the moment that a new connection has.
    eventually("a new connection that is answered", || {
        let mut proxy = Setup::before(&upstream).start();
        proxy.client().get(&release.index()).ok();
        let mut new = Conversation::open(proxy.client().0).unwrap();
        proxy.signal("TERM");
        eventually("the end of listening", || TcpStream::connect(proxy.client().0).is_err().then_some(()));
        new.ask("GET", &release.index(), &[]).ok()?;
        let answer = new.answer().ok()?.ok();
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(proxy.exit().code(), Some(0));
        Some(())
    });
}

#[test]
fn an_idle_connection_that_was_used_does_not_delay_the_stop() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    let mut used = Conversation::open(proxy.client().0).unwrap();
    used.write(format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", release.index()).as_bytes()).unwrap();
    used.answer().unwrap().ok();
    let started = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.exit().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
}

#[test]
fn a_download_in_flight_is_finished_before_the_stop() {
    let (_upstream, mut proxy, mut download, archive) = downloading(|setup| setup);
    let mut answer = download.begin().unwrap();
    proxy.signal("TERM");
    eventually("the end of listening", || TcpStream::connect(proxy.client().0).is_err().then_some(()));
    assert!(proxy.is_running(), "left in the middle of a download");
    download.finish(&mut answer).unwrap();
    assert!(answer.whole && answer.body == archive);
    let read = Instant::now();
    assert_eq!(proxy.exit().code(), Some(0));
    assert!(read.elapsed() < Duration::from_secs(1), "took {:?} after the last byte", read.elapsed());
}

#[test]
fn a_request_that_waits_for_the_upstream_is_answered_before_the_stop() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    let hold = upstream.hold(&release.index());
    let mut waiting = Conversation::open(proxy.client().0).unwrap();
    waiting.ask("GET", &release.index(), &[]).unwrap();
    eventually("the upstream's turn", || (upstream.requests(&release.index()) == 1).then_some(()));
    proxy.signal("TERM");
    eventually("the end of listening", || TcpStream::connect(proxy.client().0).is_err().then_some(()));
    hold.release();
    waiting.answer().unwrap().ok();
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn grace_has_an_end() {
    let (_upstream, mut proxy, mut download, archive) =
        downloading(|setup| setup.set("server.shutdown_grace", "1s"));
    let mut answer = download.begin().unwrap();
    let started = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.exit().code(), Some(0));
    assert!((1..4).contains(&started.elapsed().as_secs()), "took {:?}", started.elapsed());
    download.finish(&mut answer).ok();
    assert!(!answer.whole && archive.starts_with(&answer.body), "a cut must be seen as one");
}

#[test]
fn a_hangup_does_not_end_the_proxy() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    let mut open = Conversation::open(proxy.client().0).unwrap();
    for _ in 0..3 {
        proxy.signal("HUP");
        let request = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", release.index());
        open.write(request.as_bytes()).unwrap();
        open.answer().unwrap().ok();
    }
    assert!(proxy.is_running());
}

#[test]
fn an_interrupt_ends_the_proxy() {
    let upstream = Upstream::start();
    let mut proxy = Setup::before(&upstream).start();
    proxy.signal("INT");
    assert_eq!(proxy.exit().code(), Some(0));
}
