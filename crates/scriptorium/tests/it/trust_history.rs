//! Trust metadata is about one release, and its attachments are append-only. What breaks either rule is
//! refused, and the release itself does not suffer from it.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::catalogue::attachment;
use crate::support::divergence::{assert_divergent, assert_shape, replaced};
use crate::support::proxy::scriptorium;
use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, each, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn detail(upstream: &Upstream, attachments: &[Value]) {
    upstream.reply(&lamp().trust("detail"), Reply::json(&lamp().attested(attachments)));
}

fn summary(upstream: &Upstream) {
    upstream.reply(&lamp().trust("summary"), Reply::json(&lamp().trust_summary()));
}

fn a() -> Value {
    attachment("statement-1", "first", "active")
}

fn b() -> Value {
    attachment("statement-2", "second", "active")
}

/// A proxy that has seen a release, its archive and a trust detail with attachments a and b.
fn attested() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    summary(&upstream);
    detail(&upstream, &[a(), b()]);
    let proxy = Setup::before(&upstream).short_lived().start();
    for target in [lamp().download(), lamp().exact(), lamp().trust("summary"), lamp().trust("detail")] {
        proxy.client().get(&target).ok();
    }
    (upstream, proxy)
}

fn until(proxy: &Proxy, target: &str, status: u16) -> Answer {
    eventually("another answer", || Some(proxy.client().get(target)).filter(|answer| answer.status == status))
}

fn assert_release_unharmed(proxy: &Proxy) {
    proxy.client().get(&lamp().exact()).ok();
    assert_eq!(proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    let index = proxy.client().get(&lamp().index()).ok().json();
    assert_eq!(index["items"][0]["status"], json!({ "state": "available" }));
}

#[test]
fn trust_in_another_subject_is_refused_and_the_release_is_not() {
    let purls =
        ["pkg:volume/%40acme/lantern@1.0.0", "pkg:volume/%40acme/lamp@1.0.1", "pkg:volume/lamp@1.0.0"];
    let lies: Vec<_> = purls
        .map(|purl| ("purl", purl.to_owned()))
        .into_iter()
        .chain([("integrity", replaced(&lamp()).integrity())])
        .collect();
    each(&lies, |(member, value)| {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        let proxy = Setup::before(&upstream).short_lived().start();
        proxy.client().get(&lamp().exact()).ok();
        for (view, mut trust) in [("summary", lamp().trust_summary()), ("detail", lamp().trust_detail())] {
            let truth = std::mem::replace(&mut trust["subject"][member], value.as_str().into());
            upstream.reply(&lamp().trust(view), Reply::json(&trust));
            let (target, about) = (lamp().trust(view), format!("trust-{view}"));
            let problem = assert_divergent(&proxy.client().get(&target), &lamp(), &about, "trust-subject");
            let detail = problem["detail"].as_str().unwrap();
            for value in [truth.as_str().unwrap(), value] {
                assert!(detail.contains(value), "{value} is not named in: {detail}");
            }
        }
        assert_release_unharmed(&proxy);
        let mut about: Vec<_> = proxy.divergences().iter().map(|open| open["about"].to_string()).collect();
        about.sort_unstable();
        assert_eq!(about, ["\"trust-detail\"", "\"trust-summary\""]);
        assert_eq!(proxy.open_divergences(), 2.0);

        summary(&upstream);
        detail(&upstream, &[]);
        until(&proxy, &lamp().trust("summary"), 200);
        until(&proxy, &lamp().trust("detail"), 200);
        proxy.agrees_again();
    });
}

#[test]
fn trust_that_came_before_its_release_is_held_against_it_afterwards() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let trust = replaced(&lamp()).trust_detail();
    upstream.reply(&lamp().trust("detail"), Reply::json(&trust));
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().trust("detail"));
    proxy.client().get(&lamp().exact()).ok();
    let refused = until(&proxy, &lamp().trust("detail"), 409);
    assert_divergent(&refused, &lamp(), "trust-detail", "trust-subject");
    assert_release_unharmed(&proxy);
}

/// What a registry may not do to the attachments a and b.
fn breaches() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("one vanished", vec![a()]),
        ("all vanished", vec![]),
        ("one vanished and another came", vec![a(), attachment("statement-3", "third", "active")]),
        ("one changed its digest", vec![a(), attachment("statement-2", "another", "active")]),
        (
            "two exchanged their digests",
            vec![attachment("statement-1", "second", "active"), attachment("statement-2", "first", "active")],
        ),
    ]
}

#[test]
fn attachments_do_not_vanish_nor_change() {
    each(breaches(), |(what, attachments)| {
        let (upstream, mut proxy) = attested();
        detail(&upstream, &attachments);
        let refused = until(&proxy, &lamp().trust("detail"), 409);
        let problem = assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
        let (told, said) = (problem["detail"].as_str().unwrap(), &problem["divergence"]["claims"]);
        assert!(told.contains("statement-1") || told.contains("statement-2"), "{what}: {told}");
        let sources = said.as_array().unwrap().iter();
        assert!(sources.clone().any(|claim| claim["source"] == "history"), "{what}: {said}");
        assert!(sources.clone().any(|claim| claim["source"] == "trust"), "{what}: {said}");
        assert_release_unharmed(&proxy);
        proxy.client().get(&lamp().trust("summary")).ok();

        proxy.restart();
        for _ in 0..3 {
            let refused = proxy.client().get(&lamp().trust("detail"));
            assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
        }
        let listed = proxy.divergences();
        assert_eq!(listed.len(), 1, "{what}: {listed:?}");
        assert_shape(&listed[0], &lamp(), "trust-detail", "trust-history");

        detail(&upstream, &[a(), b()]);
        let mended = until(&proxy, &lamp().trust("detail"), 200).json();
        assert_eq!(mended["attachments"].as_array().unwrap().len(), 2, "{what}");
        proxy.agrees_again();
    });
}

#[test]
fn what_was_attached_is_remembered_by_the_next_process() {
    each([true, false], |evicted| {
        let (upstream, mut proxy) = attested();
        detail(&upstream, &[a()]);
        if evicted {
            proxy.restart_without("documents");
        } else {
            proxy.crash_and_restart();
        }
        let refused = until(&proxy, &lamp().trust("detail"), 409);
        assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
    });
}

/// The history of the trust detail that `attested` saw.
fn history(proxy: &Proxy) -> PathBuf {
    let holding = |file: &PathBuf| fs::read(file).unwrap().windows(11).any(|bytes| bytes == b"statement-1");
    let files: Vec<_> = proxy.files("histories").into_iter().filter(holding).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_damaged_history_is_set_aside_and_told_and_begins_anew_with_what_is_held() {
    each([3, 60, 200], |at| {
        let (upstream, mut proxy) = attested();
        let file = history(&proxy);
        proxy.stop();
        let mut damaged = fs::read(&file).unwrap();
        let at = at.min(damaged.len() - 3);
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        let Output { status, stdout, .. } =
            scriptorium().args(["audit", "--data"]).arg(proxy.data()).output().unwrap();
        let told = String::from_utf8(stdout).unwrap();
        assert!(status.code() == Some(1) && told.starts_with("history  histories/"), "{told}");

        proxy.revive();
        proxy.client().get(&lamp().trust("detail")).ok();
        assert_eq!(proxy.divergences(), Vec::<Value>::new(), "byte {at}: the registry is not to blame");
        assert_eq!(proxy.metric("scriptorium_integrity_failures_total{stage=\"stored-history\"}"), 1.0);
        let told = || proxy.log().contains("a damaged trust history is set aside").then_some(());
        eventually("a word about the damage", told);
        assert!(
            proxy.files("quarantine").iter().any(|file| file.display().to_string().contains("histories"))
        );
        history(&proxy);

        // It binds as it did.
        detail(&upstream, &[a()]);
        let refused = until(&proxy, &lamp().trust("detail"), 409);
        assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
        assert_release_unharmed(&proxy);
        detail(&upstream, &[a(), b()]);
        until(&proxy, &lamp().trust("detail"), 200);
        proxy.agrees_again();
    });
}

#[test]
fn a_breach_is_not_forgotten_when_the_registry_is_gone() {
    let (upstream, mut proxy) = attested();
    detail(&upstream, &[a()]);
    until(&proxy, &lamp().trust("detail"), 409);
    upstream.down();
    for offline in [false, true] {
        proxy.restart_as(|setup| setup.set("cache.offline", offline));
        let refused = proxy.client().get(&lamp().trust("detail"));
        assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
    }
}

#[test]
fn attachments_may_change_their_status_and_others_may_come() {
    let revoked = attachment("statement-1", "first", "revoked");
    let superseded = attachment("statement-2", "second", "superseded");
    let third = attachment("statement-3", "third", "active");
    let mut verified = b();
    verified["verification"] = json!({ "result": "verified" });
    let courses = [
        ("a status changed", vec![revoked.clone(), b()]),
        ("every status changed", vec![revoked.clone(), superseded]),
        ("another came", vec![a(), b(), third.clone()]),
        ("another came first and the order changed", vec![third, b(), revoked]),
        ("something was added to one", vec![a(), verified]),
    ];
    each(courses, |(what, attachments)| {
        let (upstream, proxy) = attested();
        let ids: Vec<_> = attachments.iter().map(|one| (one["id"].clone(), one["status"].clone())).collect();
        detail(&upstream, &attachments);
        let expected = lamp().attested(&attachments)["attachments"].clone();
        eventually(what, || {
            let shown = proxy.client().get(&lamp().trust("detail")).ok().json();
            let same =
                |one: &Value, other: &Value| one["id"] == other["id"] && one["status"] == other["status"];
            let (shown, expected) = (shown["attachments"].as_array()?.clone(), expected.as_array()?);
            let arrived = shown.len() == ids.len()
                && shown.iter().zip(expected).all(|(one, other)| {
                    same(one, other) && one.get("verification") == other.get("verification")
                });
            arrived.then_some(())
        });
        assert_eq!(proxy.divergences(), Vec::<Value>::new(), "{what}");
    });
}

#[test]
fn an_attachment_that_came_later_may_not_vanish_either() {
    let (upstream, proxy) = attested();
    let third = attachment("statement-3", "third", "active");
    detail(&upstream, &[a(), b(), third]);
    eventually("the third attachment", || {
        let shown = proxy.client().get(&lamp().trust("detail")).ok().json();
        (shown["attachments"].as_array().unwrap().len() == 3).then_some(())
    });
    detail(&upstream, &[a(), b()]);
    let refused = until(&proxy, &lamp().trust("detail"), 409);
    assert_divergent(&refused, &lamp(), "trust-detail", "trust-history");
}
