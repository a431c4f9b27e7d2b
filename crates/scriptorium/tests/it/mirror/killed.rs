//! Syncs that are killed, and syncs that meet.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{house, lamps};
use crate::support::mirror::{Desk, depending, mirror, missing, reason};
use crate::support::tarball::Entry;
use crate::support::{Release, Reply, Seed, Setup, Upstream, eventually, noise, setting};

/// Kills of a sync under way, and of a proxy that syncs; `SCRIPTORIUM_MIRROR_KILLS` sets another number.
const KILLS: u64 = 60;

fn kills() -> u64 {
    setting("SCRIPTORIUM_MIRROR_KILLS", KILLS)
}

const RELEASES: usize = 24;

/// A registry whose archives take a moment, and the mirror of all of them.
fn slow_registry() -> (Upstream, Vec<Release>, Setup) {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..RELEASES).map(|number| format!("v{number}")).collect();
    let releases = names.iter().enumerate().map(|(number, name)| {
        Release::new(name, "1.0.0").adding(Entry::file("data.bin", noise(number as u64, 40 << 10)))
    });
    let releases: Vec<Release> = releases.collect();
    for release in &releases {
        let slow = Reply::archive(release.archive()).slowed_by(Duration::from_millis(4));
        upstream.publish_with(release, slow);
    }
    let setup = Setup::before(&upstream).mirror("ci", &format!("roots = {names:?}\ntrust = false"));
    (upstream, releases, setup)
}

/// What a sync that is left alone comes to: everything, and no archive that was here.
fn assert_it_goes_on(upstream: &Upstream, releases: &[Release], config: &Path) {
    upstream.take_seen();
    let (code, sync) = mirror(config, &["sync"]);
    assert_eq!((code, &sync["releases"], missing(&sync).len()), (0, &json!(RELEASES), 0), "{sync}");
    assert_eq!(mirror(config, &["verify"]).0, 0);
    let again = releases.iter().filter(|release| upstream.requests(&release.source()) > 0).count();
    assert_eq!(sync["fetched"]["archives"], again, "{sync}");
    let (_, sync) = mirror(config, &["sync"]);
    assert_eq!(sync["fetched"]["archives"], 0, "{sync}");
}

#[test]
fn a_sync_that_is_killed_goes_on_where_it_stood() {
    let (upstream, releases, setup) = slow_registry();
    let desk = Desk::new(&setup);
    let begun = Instant::now();
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let (seed, whole, kills) = (Seed::from("MIRROR_SEED"), begun.elapsed(), kills());
    let (mut killed, mut runs) = (0, 0);
    while killed < kills {
        let mut sync = desk.command(&["sync", "--json"]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(whole.mul_f64(seed.choices(runs).f64()));
        runs += 1;
        if let Some(status) = sync.try_wait().unwrap() {
            assert!(status.success(), "undisturbed it failed: {status}");
            std::fs::remove_dir_all(desk.data()).unwrap();
            continue;
        }
        sync.kill().unwrap();
        sync.wait().unwrap();
        killed += 1;
    }
    assert_it_goes_on(&upstream, &releases, &desk.config());
}

#[test]
fn a_proxy_that_is_killed_while_it_syncs_goes_on_where_it_stood() {
    let (upstream, releases, setup) = slow_registry();
    let mut proxy = setup.start();
    let (seed, kills) = (Seed::from("MIRROR_SEED"), kills());
    let (mut killed, mut runs) = (0, 0);
    while killed < kills {
        let mut chance = seed.choices(runs);
        runs += 1;
        assert_eq!(proxy.admin().send("POST", "/admin/v1/mirrors/ci/sync", &[]).status, 202);
        thread::sleep(Duration::from_millis(chance.u64(..300)));
        let status = proxy.admin().get("/admin/v1/mirrors").ok().json();
        let is_under_way = status["mirrors"][0]["running"] == true;
        killed += u64::from(is_under_way);
        proxy.crash();
        if !is_under_way {
            std::fs::remove_dir_all(proxy.data()).unwrap();
        }
        proxy.revive();
        // A client gets right bytes whatever the sync left.
        let release = &releases[chance.usize(..RELEASES)];
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    }
    assert_it_goes_on(&upstream, &releases, &proxy.config());
}

#[test]
fn clients_never_see_half_a_sync() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    let bulb = depending("bulb", "2.0.0", &[]).source();
    let held = upstream.hold(&bulb);
    let mut sync = desk.command(&["sync", "--json"]).stdout(Stdio::null()).spawn().unwrap();
    eventually("the sync at work", || (upstream.requests(&bulb) > 0).then_some(()));
    sync.kill().unwrap();
    sync.wait().unwrap();
    upstream.down();
    held.release();
    let storage = format!("file://{}", desk.data().display());
    let proxy = lamps(&upstream).set("storage.url", storage).set("cache.offline", true).start();
    let (mut shown, mut withheld) = (0, 0);
    for name in ["@acme/lamp", "bulb", "wire"] {
        let index = proxy.client().get(&Release::new(name, "1.0.0").index()).ok().json();
        for row in index["items"].as_array().unwrap() {
            let release = Release::new(name, row["version"].as_str().unwrap());
            if row["status"]["state"] == "available" {
                shown += 1;
                assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
            } else {
                withheld += 1;
                let reason = row["status"]["reason"].as_str().unwrap();
                assert!(reason.starts_with("not-held:"), "{row}");
            }
        }
    }
    assert_eq!(shown + withheld, 6);
    assert!(withheld >= 3, "the bulb, the old lamp and what is not of the mirror");
}

#[test]
fn two_syncs_of_one_mirror_never_run_at_once() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    let held = upstream.hold(&depending("bulb", "2.0.0", &[]).source());
    let first = desk.command(&["sync", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let source = depending("bulb", "2.0.0", &[]).source();
    eventually("the first sync at work", || (upstream.requests(&source) > 0).then_some(()));
    let before = upstream.seen().len();
    let (code, second) = desk.mirror(&["sync"]);
    assert_eq!(code, 1);
    assert!(reason(&second, "@acme/lamp").contains("another process"), "{second}");
    let after = upstream.seen().len();
    held.release();
    let first = first.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!((first.status.code(), &said["mirrors"][0]["complete"]), (Some(0), &json!(true)), "{said}");
    assert!(after - before <= 3, "the second asked {} questions", after - before);
    assert_eq!(desk.mirror(&["status"]).0, 0, "what the second said is not recorded");
}
