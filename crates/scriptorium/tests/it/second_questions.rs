//! Second questions: what is asked again because of a doubt is asked without conditions, and what takes exception to a
//! condition is asked again without one.

use serde_json::{Value, json};

use crate::support::{Proxy, Release, Reply, Seen, Setup, Upstream, each, eventually};

fn lamp(version: &str) -> Release {
    Release::new("@acme/lamp", version)
}

/// An edge that confirms whatever it is asked about below `path`.
fn confirm_everything(upstream: &Upstream, path: String) {
    upstream.handle(move |seen| {
        let tag = seen.fields.get("if-none-match").filter(|_| seen.path().starts_with(&path))?;
        Some(Reply::new(304, "application/json", "").with("etag", tag))
    });
}

fn versions(proxy: &Proxy) -> Vec<String> {
    let index = proxy.client().get(&lamp("1.0.0").index()).ok().json();
    let rows = index["items"].as_array().unwrap().iter();
    rows.map(|row| row["version"].as_str().unwrap().to_owned()).collect()
}

fn conditions(upstream: &Upstream, target: &str) -> Vec<bool> {
    let asked = upstream.asked("GET", target);
    asked.iter().map(|seen: &Seen| seen.fields.get("if-none-match").is_some()).collect()
}

#[test]
fn what_was_invalidated_is_asked_for_without_conditions() {
    let upstream = Upstream::start();
    upstream.publish(&lamp("1.0.0"));
    let mut proxy = Setup::before(&upstream).short_lived().start();
    versions(&proxy);
    confirm_everything(&upstream, String::new());
    for (number, version) in ["1.1.0", "1.2.0"].into_iter().enumerate() {
        upstream.publish(&lamp(version));
        eventually("a confirmation", || {
            versions(&proxy);
            (conditions(&upstream, &lamp("1.0.0").index()).last() == Some(&true)).then_some(())
        });
        assert!(!versions(&proxy).contains(&version.to_owned()), "the edge is no edge");
        proxy.invalidate(&json!({ "volume": "@acme/lamp" })).ok();
        if number == 1 {
            proxy.restart();
        }
        assert!(versions(&proxy).contains(&version.to_owned()));
        assert!(conditions(&upstream, &lamp("1.0.0").index()).contains(&false));
    }
}

#[test]
fn a_difference_is_looked_into_without_conditions() {
    let upstream = Upstream::start();
    upstream.publish(&lamp("1.0.0"));
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "1s").set("cache.release_ttl", "1h").start();
    proxy.client().get(&lamp("1.0.0").exact()).ok();
    confirm_everything(&upstream, lamp("1.0.0").exact());
    upstream.publish(&lamp("1.0.0").state("yanked", "a reason"));
    eventually("the yank", || {
        let exact = proxy.client().get(&lamp("1.0.0").exact()).ok().json();
        (exact["status"]["state"] == "yanked").then_some(())
    });
    assert_eq!(proxy.divergences(), Vec::<Value>::new());
}

#[test]
fn a_new_version_that_an_edge_hides_is_seen_with_its_first_reader() {
    let upstream = Upstream::start();
    upstream.publish(&lamp("1.0.0"));
    let proxy = Setup::before(&upstream).short_lived().start();
    versions(&proxy);
    confirm_everything(&upstream, lamp("1.0.0").index());
    upstream.publish(&lamp("1.1.0"));
    proxy.client().get(&lamp("1.1.0").exact()).ok();
    eventually("the row", || versions(&proxy).contains(&"1.1.0".to_owned()).then_some(()));
}

#[test]
fn a_304_for_another_tag_is_no_confirmation() {
    let upstream = Upstream::start();
    upstream.publish(&lamp("1.0.0"));
    let proxy = Setup::before(&upstream).short_lived().start();
    versions(&proxy);
    upstream.handle(|seen| {
        seen.fields.get("if-none-match")?;
        Some(Reply::new(304, "application/json", "").with("etag", "\"another\""))
    });
    upstream.publish(&lamp("1.1.0"));
    eventually("the new version", || (versions(&proxy).len() == 2).then_some(()));
    let asked = conditions(&upstream, &lamp("1.0.0").index());
    assert!(asked.windows(2).any(|pair| pair == [true, false]), "{asked:?}");
}

#[test]
fn a_condition_that_is_refused_is_left_out() {
    each([400, 412, 431], |status| {
        let upstream = Upstream::start();
        upstream.publish(&lamp("1.0.0"));
        let proxy = Setup::before(&upstream).short_lived().start();
        versions(&proxy);
        upstream.handle(move |seen| {
            seen.fields.get("if-none-match")?;
            Some(Reply::problem(status, "validation-failed", "No", "No such header."))
        });
        upstream.publish(&lamp("1.1.0"));
        eventually("the new version", || (versions(&proxy).len() == 2).then_some(()));
        assert!(!proxy.client().get(&lamp("1.0.0").index()).cache().contains("stale-if-error"), "{status}");
    });
}

#[test]
fn a_refusal_that_is_not_about_the_condition_is_asked_about_once_more_and_no_oftener() {
    let upstream = Upstream::start();
    upstream.publish(&lamp("1.0.0"));
    let proxy = Setup::before(&upstream).short_lived().start();
    versions(&proxy);
    upstream.reply(&lamp("1.0.0").index(), Reply::problem(400, "validation-failed", "No", "No."));
    let stale = eventually("what is held, marked", || {
        let answer = proxy.client().get(&lamp("1.0.0").index()).ok();
        answer.cache().contains("stale-if-error").then_some(answer)
    });
    assert!(stale.is_hit());
    assert_eq!(conditions(&upstream, &lamp("1.0.0").index()), [false, true, false]);
}
