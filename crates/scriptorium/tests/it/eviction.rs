//! The ceiling of the store as the disk sees it, what goes to keep it, and what does not.

use std::fs;
use std::thread;

use tempfile::TempDir;

use crate::support::disk::taken;
use crate::support::divergence::replaced;
use crate::support::tarball::Entry;
use crate::support::{Conversation, Proxy, Release, Setup, Upstream, Watch, eventually, noise};

const MIB: u64 = 1 << 20;
const KIB: usize = 1 << 10;
const PAGE: u64 = 4096;
/// The store's ceiling, unless a test says otherwise.
const CEILING: u64 = 8 * MIB;

fn sized(number: usize, bytes: usize) -> Release {
    let data = Entry::file("data.bin", noise(number as u64, bytes));
    Release::new(&format!("@acme/v{number}"), "1.0.0").adding(data)
}

/// A release with an archive of 300 KiB to 1 MiB.
fn one_of_many(number: usize) -> Release {
    sized(number, 300 * KIB + number * 7919 * 13 % (700 * KIB))
}

fn publish(upstream: &Upstream, numbers: impl Iterator<Item = usize>) -> Vec<Release> {
    let releases: Vec<_> = numbers.map(one_of_many).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    releases
}

fn bounded(upstream: &Upstream, bytes: u64) -> Setup {
    Setup::before(upstream).set("storage.max_size", format!("{bytes}B"))
}

fn pull(proxy: &Proxy, release: &Release) {
    let answer = proxy.client().get(&release.download()).ok();
    assert!(answer.body == release.archive(), "wrong bytes of {}", release.name);
}

/// Pulls all of them, a few at a time.
fn pull_all(proxy: &Proxy, releases: &[Release]) {
    thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                releases.iter().skip(part).step_by(4).for_each(|release| pull(proxy, release))
            });
        }
    });
}

fn is_stored(proxy: &Proxy, release: &Release) -> bool {
    let hex = release.integrity()["sha256:".len()..].to_owned();
    proxy.data().join("archives").join(&hex[..2]).join(hex).exists()
}

/// What the proxy says it stores is what the disk holds, and both are below the ceiling.
#[track_caller]
fn assert_counted_right(proxy: &Proxy, ceiling: u64) {
    let (bytes, metric) = (proxy.stored("/bytes"), proxy.metric("scriptorium_store_bytes"));
    let (files, on_disk) = taken(&proxy.data());
    assert!(bytes.abs_diff(on_disk) <= files as u64 * PAGE, "{bytes} counted, {on_disk} in {files} files");
    assert!((metric - bytes as f64).abs() <= PAGE as f64, "{metric} is not {bytes}");
    assert!(on_disk <= ceiling && bytes <= ceiling, "{on_disk}, {bytes}");
    assert_eq!(proxy.stored("/max_bytes"), ceiling);
    assert_eq!(proxy.stored("/staged_bytes"), 0);
}

/// Eviction continues in the background for a moment. Then nothing changes any more.
fn at_rest(proxy: &Proxy) {
    let mut before = 0;
    eventually("a store at rest", || {
        let now = proxy.stored("/evicted/values");
        (std::mem::replace(&mut before, now) == now && proxy.stored("/staged_bytes") == 0).then_some(())
    });
}

#[test]
fn the_disk_never_holds_more_than_the_ceiling_and_everything_pulled_is_right() {
    let upstream = Upstream::start();
    let releases = publish(&upstream, 0..80);
    let mut proxy = bounded(&upstream, CEILING).start();
    let watch = Watch::over(&proxy.data());
    pull_all(&proxy, &releases);
    pull_all(&proxy, &releases[..20]);
    let (most, looks) = watch.most();
    assert!(most <= CEILING, "{most} bytes at once");
    assert!(most > CEILING / 2 && looks > 50, "{most} bytes in {looks} looks prove nothing");
    at_rest(&proxy);
    assert!(proxy.stored("/evicted/values") >= 60);
    assert_counted_right(&proxy, CEILING);
    assert_eq!(proxy.storage()["state"], "ok");

    // Another process counts the same, and keeps the ceiling too.
    let before = proxy.stored("/bytes");
    proxy.restart();
    eventually("the count", || (proxy.storage()["counted"] == true).then_some(()));
    assert!(proxy.stored("/bytes").abs_diff(before) <= 2 * PAGE, "{before}, {}", proxy.storage());
    let watch = Watch::over(&proxy.data());
    pull_all(&proxy, &releases[20..60]);
    let (most, _) = watch.most();
    assert!(most <= CEILING, "{most} bytes at once after a restart");
    at_rest(&proxy);
    assert_counted_right(&proxy, CEILING);
}

#[test]
fn documents_and_pins_outlive_the_archives_they_are_about() {
    let upstream = Upstream::start();
    let releases = publish(&upstream, 0..40);
    let mut proxy =
        bounded(&upstream, CEILING).set("cache.release_ttl", "1s").set("cache.index_ttl", "1s").start();
    releases.iter().for_each(|release| pull(&proxy, release));
    at_rest(&proxy);
    let gone: Vec<_> = releases.iter().filter(|release| !is_stored(&proxy, release)).collect();
    assert!(gone.len() >= 20, "only {} archives were evicted", gone.len());

    upstream.down();
    proxy.restart();
    for release in &releases {
        proxy.client().get(&release.exact()).ok();
        proxy.client().get(&release.index()).ok();
    }
    upstream.up();
    for release in &gone[..5] {
        upstream.publish(&replaced(release));
        let refused = eventually("the replacement to be noticed", || {
            Some(proxy.client().get(&release.exact())).filter(|answer| answer.status != 200)
        });
        refused.problem(409, "inconsistent-registry-state");
        proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    }
}

#[test]
fn what_is_asked_for_again_and_again_survives_what_is_asked_for_once() {
    let upstream = Upstream::start();
    let popular = one_of_many(1000);
    upstream.publish(&popular);
    let scanned = publish(&upstream, 0..60);
    let proxy = bounded(&upstream, CEILING).start();
    for _ in 0..12 {
        pull(&proxy, &popular);
    }
    for release in &scanned {
        pull(&proxy, release);
        pull(&proxy, &popular);
    }
    assert!(proxy.stored("/evicted/values") > 40);
    assert_eq!(upstream.requests(&popular.source()), 1, "the popular archive went for ones nobody asks for");
}

#[test]
fn what_is_being_sent_is_neither_evicted_nor_cut() {
    let upstream = Upstream::start();
    let slow = sized(1000, 11 << 20);
    upstream.publish(&slow);
    let others = publish(&upstream, 0..60);
    let proxy = bounded(&upstream, 24 * MIB).set("limits.send_timeout", "10m").start();
    let mut client = Conversation::open(proxy.client().0).unwrap();
    client.ask("GET", &slow.download(), &[]).unwrap();
    let mut answer = client.begin().unwrap();
    assert_eq!(answer.status, 200);
    others.iter().for_each(|release| pull(&proxy, release));
    assert!(is_stored(&proxy, &slow), "what is read now was evicted");
    assert!(proxy.stored("/evicted/values") > 20);
    client.finish(&mut answer).unwrap();
    assert!(answer.ok().body == slow.archive());
    assert_eq!(upstream.requests(&slow.source()), 1);
}

#[test]
fn a_lower_ceiling_is_reached_without_a_restart() {
    let upstream = Upstream::start();
    let releases = publish(&upstream, 0..24);
    let proxy = bounded(&upstream, 32 * MIB).start();
    pull_all(&proxy, &releases);
    assert!(taken(&proxy.data()).1 > 12 * MIB);
    proxy.reconfigure(|setup| setup.set("storage.max_size", "4MiB"));
    proxy.signal("HUP");
    eventually("room", || (taken(&proxy.data()).1 <= 4 * MIB).then_some(()));
    at_rest(&proxy);
    assert_counted_right(&proxy, 4 * MIB);
    let watch = Watch::over(&proxy.data());
    pull_all(&proxy, &releases);
    let (most, _) = watch.most();
    assert!(most <= 4 * MIB, "{most}");
}

#[test]
fn an_archive_too_large_to_keep_is_served_and_not_kept() {
    let (upstream, scratch) = (Upstream::start(), TempDir::new().unwrap());
    let (large, small) = (sized(1, 5 << 20), one_of_many(2));
    upstream.publish(&large);
    upstream.publish(&small);
    let proxy = bounded(&upstream, CEILING).set("storage.scratch", scratch.path().to_str().unwrap()).start();
    pull(&proxy, &small);
    for asked in 1..=2 {
        pull(&proxy, &large);
        assert!(!is_stored(&proxy, &large));
        assert_eq!(upstream.requests(&large.source()), asked);
        assert_eq!(proxy.storage()["state"], "ok", "the storage has room for others");
    }
    assert!(is_stored(&proxy, &small), "something went for what cannot be kept");
    assert_eq!(proxy.metric("scriptorium_store_evicted_total"), 0.0);
    eventually("no scratch file", || (taken(scratch.path()).0 == 0).then_some(()));
    assert_eq!(taken(&proxy.data().join("staging")).0, 0);
    assert_counted_right(&proxy, CEILING);
}

#[test]
fn without_room_to_verify_an_archive_the_answer_says_what_to_do() {
    let (upstream, scratch) = (Upstream::start(), TempDir::new().unwrap());
    let (large, small) = (sized(1, 5 << 20), one_of_many(2));
    upstream.publish(&large);
    upstream.publish(&small);
    let proxy = bounded(&upstream, CEILING)
        .set("storage.scratch", scratch.path().to_str().unwrap())
        .set("storage.max_scratch", "64KiB")
        .start();
    for _ in 0..2 {
        let problem = proxy.client().get(&large.download()).problem(507, "about:blank");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("storage.max_scratch"), "{detail}");
    }
    eventually("no scratch file", || (taken(scratch.path()).0 == 0).then_some(()));
    assert_eq!(taken(&proxy.data().join("staging")).0, 0);
    pull(&proxy, &small);
    assert!(is_stored(&proxy, &small));
    assert_counted_right(&proxy, CEILING);
    proxy.client().get(&large.exact()).ok();
}

#[test]
fn a_store_in_memory_is_bounded_too() {
    let upstream = Upstream::start();
    let releases = publish(&upstream, 0..80);
    let proxy = bounded(&upstream, CEILING).set("storage.url", "memory:///").start();
    for some in releases.chunks(8) {
        pull_all(&proxy, some);
        assert!(proxy.stored("/bytes") <= CEILING, "{}", proxy.storage());
    }
    at_rest(&proxy);
    assert!(proxy.stored("/evicted/values") >= 60);
    assert!(proxy.stored("/archives/values") >= 4, "{}", proxy.storage());
    assert!(fs::read_dir(proxy.data()).is_err(), "something was written to the disk");
    // All that was pulled is 50 MiB.
    assert!(proxy.peak_memory() < 200 * MIB, "{} bytes", proxy.peak_memory());
}
