//! The room that an import takes: no more than there is, none that readers' archives have, and what came in stays. And no
//! two imports at once.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::process::Stdio;

use crate::support::crossing::{Luggage, command, mirror, receiver, rows_hold, selected};
use crate::support::tarball::Entry;
use crate::support::{Disk, Proxy, Release, Setup, Upstream, Watch, eventually, noise};

const MIB: usize = 1 << 20;

fn releases(name: &str, count: usize, size: usize) -> Vec<Release> {
    let release = |number| {
        let release = Release::new(name, &format!("1.{number}.0"));
        let seed = name.len() as u64 * 100 + number as u64 + 1;
        release.adding(Entry::file("big", noise(seed, size)))
    };
    (0..count).map(release).collect()
}

/// A bundle of each set of `releases`, numbered from 1, and the key that they are signed with.
fn bundles(luggage: &Luggage, upstream: &Upstream, sets: &[&[Release]]) -> String {
    let key = luggage.key("corp");
    let near = Setup::before(upstream).start();
    for (number, releases) in (1..).zip(sets) {
        releases.iter().for_each(|release| upstream.publish(release));
        for release in *releases {
            for target in [release.index(), release.exact(), release.download()] {
                near.client().get(&target).ok();
            }
        }
        selected(&near, upstream, &releases.iter().collect::<Vec<_>>());
        let (to, secret) = (luggage.at(&number.to_string()), luggage.at("corp.key"));
        mirror(&near, &["export", "ci", "--to", &to, "--key", &secret]).exits(0);
    }
    key
}

#[test]
fn an_import_without_room_says_so_and_completes_once_there_is_some() {
    let Some(disk) = Disk::of(24 * MIB as u64) else { return };
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let releases = releases("lamp", 6, MIB);
    let key = bundles(&luggage, &upstream, &[&releases]);
    let mut far = Proxy::start_on(&disk, receiver(&upstream, &key).set("storage.max_size", "20MiB"));
    far.stop();
    disk.fill();
    // Room for some of it.
    disk.shrink_filler(3 * MIB as u64);
    let said = mirror(&far, &["import", &luggage.at("1"), "--json"]).exits(1);
    assert!(format!("{}{}", said.out, said.err).contains("storage"), "{}{}", said.out, said.err);
    disk.free();
    mirror(&far, &["import", &luggage.at("1")]).exits(0);
    far.revive();
    eventually("the releases", || (rows_hold(&far, &releases) == releases.len()).then_some(()));
}

#[test]
fn an_import_that_reaches_max_size_stops_takes_nothing_from_readers_and_goes_on() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let (lamps, bulbs) = (releases("lamp", 4, MIB), releases("bulb", 12, 300_000));
    let key = bundles(&luggage, &upstream, &[&lamps, &bulbs]);
    let most = 7 * MIB as u64;
    let far = receiver(&upstream, &key).set("storage.max_size", "7MiB").start();
    mirror(&far, &["import", &luggage.at("1")]).exits(0);
    eventually("the lamps", || (far.stored("/bytes") > 4 * MIB as u64).then_some(()));

    let watch = Watch::over(&far.data());
    let said = mirror(&far, &["import", &luggage.at("2"), "--json"]).exits(1).json();
    let (taken, looks) = watch.most();
    assert!(looks > 0 && taken <= most, "{taken} bytes in {looks} looks");
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.contains("storage.max_size") && reason.contains("run the import again"), "{said}");
    assert_eq!(said["outcome"], "partial", "{said}");
    assert_eq!(rows_hold(&far, &lamps), lamps.len());
    assert_eq!(far.client().get(&bulbs[0].index()).status, 504, "no row of half an import is shown");
    eventually("no staged file", || far.files("staging").is_empty().then_some(()));
    eventually("the count", || (far.stored("/bytes") > 5 * MIB as u64).then_some(()));
    assert_eq!(far.stored("/evicted/values"), 0, "what both bundles selected stays");

    let inodes = |far: &Proxy| -> Vec<u64> {
        far.files("archives")
            .iter()
            .map(|file| std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap()))
            .collect()
    };
    let first = inodes(&far);
    far.reconfigure(|setup| setup.set("storage.max_size", "16MiB"));
    assert_eq!(far.reload().status, 200);
    mirror(&far, &["import", &luggage.at("2")]).exits(0);
    assert_eq!((rows_hold(&far, &lamps), rows_hold(&far, &bulbs)), (lamps.len(), bulbs.len()));
    let second = inodes(&far);
    assert!(
        first.len() > lamps.len() && first.iter().all(|file| second.contains(file)),
        "what was in is not written again"
    );
}

#[test]
fn what_the_last_bundle_selected_outlives_what_nobody_selects() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let (lamps, bulbs) = (releases("lamp", 4, MIB), releases("bulb", 4, MIB));
    let key = bundles(&luggage, &upstream, &[&lamps, &bulbs]);
    let mut far = receiver(&upstream, &key).set("storage.max_size", "16MiB").start();
    mirror(&far, &["import", &luggage.at("1")]).exits(0);
    mirror(&far, &["import", &luggage.at("2")]).exits(0);
    // The bulbs are used least, and would go first.
    for _ in 0..5 {
        rows_hold(&far, &lamps);
    }
    far.restart_as(|setup| setup.set("storage.max_size", "6MiB"));
    eventually("an eviction", || (far.stored("/bytes") < 6 * MIB as u64).then_some(()));
    assert_eq!(rows_hold(&far, &bulbs), bulbs.len());
    let held = lamps.iter().filter(|lamp| far.client().get(&lamp.download()).status == 200).count();
    assert!(held < lamps.len(), "{held} lamps");
    // `gc` spares it like a mirror's.
    let mut gc = crate::support::proxy::scriptorium();
    gc.args(["store", "gc", "--to", "1B", "--apply", "--json", "--config"]).arg(far.config());
    assert_eq!(gc.output().unwrap().status.code(), Some(1));
    assert_eq!(rows_hold(&far, &bulbs), bulbs.len());
}

#[test]
fn two_imports_never_run_at_once() {
    let (luggage, upstream) = (Luggage::new(), Upstream::start());
    let lamps = releases("lamp", 4, 300_000);
    let key = bundles(&luggage, &upstream, &[&lamps]);
    let far = receiver(&upstream, &key).start();
    let locks = far.data().join("locks");
    for folder in [locks.clone(), locks.join("an.import")] {
        let made = DirBuilder::new().mode(0o700).create(&folder);
        assert!(made.is_ok() || folder.is_dir(), "{made:?}");
    }
    // As another import would.
    let held = File::open(locks.join("an.import")).unwrap();
    held.lock().unwrap();
    let said = mirror(&far, &["import", &luggage.at("1"), "--json"]).exits(3).json();
    let reason = said["reason"].as_str().unwrap();
    assert!(reason.contains("another import") && reason.contains("run it again"), "{said}");
    let written = ["archives", "documents", "pins", "mirrors"].map(|shelf| far.files(shelf).len());
    assert!(written == [0; 4] && !far.data().join("bundles").exists(), "something was written");
    drop(held);

    let import = || {
        let mut import = command(&far, &["import", &luggage.at("1"), "--json"]);
        import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let both = [import(), import()].map(|mut import| import.wait().unwrap().code());
    assert!(both.contains(&Some(0)) && both.iter().all(|code| matches!(code, Some(0 | 3))), "{both:?}");
    assert_eq!(rows_hold(&far, &lamps), lamps.len());
    fs::metadata(far.data().join("bundles")).unwrap();
}
