//! What a trust view says must be true of itself: embedded bytes are those of their digest, an active attachment is about
//! this release, and no view goes back to an earlier revision.

use serde_json::{Value, json};

use crate::support::catalogue::Artifact;
use crate::support::divergence::{assert_divergent, replaced};
use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, each, eventually};

const TEXT: &str = "{\"서명\":\"\\u0000\"}";

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn artifact() -> Artifact {
    Artifact::new("sbom", "application/json", TEXT)
}

/// A proxy before a registry whose detail lists `artifact()` as `change` makes it.
fn attached(change: impl FnOnce(&mut Value)) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    attach(&upstream, change);
    upstream.reply(&artifact().source(), artifact().reply());
    let proxy = Setup::before(&upstream).short_lived().start();
    (upstream, proxy)
}

fn attach(upstream: &Upstream, change: impl FnOnce(&mut Value)) {
    let mut attachment = artifact().attachment(&upstream.url());
    change(&mut attachment);
    upstream.reply(&lamp().trust("detail"), Reply::json(&lamp().attested(&[attachment])));
}

fn until(proxy: &Proxy, target: &str, status: u16) -> Answer {
    eventually("another answer", || Some(proxy.client().get(target)).filter(|answer| answer.status == status))
}

#[test]
fn a_locator_with_url_and_embedded_is_taken_and_both_are_there() {
    let (_upstream, proxy) = attached(|it| it["locator"]["embedded"] = TEXT.into());
    let detail = proxy.client().get(&lamp().trust("detail")).ok().json();
    let locator = &detail["attachments"][0]["locator"];
    assert_eq!(locator["embedded"], TEXT);
    let here = format!("http://{}{}", proxy.authority(), artifact().download(&lamp()));
    assert_eq!(locator["url"], here);
    assert_eq!(proxy.client().get(&artifact().download(&lamp())).ok().body, TEXT.as_bytes());
}

#[test]
fn embedded_bytes_that_are_not_those_of_the_digest_are_refused() {
    let locators = [
        json!({ "embedded": "other", "url": "/cdn/trust/sbom" }),
        json!({ "embedded": TEXT.to_owned() + " " }),
        json!({ "embedded": { "value": TEXT } }),
        json!({ "embedded": "" }),
    ];
    each(&locators, |locator| {
        let (upstream, proxy) = attached(|it| it["locator"] = locator.clone());
        let refused = proxy.client().get(&lamp().trust("detail"));
        assert_divergent(&refused, &lamp(), "trust-detail", "trust-artifact");
        assert_eq!(proxy.client().get(&artifact().download(&lamp())).status, 409);
        proxy.client().get(&lamp().download()).ok();
        attach(&upstream, |it| it["locator"]["embedded"] = TEXT.into());
        until(&proxy, &lamp().trust("detail"), 200);
        proxy.agrees_again();
    });
}

#[test]
fn an_active_attachment_is_about_this_release() {
    let other = replaced(&lamp()).integrity();
    let about = |subject: &str, state: &'static str| {
        let subject = subject.to_owned();
        move |it: &mut Value| {
            it["verification"] = json!({ "subjectDigest": subject });
            it["status"]["state"] = state.into();
        }
    };
    let (upstream, proxy) = attached(about(&other, "active"));
    let refused = proxy.client().get(&lamp().trust("detail"));
    let problem = assert_divergent(&refused, &lamp(), "trust-detail", "trust-subject");
    assert!(problem["detail"].as_str().unwrap().contains(&other), "{problem}");
    for state in ["revoked", "superseded", "invalid"] {
        attach(&upstream, about(&other, state));
        until(&proxy, &lamp().trust("detail"), 200);
    }
    attach(&upstream, about(&lamp().integrity(), "active"));
    eventually("its own", || {
        let detail = proxy.client().get(&lamp().trust("detail")).ok().json();
        (detail["attachments"][0]["status"]["state"] == "active").then_some(())
    });
    proxy.agrees_again();
}

/// Revisions of a view as (seen before, said now, whether that is older).
const REVISIONS: [(Revision, Revision, bool); 5] = [
    (("9", None), ("10", None), false),
    (("10", None), ("9", None), true),
    (("7", Some("2026-06-01T00:00:00Z")), ("8", Some("2026-05-01T00:00:00Z")), false),
    (("a", Some("2026-06-01T00:00:00Z")), ("b", Some("2026-05-01T00:00:00Z")), true),
    (("a", Some("2026-05-01T00:00:00Z")), ("b", Some("2026-05-01T00:00:00+01:00")), true),
];

type Revision = (&'static str, Option<&'static str>);

fn say(upstream: &Upstream, view: &str, (revision, updated_at): Revision) {
    let mut said = if view == "summary" { lamp().trust_summary() } else { lamp().trust_detail() };
    said["revision"] = json!({ "revision": revision });
    if let Some(at) = updated_at {
        said["revision"]["updatedAt"] = at.into();
    }
    upstream.reply(&lamp().trust(view), Reply::json(&said));
}

#[test]
fn a_view_does_not_go_back_not_after_a_restart_either() {
    let cases = REVISIONS.into_iter().flat_map(|case| [("summary", case), ("detail", case)]);
    each(cases, |(view, (before, now, is_older))| {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        say(&upstream, view, before);
        let mut proxy = Setup::before(&upstream).short_lived().start();
        let target = lamp().trust(view);
        proxy.client().get(&target).ok();
        proxy.crash_and_restart();
        say(&upstream, view, now);
        if is_older {
            let about = format!("trust-{view}");
            assert_divergent(&until(&proxy, &target, 409), &lamp(), &about, "trust-history");
            say(&upstream, view, before);
            until(&proxy, &target, 200);
            proxy.agrees_again();
        } else {
            eventually("the later one", || {
                let said = proxy.client().get(&target).ok().json();
                (said["revision"]["revision"] == now.0).then_some(())
            });
        }
    });
}

#[test]
fn each_view_counts_its_revisions_for_itself() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    say(&upstream, "summary", ("20", None));
    say(&upstream, "detail", ("3", None));
    let proxy = Setup::before(&upstream).short_lived().start();
    for view in ["summary", "detail", "summary"] {
        proxy.client().get(&lamp().trust(view)).ok();
    }
    assert!(proxy.divergences().is_empty());
}
