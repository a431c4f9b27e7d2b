//! Addresses that expire: an archive or an attachment that its address no longer gives is asked for where its document
//! says by then, and that question is put once.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::catalogue::Artifact;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually};

const EXPIRED: [u16; 4] = [401, 403, 404, 410];

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// A registry whose archives are at a host of their own, under addresses that are good until the next ones are given.
struct Signing {
    registry: Upstream,
    cdn: Arc<Upstream>,
    /// The address that is good now.
    now: Arc<AtomicUsize>,
    status: u16,
}

impl Signing {
    fn start(status: u16) -> Self {
        let (registry, cdn) = (Upstream::start(), Arc::new(Upstream::start()));
        registry.publish(&lamp());
        let signing = Self { registry, cdn, now: Arc::default(), status };
        signing.sign();
        signing.compute();
        signing
    }

    /// Names the good address of everything, and confirms whatever it is asked to.
    fn compute(&self) {
        let (base, now) = (self.cdn.url(), Arc::clone(&self.now));
        let told = move |make: fn(&str) -> Value| {
            let (base, now) = (base.clone(), Arc::clone(&now));
            move |seen: &crate::support::Seen| match seen.fields.get("if-none-match") {
                Some(tag) => Reply::new(304, "application/json", "").with("etag", tag),
                None => Reply::json(&make(&format!("{base}/{}", now.load(Ordering::SeqCst)))),
            }
        };
        self.registry.compute("GET", &lamp().exact(), told(|base| lamp().metadata(base)));
        let detail = |base: &str| lamp().attested(&artifacts().map(|artifact| artifact.attachment(base)));
        self.registry.compute("GET", &lamp().trust("detail"), told(detail));
    }

    /// The next addresses become good, and all before them expire.
    fn sign(&self) {
        let before = format!("/{}", self.now.load(Ordering::SeqCst));
        let now = format!("/{}", self.now.fetch_add(1, Ordering::SeqCst) + 1);
        let expired = Reply::new(self.status, "application/xml", "<Error>Request has expired</Error>");
        self.cdn.reply(&(before.clone() + &lamp().source()), expired.clone());
        self.cdn.reply(&(now.clone() + &lamp().source()), Reply::archive(lamp().archive()).ranged());
        for artifact in artifacts() {
            self.cdn.reply(&(before.clone() + &artifact.source()), expired.clone());
            self.cdn.reply(&(now.clone() + &artifact.source()), artifact.reply());
        }
    }

    fn setup(&self) -> Setup {
        Setup::before(&self.registry).set("upstream.archive_hosts", vec![self.cdn.authority()])
    }

    fn questions(&self) -> usize {
        self.registry.requests(&lamp().exact())
    }
}

fn artifacts() -> [Artifact; 2] {
    ["one", "two"].map(|id| Artifact::new(id, "text/plain", format!("attachment {id}")))
}

fn forget_files(proxy: &mut Proxy) {
    proxy.stop();
    for shelf in ["archives", "trust-artifacts"] {
        let _ = fs::remove_dir_all(proxy.data().join(shelf));
    }
    proxy.revive();
}

#[test]
fn an_archive_is_fetched_from_its_new_address() {
    each(EXPIRED, |status| {
        let signing = Signing::start(status);
        let mut proxy = signing.setup().start();
        proxy.client().get(&lamp().exact()).ok();
        signing.sign();
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive(), "{status}");
        assert_eq!(signing.questions(), 2, "{status}: one more question");
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        // Evicted, and expired again.
        signing.sign();
        forget_files(&mut proxy);
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive(), "{status}: evicted");
        assert_eq!(signing.questions(), 3, "{status}");
    });
}

#[test]
fn a_damaged_archive_is_healed_from_its_new_address() {
    each(EXPIRED, |status| {
        let signing = Signing::start(status);
        let proxy = signing.setup().start();
        proxy.client().get(&lamp().download()).ok();
        signing.sign();
        let [file] = proxy.files("archives").try_into().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[100] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive(), "{status}");
    });
}

#[test]
fn attachments_are_fetched_from_their_new_addresses() {
    each(EXPIRED, |status| {
        let signing = Signing::start(status);
        let proxy = signing.setup().start();
        proxy.client().get(&lamp().trust("detail")).ok();
        signing.sign();
        for artifact in artifacts() {
            assert_eq!(proxy.client().get(&artifact.download(&lamp())).ok().body, artifact.bytes, "{status}");
        }
        let asked = signing.registry.requests(&lamp().trust("detail"));
        assert_eq!(asked, 2, "{status}: one question for both");
    });
}

#[test]
fn an_address_that_stays_dead_is_an_error_and_asked_about_once() {
    each(EXPIRED, |status| {
        let signing = Signing::start(status);
        let proxy = signing.setup().set("cache.negative_ttl", "1h").start();
        proxy.client().get(&lamp().exact()).ok();
        signing.cdn.otherwise(Reply::failure(status));
        signing.cdn.reply(&format!("/1{}", lamp().source()), Reply::failure(status));
        let client = proxy.client();
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(move || client.get(&lamp().download()).could_not_ask());
            }
        });
        for _ in 0..5 {
            let problem = proxy.client().get(&lamp().download()).problem(502, "about:blank");
            let detail = problem["detail"].as_str().unwrap();
            assert!(!detail.contains("credential"), "{status}: {detail}");
        }
        assert_eq!(signing.questions(), 2, "{status}: one more for all of them");
        let asked = signing.questions();
        proxy.invalidate(&json!({ "volume": "@acme/lamp" })).ok();
        signing.sign();
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        assert_eq!(signing.questions(), asked + 1);
    });
}

#[test]
fn a_release_that_was_blocked_meanwhile_is_said_to_be() {
    let signing = Signing::start(403);
    let proxy = signing.setup().start();
    proxy.client().get(&lamp().exact()).ok();
    signing.sign();
    signing.registry.compute("GET", &lamp().exact(), |_| crate::support::divergence::refusal(403));
    proxy.client().get(&lamp().download()).problem(403, "authorization-failed");
    eventually("the block everywhere", || (proxy.client().get(&lamp().exact()).status == 403).then_some(()));
}

#[test]
fn a_registry_that_cannot_be_asked_for_the_address_leaves_the_first_error() {
    let signing = Signing::start(403);
    let proxy = signing.setup().start();
    proxy.client().get(&lamp().exact()).ok();
    signing.sign();
    signing.registry.down();
    proxy.client().get(&lamp().download()).could_not_ask();
    signing.registry.up();
    eventually("the archive", || (proxy.client().get(&lamp().download()).status == 200).then_some(()));
}
