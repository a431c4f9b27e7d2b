//! Memory that does not follow the size of what passes through, and bombs that are not unpacked.

use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::support::tarball::{Entry, bomb};
use crate::support::{Conversation, Release, Reply, Setup, Upstream, noise};

const CEILING: u64 = 200 << 20;

/// Connections that are opened and left alone, after others.
const IDLE: u64 = 1_000;

/// What each of them may cost, in a build for tests.
const EACH: u64 = 8 << 10;

#[test]
fn a_bomb_is_refused_early() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let bomb = bomb(1, 3 << 10);
    assert!(bomb.len() < 16 << 20, "{} bytes are no bomb", bomb.len());
    upstream.reply(&release.source(), Reply::archive(bomb));
    let proxy = Setup::before(&upstream).start();
    let started = Instant::now();
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    assert!(started.elapsed().as_secs() < 3, "took {:?}", started.elapsed());
    assert!(proxy.peak_memory() < CEILING, "{} bytes", proxy.peak_memory());
}

#[test]
fn a_bomb_of_many_files_is_not_downloaded_to_its_end() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let zeros = bomb(64, 1);
    let filler = noise(1, 64 << 20);
    upstream.reply(&release.source(), Reply::archive([zeros, filler].concat()));
    let proxy = Setup::before(&upstream).set("limits.max_unpacked", "8MiB").start();
    let before = upstream.sent();
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    let sent = upstream.sent() - before;
    assert!(sent < 32 << 20, "{sent} bytes were fetched of an archive that failed in its first");
}

#[test]
fn eight_clients_on_a_large_archive_need_little_memory() {
    let upstream = Upstream::start();
    let parts = (0..12).map(|part| Entry::file(&format!("data/part-{part:02}.bin"), noise(part, 10 << 20)));
    let release = parts.fold(Release::new("lamp", "1.0.0"), Release::adding);
    upstream.publish(&release);
    let (digest, length) = (Sha256::digest(release.archive()), release.archive().len());
    assert!(length > 100 << 20);
    let proxy = Setup::before(&upstream).start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut download = Conversation::open(proxy.client().0).unwrap();
                download.ask("GET", &release.download(), &[]).unwrap();
                let answer = download.answer().unwrap().ok();
                assert_eq!(Sha256::digest(&answer.body), digest);
            });
        }
    });
    assert_eq!(upstream.requests(&release.source()), 1);
    assert!(proxy.peak_memory() < CEILING, "{} bytes", proxy.peak_memory());
}

#[test]
fn idle_connections_need_little_memory() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("limits.header_timeout", "10m").start();
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", release.index());
    let connect = || {
        let mut connection = Conversation::open(proxy.client().0).unwrap();
        connection.write(request.as_bytes()).unwrap();
        connection.answer().unwrap().ok();
        connection
    };
    let _others: Vec<_> = (0..1_100).map(|_| connect()).collect();
    let before = proxy.memory();
    let mut idle: Vec<_> = (0..IDLE).map(|_| connect()).collect();
    let each = proxy.memory().saturating_sub(before) / IDLE;
    assert!(each < EACH, "{each} bytes a connection");
    for connection in &mut idle {
        connection.write(request.as_bytes()).unwrap();
        connection.answer().unwrap().ok();
    }
}
