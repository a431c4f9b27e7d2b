//! Things kept in a bucket that several proxies share: who is first wins, all serve verified bytes, and neither a
//! bucket nor the folder before it that is lost or damaged makes them serve others.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::bucket::Bucket;
use crate::support::divergence::Lie;
use crate::support::proxy::scriptorium;
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, eventually, noise};

/// A release whose archive is sent to a bucket in parts.
fn big(seed: u64) -> Release {
    Release::new("@acme/lamp", "1.0.0").adding(Entry::file("wick", noise(seed, 9 << 20)))
}

fn small() -> Release {
    Release::new("lamp", "1.0.0")
}

fn proxy(upstream: &Upstream, bucket: &Bucket) -> Proxy {
    bucket.below(Setup::before(upstream)).start()
}

/// The one file below the tier's archives.
fn copy(tier: &Path) -> PathBuf {
    let shards = fs::read_dir(tier.join("archives")).unwrap();
    let mut files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let file = files.next().expect("a copy").unwrap().path();
    assert!(files.next().is_none());
    file
}

fn assert_serves(proxy: &Proxy, release: &Release) {
    let answer = proxy.client().get(&release.download()).ok();
    assert!(answer.body == release.archive(), "{} wrong bytes", release.name);
}

/// A proxy before `bucket` that has served a release, whose upstream is down since.
fn held_without_upstream(bucket: &Bucket) -> (Release, Proxy) {
    let (upstream, release) = (Upstream::start(), big(1));
    upstream.publish(&release);
    let proxy = proxy(&upstream, bucket);
    assert_serves(&proxy, &release);
    (release, proxy)
}

#[test]
fn what_one_node_pulled_is_anothers_hit() {
    let Some(bucket) = Bucket::start() else { return };
    let upstream = Upstream::start();
    let [first, second] = [(); 2].map(|()| proxy(&upstream, &bucket));
    for release in [big(1), small()] {
        upstream.publish(&release);
        for target in [release.index(), release.exact(), release.download()] {
            let pulled = first.client().get(&target).ok();
            let hit = second.client().get(&target).ok();
            assert!(hit.is_hit() && pulled.body.len() == hit.body.len(), "{target}: {}", hit.cache());
        }
        assert_serves(&second, &release);
        assert_eq!(upstream.requests(&release.source()), 1);
        assert_eq!(upstream.requests(&release.exact()), 1);
    }
    assert_eq!(bucket.keys("staging"), Vec::<String>::new());
}

#[test]
fn of_two_cold_pulls_at_once_one_commits_and_both_serve() {
    let Some(bucket) = Bucket::start() else { return };
    for release in [big(1), small()] {
        let upstream = Upstream::start();
        upstream.publish(&release);
        let before = bucket.keys("archives").len();
        let proxies = [(); 2].map(|()| proxy(&upstream, &bucket));
        let hold = upstream.hold(&release.source());
        thread::scope(|scope| {
            for proxy in &proxies {
                scope.spawn(|| assert_serves(proxy, &release));
            }
            eventually("both to ask", || (upstream.requests(&release.source()) == 2).then_some(()));
            hold.release();
        });
        assert_eq!(bucket.keys("archives").len(), before + 1);
        assert_eq!(bucket.keys("staging"), Vec::<String>::new());
        for proxy in &proxies {
            assert_serves(proxy, &release);
        }
        assert_eq!(upstream.requests(&release.source()), 2);
    }
}

#[test]
fn a_restart_serves_from_the_bucket_with_the_upstream_down() {
    let Some(bucket) = Bucket::start() else { return };
    let (release, mut proxy) = held_without_upstream(&bucket);
    proxy.stop();
    fs::remove_dir_all(proxy.data()).unwrap();
    proxy.revive();
    assert_serves(&proxy, &release);
    assert!(copy(&proxy.data()).exists());
}

#[test]
fn a_tier_may_be_lost_or_damaged_with_the_upstream_down() {
    let Some(bucket) = Bucket::start() else { return };
    let (release, mut proxy) = held_without_upstream(&bucket);

    let damage = |proxy: &Proxy| {
        let copy = copy(&proxy.data());
        let mut bytes = fs::read(&copy).unwrap();
        bytes[5 << 20] ^= 1;
        fs::write(copy, bytes).unwrap();
    };
    damage(&proxy);
    assert_serves(&proxy, &release);
    damage(&proxy);
    proxy.restart();
    assert_serves(&proxy, &release);
    assert_eq!(bucket.keys("archives").len(), 1, "the bucket's was sound");
    assert_eq!(bucket.keys("quarantine"), Vec::<String>::new());

    fs::remove_dir_all(proxy.data()).unwrap();
    assert_serves(&proxy, &release);
}

#[test]
fn the_sweep_of_a_start_takes_nothing_of_the_tier_but_what_was_staged() {
    let Some(bucket) = Bucket::start() else { return };
    let (release, mut proxy) = held_without_upstream(&bucket);
    let kept = fs::metadata(copy(&proxy.data())).unwrap();
    proxy.stop();
    let left = proxy.data().join("staging/run-gone");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("staged-1"), "left by a crash").unwrap();
    proxy.revive();
    eventually("the sweep", || (!left.exists()).then_some(()));
    let still = fs::metadata(copy(&proxy.data())).unwrap();
    assert_eq!((still.ino(), still.modified().unwrap()), (kept.ino(), kept.modified().unwrap()));
    assert_serves(&proxy, &release);
}

#[test]
fn a_damaged_object_is_set_aside_and_fetched_anew() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, release) = (Upstream::start(), small());
    upstream.publish(&release);
    let mut proxy = proxy(&upstream, &bucket);
    assert_serves(&proxy, &release);
    let [key] = bucket.keys("archives").try_into().unwrap();
    let whole = bucket.get(&key);
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for (count, garbage) in [(2, &b"garbage"[..]), (3, &flipped)] {
        proxy.stop();
        fs::remove_dir_all(proxy.data()).unwrap();
        bucket.put(&key, garbage);
        proxy.revive();
        assert_serves(&proxy, &release);
        assert_eq!(upstream.requests(&release.source()), count);
        assert!(bucket.get(&key) == whole);
        assert_eq!(bucket.keys("quarantine").len(), 2 * (count - 1), "each with a note");
    }
}

#[test]
fn without_the_bucket_what_was_confirmed_is_served_and_nothing_else() {
    let Some(mut bucket) = Bucket::start() else { return };
    let (upstream, held, cold) = (Upstream::start(), big(1), small());
    upstream.publish(&held);
    upstream.publish(&cold);
    let mut proxy = proxy(&upstream, &bucket);
    assert_serves(&proxy, &held);
    bucket.down();
    assert_serves(&proxy, &held);
    assert_eq!(upstream.requests(&held.source()), 1);
    proxy.client().get(&cold.download()).problem(503, "about:blank");
    assert_eq!(upstream.requests(&cold.source()), 0, "nothing is fetched of what may be another");

    proxy.restart_as(|setup| setup);
    proxy.client().get(&held.download()).problem(503, "about:blank");
    let told = || proxy.log().contains("serving without the bucket").then_some(());
    eventually("a word about the bucket", told);
}

#[test]
fn a_bucket_that_stops_answering_is_left_alone_for_a_while() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, cold, later) = (Upstream::start(), small(), Release::new("lamp", "2.0.0"));
    upstream.publish(&cold);
    let proxy = bucket.below(Setup::before(&upstream).env("AWS_TIMEOUT", "1s")).start();
    bucket.signal("STOP");
    proxy.client().get(&cold.download()).problem(503, "about:blank");
    let told = || proxy.log().contains("the bucket does not answer and is not asked").then_some(());
    eventually("a word about the bucket", told);
    bucket.signal("CONT");
    upstream.publish(&later);
    eventually("something to be kept again", || {
        let answer = proxy.client().get(&later.download());
        (answer.status == 200 && !bucket.keys("archives").is_empty()).then_some(())
    });
    assert_serves(&proxy, &later);
}

#[test]
fn a_bucket_that_hangs_keeps_no_index_back_that_its_registry_gives() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, cold) = (Upstream::start(), small());
    upstream.publish(&cold);
    let proxy = bucket.below(Setup::before(&upstream)).start();
    bucket.signal("STOP");
    let begun = Instant::now();
    proxy.client().get(&cold.index()).ok();
    // Once the time that an answer of the bucket may take, not the client library's 30 s.
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
    bucket.signal("CONT");
}

#[test]
fn a_bucket_that_hangs_in_the_middle_of_an_object_is_left_as_soon_as_one_that_does_not_answer() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, release) = (Upstream::start(), small());
    upstream.publish(&release);
    let [first, second] = [(); 2].map(|()| proxy(&upstream, &bucket));
    first.client().get(&release.index()).ok();
    bucket.stall();
    let begun = Instant::now();
    second.client().get(&release.index()).ok();
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
    let told = || second.log().contains("the bucket does not answer and is not asked").then_some(());
    eventually("a word about the bucket", told);
}

#[test]
fn the_first_divergence_of_every_proxy_says_since_when() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, release) = (Upstream::start(), small());
    Lie::RowState("yanked").tell(&upstream, &release);
    let since = |proxy: &Proxy| {
        eventually("the divergence", || {
            proxy.client().get(&release.index());
            proxy.client().get(&release.exact());
            let open = proxy.admin().get("/admin/v1/divergences").ok().json();
            open["items"][0]["since"].as_str().map(str::to_owned)
        })
    };
    let [first, mut second] = [(); 2].map(|()| proxy(&upstream, &bucket));
    let found = since(&first);
    let then = humantime::parse_rfc3339(&found).unwrap();
    eventually("another second", || (then.elapsed().unwrap() > Duration::from_secs(2)).then_some(()));
    assert_eq!(since(&second), found, "what the second one found itself");
    second.restart();
    assert_eq!(since(&second), found, "what is stored");
}

#[test]
fn the_first_integrity_wins_for_every_proxy() {
    let Some(bucket) = Bucket::start() else { return };
    let (upstream, first, second) = (Upstream::start(), big(1), big(2));
    upstream.publish(&first);
    let one = proxy(&upstream, &bucket);
    assert_serves(&one, &first);
    // What it shows others from now on.
    upstream.publish(&second);
    let other = bucket.below(Setup::before(&upstream).short_lived()).start();
    let refused = eventually("the replacement to be noticed", || {
        Some(other.client().get(&second.exact())).filter(|answer| answer.status != 200)
    });
    refused.problem(409, "inconsistent-registry-state");
    other.client().get(&second.download()).problem(409, "inconsistent-registry-state");
    assert_eq!(bucket.keys("archives").len(), 1);
}

#[test]
fn a_large_archive_needs_little_memory_on_its_way_to_the_bucket_and_back() {
    let Some(bucket) = Bucket::start() else { return };
    let upstream = Upstream::start();
    let parts = (0..12).map(|part| Entry::file(&format!("data/{part:02}"), noise(part, 10 << 20)));
    let release = parts.fold(small(), Release::adding);
    upstream.publish(&release);
    let mut proxy = proxy(&upstream, &bucket);
    assert_serves(&proxy, &release);
    let sent = proxy.peak_memory();
    proxy.stop();
    fs::remove_dir_all(proxy.data()).unwrap();
    proxy.revive();
    assert_serves(&proxy, &release);
    assert_eq!(upstream.requests(&release.source()), 1);
    for peak in [sent, proxy.peak_memory()] {
        assert!(peak < 100 << 20, "{peak} bytes");
    }
}

#[test]
fn a_bucket_that_cannot_be_meant_is_told_at_once_and_says_no_secret() {
    let Some(bucket) = Bucket::start() else { return };
    let upstream = Upstream::start();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("scriptorium.toml");
    let setup = Setup::before(&upstream).set("storage.tier", folder.path().to_str().unwrap());
    let missing = bucket.named(setup.clone(), "not-there");
    let unknown = setup.set("storage.url", "s3://volumes/").env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    for (setup, says) in [(missing, "AWS_ENDPOINT_URL"), (unknown, "AWS_ACCESS_KEY_ID")] {
        setup.write(&file);
        for command in [&["serve"][..], &["pins", "export"]] {
            let mut command = {
                let mut it = scriptorium();
                it.args(command);
                it
            };
            let command = command.arg("--config").arg(&file).envs(setup.environment.clone());
            let output = command.output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("storage.url") && told.contains(says), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
