//! A disk that is full, takes no writes or holds something else than it should: what is held is served, what is
//! asked for is fetched and checked, whoever looks sees the state, and no first sight of a release is forgotten.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::catalogue::attachment;
use crate::support::disk::taken;
use crate::support::divergence::{refusal, replaced};
use crate::support::tarball::Entry;
use crate::support::{Disk, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const MIB: u64 = 1 << 20;

fn release(name: &str) -> Release {
    let seed = name.bytes().map(u64::from).sum();
    Release::new(&format!("@acme/{name}"), "1.0.0").adding(Entry::file("data.bin", noise(seed, 300 << 10)))
}

fn published(upstream: &Upstream, name: &str) -> Release {
    let release = release(name);
    upstream.publish(&release);
    release
}

/// What a disk does to the proxy on it.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Full,
    ReadOnly,
}

impl Outage {
    fn begin(self, disk: &Disk) {
        match self {
            Self::Full => disk.fill(),
            Self::ReadOnly => disk.read_only(),
        }
    }

    fn end(self, disk: &Disk) {
        match self {
            Self::Full => disk.free(),
            Self::ReadOnly => disk.writable(),
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "denied",
        }
    }
}

fn pull(proxy: &Proxy, release: &Release) {
    let answer = proxy.client().get(&release.download()).ok();
    assert!(answer.body == release.archive(), "wrong bytes of {}", release.name);
}

fn until_refused(proxy: &Proxy, release: &Release) {
    let refused = eventually("the replacement to be noticed", || {
        Some(proxy.client().get(&release.exact())).filter(|answer| answer.status != 200)
    });
    refused.problem(409, "inconsistent-registry-state");
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
}

fn state_of(proxy: &Proxy, state: &str) -> f64 {
    proxy.metric(&format!("scriptorium_store_state{{state=\"{state}\"}}"))
}

fn until_state(proxy: &Proxy, state: &str) -> Value {
    eventually(&format!("the state {state}"), || {
        Some(proxy.storage()).filter(|storage| storage["state"] == state)
    })
}

#[track_caller]
fn assert_told(proxy: &Proxy, outage: Outage) {
    let storage = until_state(proxy, outage.state());
    let said = |member: &str| storage[member].as_str().is_some_and(|text| !text.is_empty());
    assert!(said("detail") && said("since"), "{storage}");
    assert!((state_of(proxy, outage.state()), state_of(proxy, "ok")) == (1.0, 0.0));
    assert_eq!(proxy.admin().get("/readyz").status, 200);
}

/// Nobody asks for anything meanwhile.
fn until_well(proxy: &Proxy) {
    until_state(proxy, "ok");
    assert_eq!(state_of(proxy, "ok"), 1.0);
}

fn pins(proxy: &Proxy) -> usize {
    taken(&proxy.data().join("pins")).0
}

fn archives(proxy: &Proxy) -> usize {
    taken(&proxy.data().join("archives")).0
}

fn serves_through(outage: Outage) {
    let (upstream, scratch) = (Upstream::start(), TempDir::new().unwrap());
    let Some(disk) = Disk::of(24 * MIB) else { return };
    let [held, fresh, later] = ["held", "fresh", "later"].map(|name| published(&upstream, name));
    let setup = Setup::before(&upstream).set("storage.scratch", scratch.path().to_str().unwrap());
    let mut proxy = Proxy::start_on(&disk, setup);
    pull(&proxy, &held);
    outage.begin(&disk);

    assert!(proxy.client().get(&held.exact()).ok().is_hit());
    pull(&proxy, &held);
    for target in [fresh.index(), fresh.exact()] {
        proxy.client().get(&target).ok();
    }
    pull(&proxy, &fresh);
    assert_told(&proxy, outage);
    assert_eq!(upstream.requests(&held.source()), 1);
    assert_eq!(archives(&proxy), 1);

    // So does a process that finds the disk like that.
    proxy.restart();
    let asked = upstream.connections();
    for target in [held.index(), held.exact()] {
        assert!(proxy.client().get(&target).ok().is_hit(), "{target}");
    }
    pull(&proxy, &held);
    assert_eq!(upstream.connections(), asked, "what is held was fetched");
    pull(&proxy, &fresh);
    assert_told(&proxy, outage);

    outage.end(&disk);
    until_well(&proxy);
    pull(&proxy, &later);
    assert_eq!(archives(&proxy), 2, "what was pulled first after the outage is stored");
    eventually("no scratch file", || (taken(scratch.path()).0 == 0).then_some(()));
    assert_eq!(taken(&proxy.data().join("staging")).0, 0);
}

#[test]
fn a_full_disk_costs_no_answer() {
    serves_through(Outage::Full);
}

#[test]
fn a_read_only_disk_costs_no_answer() {
    serves_through(Outage::ReadOnly);
}

fn binds_through(outage: Outage) {
    let upstream = Upstream::start();
    let Some(disk) = Disk::of(24 * MIB) else { return };
    let [held, during, after] = ["held", "during", "after"].map(|name| published(&upstream, name));
    let mut proxy = Proxy::start_on(&disk, Setup::before(&upstream).short_lived());
    pull(&proxy, &held);
    outage.begin(&disk);
    pull(&proxy, &during);
    proxy.client().get(&after.exact()).ok();
    assert_eq!(pins(&proxy), 1, "a pin was written to a disk that takes none");

    upstream.publish(&replaced(&held));
    until_refused(&proxy, &held);
    upstream.publish(&replaced(&during));
    until_refused(&proxy, &during);

    outage.end(&disk);
    eventually("the pins on the disk", || (pins(&proxy) == 3).then_some(()));
    upstream.publish(&replaced(&after));
    until_refused(&proxy, &after);
    proxy.restart();
    for release in [&held, &during, &after] {
        until_refused(&proxy, release);
        upstream.publish(release);
        eventually("the release that was first", || {
            (proxy.client().get(&release.download()).status == 200).then_some(())
        });
        pull(&proxy, release);
    }
}

#[test]
fn what_is_first_seen_on_a_full_disk_binds() {
    binds_through(Outage::Full);
}

#[test]
fn what_is_first_seen_on_a_read_only_disk_binds() {
    binds_through(Outage::ReadOnly);
}

#[test]
fn a_refusal_that_came_on_a_full_disk_outlives_the_process() {
    let upstream = Upstream::start();
    let Some(disk) = Disk::of(24 * MIB) else { return };
    let [blocked, held] = ["blocked", "held"].map(|name| published(&upstream, name));
    let mut proxy = Proxy::start_on(&disk, Setup::before(&upstream).short_lived());
    pull(&proxy, &blocked);
    pull(&proxy, &held);
    disk.fill();
    let row = blocked.clone().state("blocked", "malicious").row(&upstream.url());
    upstream.say(&blocked, [row], refusal(403));
    for target in [blocked.exact(), blocked.download()] {
        eventually("the block", || (proxy.client().get(&target).status == 403).then_some(()));
    }
    // Another answer that says the same could not be stored either, and costs nothing.
    eventually("another answer", || {
        proxy.client().get(&held.exact()).ok();
        (upstream.requests(&held.exact()) > 2).then_some(())
    });
    upstream.down();
    proxy.crash_and_restart();
    for target in [blocked.exact(), blocked.download()] {
        let answer = proxy.client().get(&target);
        assert!(answer.status != 200, "what was refused is served: {}", answer.text());
    }
    proxy.client().get(&held.exact()).ok();
    pull(&proxy, &held);
}

#[test]
fn attachments_that_cannot_be_remembered_are_not_believed_yet() {
    for outage in [Outage::Full, Outage::ReadOnly] {
        let upstream = Upstream::start();
        let Some(disk) = Disk::of(24 * MIB) else { return };
        let [before, during] = ["before", "during"].map(|name| published(&upstream, name));
        for release in [&before, &during] {
            let detail = release.attested(&[attachment("sbom", "content", "active")]);
            upstream.reply(&release.trust("detail"), Reply::json(&detail));
        }
        let proxy = Proxy::start_on(&disk, Setup::before(&upstream).short_lived());
        proxy.client().get(&before.trust("detail")).ok();
        outage.begin(&disk);
        proxy.client().get(&before.trust("detail")).ok();
        let refused = proxy.client().get(&during.trust("detail"));
        let status = if matches!(outage, Outage::Full) { 507 } else { 503 };
        refused.problem(status, "about:blank");
        proxy.client().get(&during.exact()).ok();
        outage.end(&disk);
        eventually("the trust detail", || {
            (proxy.client().get(&during.trust("detail")).status == 200).then_some(())
        });
    }
}

#[test]
fn without_room_anywhere_the_answer_says_what_to_do() {
    let (upstream, scratch) = (Upstream::start(), TempDir::new().unwrap());
    let Some(disk) = Disk::of(24 * MIB) else { return };
    let [held, fresh] = ["held", "fresh"].map(|name| published(&upstream, name));
    let setup = Setup::before(&upstream)
        .set("storage.scratch", scratch.path().to_str().unwrap())
        .set("storage.max_scratch", "64KiB");
    let proxy = Proxy::start_on(&disk, setup);
    pull(&proxy, &held);
    disk.fill();
    for _ in 0..2 {
        let problem = proxy.client().get(&fresh.download()).problem(507, "about:blank");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("storage.max_scratch"), "{detail}");
    }
    proxy.client().get(&fresh.exact()).ok();
    pull(&proxy, &held);
    assert_told(&proxy, Outage::Full);
    disk.free();
    until_well(&proxy);
    pull(&proxy, &fresh);
    assert_eq!(taken(scratch.path()).0, 0);
}

#[test]
fn a_store_that_was_read_only_from_the_start_serves_what_it_holds() {
    let upstream = Upstream::start();
    let Some(disk) = Disk::of(24 * MIB) else { return };
    let [held, fresh] = ["held", "fresh"].map(|name| published(&upstream, name));
    let mut proxy = Proxy::start_on(&disk, Setup::before(&upstream));
    pull(&proxy, &held);
    proxy.stop();
    disk.read_only();
    proxy.revive();
    let asked = upstream.connections();
    for target in [held.index(), held.exact(), held.download()] {
        assert!(proxy.client().get(&target).ok().is_hit(), "{target}");
    }
    assert_eq!(upstream.connections(), asked);
    until_state(&proxy, "denied");
    pull(&proxy, &fresh);
    assert_eq!(proxy.storage()["counted"], true);
}

#[test]
fn a_place_that_is_no_directory_costs_what_lies_there_and_nothing_else() {
    for shelf in ["archives", "documents", "pins", "staging"] {
        let upstream = Upstream::start();
        let names = ["held", "fresh", "later"].map(|name| format!("{name}-{shelf}"));
        let [held, fresh, later] = names.map(|name| published(&upstream, &name));
        let mut proxy = Setup::before(&upstream).start();
        pull(&proxy, &held);
        let (place, aside) = (proxy.data().join(shelf), proxy.data().join("aside"));
        fs::rename(&place, &aside).unwrap();
        fs::write(&place, "not a directory").unwrap();

        // What was pinned of a release cannot be read there, so that nothing is believed of one that was never confirmed.
        let confirmed = shelf != "pins";
        match confirmed {
            true => pull(&proxy, &fresh),
            false => {
                let refused = proxy.client().get(&fresh.download());
                assert_eq!(refused.status, 503, "{refused:?}");
            }
        }
        let storage = proxy.storage();
        assert_eq!(storage["state"], "failing", "{shelf}: {storage}");
        assert!(storage["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{storage}");
        assert_eq!(proxy.admin().get("/readyz").status, 200);
        for release in [&held, &fresh].into_iter().take(if confirmed { 2 } else { 1 }) {
            proxy.client().get(&release.exact()).ok();
            pull(&proxy, release);
        }
        assert!(proxy.is_running());

        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
        until_well(&proxy);
        let before = archives(&proxy);
        pull(&proxy, &later);
        assert_eq!(archives(&proxy), before + 1, "{shelf}");
        pull(&proxy, &fresh);
        eventually("the pins", || (pins(&proxy) == 3).then_some(()));
    }
}
