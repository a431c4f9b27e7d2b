//! Exports and imports that are killed at random instants: run again they complete, readers never see a row whose bytes are
//! not here, and nothing is left behind.
//!
//! `BUNDLE_KILLS` kills each of the three so often, and `BUNDLE_SEED` has the instants of an earlier run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::crossing::{Luggage, command, contents, mirror, receiver, rows_hold, selected};
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Seed, Setup, Upstream, eventually, noise, setting};

fn kills() -> u64 {
    setting("BUNDLE_KILLS", 60)
}

fn releases() -> Vec<Release> {
    let release = |number: u64| {
        let release = Release::new("lamp", &format!("1.{number}.0"));
        release.adding(Entry::file("big", noise(number + 1, 150_000)))
    };
    (0..12).map(release).collect()
}

/// A stopped proxy that has seen `releases`.
fn sender(upstream: &Upstream, releases: &[Release]) -> Proxy {
    releases.iter().for_each(|release| upstream.publish(release));
    let mut near = Setup::before(upstream).start();
    for release in releases {
        for target in [release.index(), release.exact(), release.download()] {
            near.client().get(&target).ok();
        }
    }
    near.stop();
    selected(&near, upstream, &releases.iter().collect::<Vec<_>>());
    near
}

/// Kills of a command at instants that chance chooses.
struct Killer {
    seed: Seed,
    /// How long the command takes undisturbed.
    whole: Duration,
    killed: u64,
    begun: u64,
}

impl Killer {
    fn new(undisturbed: impl FnOnce()) -> Self {
        let begun = Instant::now();
        undisturbed();
        Self { seed: Seed::from("BUNDLE_SEED"), whole: begun.elapsed(), killed: 0, begun: 0 }
    }

    /// Runs `command`; whether it came to its end before it was killed.
    fn run(&mut self, command: &mut Command) -> bool {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(self.whole.mul_f64(self.seed.choices(self.begun).f64()));
        self.begun += 1;
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "undisturbed it failed: {status}");
            return true;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.killed += 1;
        false
    }
}

/// Nothing is in the storage but what belongs there.
fn nothing_leaks(far: &Proxy, releases: &[Release]) {
    eventually("no staged file", || far.files("staging").is_empty().then_some(()));
    assert_eq!(far.files("archives").len(), releases.len());
    assert_eq!(far.files("quarantine"), Vec::<PathBuf>::new());
}

#[test]
fn an_export_that_is_killed_leaves_no_bundle_that_is_believed_and_is_run_again() {
    let (luggage, upstream, releases) = (Luggage::new(), Upstream::start(), releases());
    let key = luggage.key("corp");
    let near = sender(&upstream, &releases);
    let mut far = receiver(&upstream, &key).start();
    far.stop();
    let export = |part_size: bool| {
        let (to, key) = (luggage.at("bundle"), luggage.at("corp.key"));
        let mut arguments = vec!["export", "ci", "--to", &to, "--key", &key];
        arguments.extend(["--part-size", "1MiB"].into_iter().filter(|_| part_size));
        command(&near, &arguments)
    };
    let names = || {
        let left = contents(&luggage.path("bundle")).into_keys();
        let mut names: Vec<_> = left.map(|path| path.file_name().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let before = contents(&near.data());
    let mut killer = Killer::new(|| assert!(export(false).output().unwrap().status.success()));
    let whole = names();
    let mut in_parts = false;
    while killer.killed < kills() {
        let is_done = killer.run(&mut export(in_parts));
        let said: Value = mirror(&far, &["inspect", &luggage.at("bundle"), "--json"]).json();
        assert!(matches!(said["signature"].as_str(), Some("trusted" | "missing")), "{said}");
        assert!(said["intact"] == true || said["signature"] == "missing", "{said}");
        assert!(!is_done || said["signature"] == "trusted", "{said}");
        if is_done {
            assert!(in_parts || names() == whole, "{:?}", names());
            in_parts = !in_parts;
            // The next one begins beside what this one left, or in an empty folder.
            if killer.killed.is_multiple_of(2) {
                fs::remove_dir_all(luggage.path("bundle")).unwrap();
                fs::create_dir(luggage.path("bundle")).unwrap();
            }
        }
    }
    assert!(export(false).output().unwrap().status.success());
    assert_eq!(names(), whole);
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    far.revive();
    assert_eq!(rows_hold(&far, &releases), releases.len());
    let but_the_journal = |mut files: BTreeMap<PathBuf, _>| {
        files.remove(&near.data().join("bundles"));
        files
    };
    let (before, after) = (but_the_journal(before), but_the_journal(contents(&near.data())));
    assert!(before == after, "the sender's storage: {:?}", after.keys());
}

/// Kills imports of `bundle` into `far`, which runs or not, until there were enough kills.
fn kill_imports(far: &mut Proxy, luggage: &Luggage, releases: &[Release], runs: bool) {
    let bundle = luggage.at("bundle");
    let mut killer = Killer::new(|| drop(mirror(far, &["import", &bundle]).exits(0)));
    anew(far, runs);
    while killer.killed < kills() {
        let over = AtomicBool::new(!runs);
        let is_done = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    rows_hold(far, releases);
                }
            });
            let is_done = killer.run(&mut command(far, &["import", &bundle]));
            over.store(true, Ordering::SeqCst);
            reader.join().unwrap();
            is_done
        });
        // A proxy that does not run finds what was left when it starts, which takes a while: now and then.
        let looks = runs || is_done || killer.killed.is_multiple_of(8);
        if looks && !runs {
            far.revive();
        }
        if looks {
            let held = rows_hold(far, releases);
            assert!(!is_done || held == releases.len(), "an import that ended is whole");
        }
        if is_done {
            nothing_leaks(far, releases);
            anew(far, runs);
        } else if looks && !runs {
            far.stop();
        }
    }
    if !runs {
        far.revive();
    }
    mirror(far, &["import", &bundle]).exits(0);
    assert_eq!(rows_hold(far, releases), releases.len());
    nothing_leaks(far, releases);
}

/// Another storage, empty, for the same proxy.
fn anew(far: &mut Proxy, runs: bool) {
    if far.is_running() {
        far.stop();
    }
    fs::remove_dir_all(far.data()).unwrap();
    if runs {
        far.revive();
    }
}

/// A receiver, and a bundle for it.
fn sites(luggage: &Luggage, releases: &[Release]) -> (Upstream, Proxy) {
    let (upstream, key) = (Upstream::start(), luggage.key("corp"));
    let near = sender(&upstream, releases);
    mirror(&near, &["export", "ci", "--to", &luggage.at("bundle"), "--key", &luggage.at("corp.key")])
        .exits(0);
    let far = receiver(&upstream, &key).start();
    (upstream, far)
}

#[test]
fn an_import_that_is_killed_at_any_moment_goes_on() {
    let (luggage, releases) = (Luggage::new(), releases());
    let (_upstream, mut far) = sites(&luggage, &releases);
    far.stop();
    kill_imports(&mut far, &luggage, &releases, false);
}

#[test]
fn an_import_beside_a_running_proxy_is_killed_and_readers_see_whole_rows_only() {
    let (luggage, releases) = (Luggage::new(), releases());
    let (_upstream, mut far) = sites(&luggage, &releases);
    kill_imports(&mut far, &luggage, &releases, true);
}
