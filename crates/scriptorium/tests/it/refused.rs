//! An archive that was refused for what it is: fetched once, remembered, and what its release is from then on.

use serde_json::Value;

use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

/// Why an archive is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Digest,
    Profile,
    Identity,
    Manifest,
    Escalation,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Digest, Self::Profile, Self::Identity, Self::Manifest, Self::Escalation];

    /// The release with this fault.
    fn release(self) -> Release {
        match self {
            Self::Digest => lamp(),
            Self::Profile => lamp().adding(Entry::file("../escape", "x")),
            Self::Identity => lamp().manifest(&manifest("@acme/lantern", "")),
            Self::Manifest => lamp().manifest("no manifest"),
            Self::Escalation => {
                lamp().manifest(&manifest("@acme/lamp", "permissions = { shell = \"allow\" }\n"))
            }
        }
    }

    /// What the archive, and from then on exact metadata too, is answered with.
    fn problem(self) -> (u16, &'static str) {
        match self {
            Self::Identity => (409, "identity-mismatch"),
            Self::Escalation => (403, "authorization-failed"),
            Self::Digest | Self::Profile | Self::Manifest => (409, "inconsistent-registry-state"),
        }
    }

    /// What its row is shown as.
    fn state(self) -> &'static str {
        if self == Self::Escalation { "blocked" } else { "unavailable" }
    }

    fn tell(self, upstream: &Upstream) {
        let release = self.release();
        upstream.publish(&release);
        if self == Self::Digest {
            let other = lamp().adding(Entry::file("docs/more.md", "more"));
            upstream.reply(&release.source(), Reply::archive(other.archive()));
        }
    }
}

fn manifest(name: &str, component: &str) -> String {
    format!(
        "[volume]\nschema = 1\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"d\"\nlicense = \"MIT\"\n\
         role = \"plugin\"\n\n[publisher]\nid = \"acme\"\n\n[[components]]\ntype = \"skill\"\nname = \"guide\"\n\
         entrypoint = \"docs/guide.md\"\n{component}"
    )
}

fn started(fault: Fault) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    fault.tell(&upstream);
    let proxy = Setup::before(&upstream).short_lived().start();
    (upstream, proxy)
}

fn status(proxy: &Proxy) -> Value {
    proxy.client().get(&lamp().index()).ok().json()["items"][0]["status"].clone()
}

fn is_shown_as(proxy: &Proxy, fault: Fault) -> bool {
    let status = status(proxy);
    status["state"] == fault.state() && status["reason"].as_str().unwrap_or_default().starts_with("refused:")
}

#[test]
fn a_refused_archive_is_fetched_once_and_its_release_says_so_everywhere() {
    each(Fault::ALL, |fault| {
        let (upstream, mut proxy) = started(fault);
        assert_eq!(status(&proxy)["state"], "available", "{fault:?}: nobody looked yet");
        proxy.client().get(&lamp().exact()).ok();
        let (code, slug) = fault.problem();
        proxy.client().get(&lamp().download()).problem(code, slug);
        for _ in 0..20 {
            assert_eq!(proxy.client().head(&lamp().download()).status, code, "{fault:?}");
        }
        let restarted = |proxy: &Proxy| {
            for target in [lamp().exact(), lamp().download()] {
                proxy.client().get(&target).problem(code, slug);
            }
            assert!(is_shown_as(proxy, fault), "{fault:?}: {}", status(proxy));
        };
        restarted(&proxy);
        proxy.crash_and_restart();
        restarted(&proxy);
        assert_eq!(upstream.requests(&lamp().source()), 1, "{fault:?}");
        // The record of the release is fresh for a second, and only then nobody is asked first.
        let explained = eventually("the refusal as the verdict", || {
            proxy.client().get(&lamp().exact()).problem(code, slug);
            let explained = proxy.explain(&lamp().name, &lamp().version);
            (explained["verdict"]["exact"]["rule"] == "refused").then_some(explained)
        });
        assert_eq!(explained["refusal"]["integrity"], fault.release().integrity(), "{explained}");
    });
}

#[test]
fn after_an_invalidation_it_is_tried_again() {
    each(Fault::ALL, |fault| {
        let (upstream, proxy) = started(fault);
        let (code, slug) = fault.problem();
        proxy.client().get(&lamp().download()).problem(code, slug);
        proxy.invalidate(&serde_json::json!({ "volume": "@acme/lamp" }));
        assert_eq!(status(&proxy)["state"], "available", "{fault:?}");
        proxy.client().get(&lamp().download()).problem(code, slug);
        assert_eq!(upstream.requests(&lamp().source()), 2, "{fault:?}");
        if fault == Fault::Digest {
            upstream.reply(&lamp().source(), Reply::archive(lamp().archive()));
            proxy.invalidate(&serde_json::json!({ "volume": "@acme/lamp" }));
            assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
            assert_eq!(status(&proxy)["state"], "available");
        }
    });
}

#[test]
fn what_was_refused_is_not_held_against_what_corrects_it() {
    each(Fault::ALL, |fault| {
        let (upstream, proxy) = started(fault);
        let (code, slug) = fault.problem();
        proxy.client().get(&lamp().download()).problem(code, slug);
        let right = lamp().adding(Entry::file("docs/right.md", "right"));
        upstream.publish(&right);
        eventually("the corrected release", || {
            (proxy.client().get(&lamp().exact()).status == 200).then_some(())
        });
        assert_eq!(proxy.client().get(&lamp().download()).ok().body, right.archive(), "{fault:?}");
        eventually("its row", || (status(&proxy)["state"] == "available").then_some(()));
        proxy.agrees_again();
    });
}

#[test]
fn what_was_verified_once_stays_pinned_though_worse_is_offered_later() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().download()).ok();
    proxy.restart_without("archives");
    Fault::Digest.tell(&upstream);
    proxy.client().get(&lamp().download()).problem(409, "inconsistent-registry-state");
    upstream.publish(&lamp().adding(Entry::file("docs/other.md", "other")));
    eventually("the change is refused", || {
        let answer = proxy.client().get(&lamp().exact());
        let kind = answer.json()["divergence"]["kind"].clone();
        (answer.status == 409 && kind == "integrity-changed").then_some(())
    });
}

#[test]
fn what_is_too_large_for_this_proxy_is_no_verdict() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).set("limits.max_entries", 2).start();
    proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    assert_eq!(status(&proxy)["state"], "available");
    proxy.reconfigure(|setup| setup.set("limits.max_entries", 1000));
    assert_eq!(proxy.reload().status, 200);
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
}

#[test]
fn damage_on_the_way_is_no_verdict() {
    let (upstream, release) = (Upstream::start(), lamp());
    upstream.publish(&release);
    let archive = release.archive();
    upstream.reply(&release.source(), Reply::archive(archive[..archive.len() - 4].to_vec()));
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.download()).could_not_ask();
    assert_eq!(status(&proxy)["state"], "available");
    upstream.publish(&release);
    assert_eq!(proxy.client().get(&release.download()).ok().body, archive);
}
