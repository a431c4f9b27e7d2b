//! Invalidation: what an operator declares out of date is asked for at the next read, however fresh it
//! was, and nothing else is.

use serde_json::{Value, json};

use crate::support::divergence::refusal;
use crate::support::{Conversation, Proxy, Release, Setup, Upstream, each, eventually};

/// Four releases of three volumes, all of them held and fresh for an hour.
fn warmed() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    releases().iter().for_each(|release| upstream.publish(release));
    let setup = ["index_ttl", "release_ttl", "trust_ttl", "negative_ttl"]
        .iter()
        .fold(Setup::before(&upstream), |setup, ttl| setup.set(&format!("cache.{ttl}"), "1h"));
    let proxy = setup.start();
    for release in releases() {
        for target in [release.index(), release.exact(), release.download()] {
            proxy.client().get(&target).ok();
        }
    }
    (upstream, proxy)
}

fn releases() -> [Release; 4] {
    [("@acme/lamp", "1.0.0"), ("@acme/lamp", "1.1.0"), ("@acme/saw", "1.0.0"), ("lamp", "1.0.0")]
        .map(|(name, version)| Release::new(name, version))
}

/// Invalidates and expects to be told so.
#[track_caller]
fn invalidate(proxy: &Proxy, what: &Value) {
    let answer = proxy.invalidate(what).ok();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.json().is_object(), "{}", answer.text());
}

/// Whether reading `target` asks the upstream for it.
fn asks(upstream: &Upstream, proxy: &Proxy, target: &str) -> bool {
    let before = upstream.requests(target);
    let answer = proxy.client().get(target).ok();
    let asked = upstream.requests(target) > before;
    assert!(asked || answer.is_hit(), "{target}: {}", answer.cache());
    asked
}

#[test]
fn what_was_invalidated_is_asked_for_and_the_rest_stays_fresh() {
    let cases = [
        (json!({ "volume": "@acme/lamp" }), [true, true, false, false]),
        (json!({ "volume": "lamp" }), [false, false, false, true]),
        (json!({ "pattern": "@acme/*" }), [true, true, true, false]),
        (json!({ "pattern": "@acme/l*" }), [true, true, false, false]),
        (json!({ "pattern": "lamp" }), [false, false, false, true]),
        (json!({ "pattern": "*" }), [true, true, true, true]),
        (json!({ "volume": "nobody-ever-asked-for-it" }), [false; 4]),
    ];
    each(cases, |(what, expected)| {
        for restarted in [false, true] {
            let (upstream, mut proxy) = warmed();
            invalidate(&proxy, &what);
            if restarted {
                proxy.restart();
            }
            for (release, expected) in releases().iter().zip(expected) {
                let exact = asks(&upstream, &proxy, &release.exact());
                assert_eq!(exact, expected, "{what}, restarted {restarted}: {}", release.exact());
            }
            // Whoever serves a release may have brought its index up to date: count, do not ask.
            for (release, expected) in releases().iter().zip(expected) {
                proxy.client().get(&release.index()).ok();
                let times = upstream.requests(&release.index());
                assert_eq!(times > 1, expected, "{what}, restarted {restarted}: {}", release.index());
            }
            for release in releases() {
                assert!(!asks(&upstream, &proxy, &release.exact()), "{what}: asked for twice");
                assert!(!asks(&upstream, &proxy, &release.index()), "{what}: asked for twice");
            }
        }
    });
}

#[test]
fn one_release_can_be_invalidated() {
    for restarted in [false, true] {
        let (upstream, mut proxy) = warmed();
        invalidate(&proxy, &json!({ "volume": "@acme/lamp", "version": "1.0.0" }));
        if restarted {
            proxy.restart();
        }
        let asked = releases().map(|release| asks(&upstream, &proxy, &release.exact()));
        assert_eq!(asked, [true, false, false, false], "restarted {restarted}");
    }
}

#[test]
fn an_invalidated_index_alone_is_asked_for() {
    let (upstream, proxy) = warmed();
    invalidate(&proxy, &json!({ "volume": "@acme/saw" }));
    assert!(asks(&upstream, &proxy, "/api/v1/index/volumes/@acme/saw"));
    assert!(!asks(&upstream, &proxy, "/api/v1/index/volumes/@acme/lamp"));
}

#[test]
fn an_archive_is_vouched_for_anew_and_not_fetched_again() {
    let (upstream, proxy) = warmed();
    let [lamp, ..] = releases();
    invalidate(&proxy, &json!({ "volume": "@acme/lamp" }));
    assert_eq!(proxy.client().get(&lamp.download()).ok().body, lamp.archive());
    assert_eq!(upstream.requests(&lamp.exact()), 2);
    assert_eq!(upstream.requests(&lamp.source()), 1);
}

#[test]
fn a_block_is_seen_at_the_next_read_after_an_invalidation() {
    let (upstream, proxy) = warmed();
    let [lamp, ..] = releases();
    let row = lamp.clone().state("blocked", "malicious").row(&upstream.url());
    upstream.say(&lamp, [row], refusal(403));
    proxy.client().get(&lamp.download()).ok();
    invalidate(&proxy, &json!({ "volume": "@acme/lamp" }));
    proxy.client().get(&lamp.download()).problem(403, "authorization-failed");
    proxy.client().get(&lamp.exact()).problem(403, "authorization-failed");
    let index = proxy.client().get(&lamp.index()).ok().json();
    let rows = index["items"].as_array().unwrap();
    let row = rows.iter().find(|row| row["version"] == "1.0.0").unwrap();
    assert_eq!(row["status"]["state"], "blocked");
}

#[test]
fn a_remembered_absence_is_asked_for_again() {
    let (upstream, proxy) = warmed();
    let new = Release::new("@acme/chair", "1.0.0");
    proxy.client().get(&new.exact()).problem(404, "not-found");
    proxy.client().get(&new.index()).problem(404, "not-found");
    upstream.publish(&new);
    proxy.client().get(&new.exact()).problem(404, "not-found");
    invalidate(&proxy, &json!({ "volume": "@acme/chair" }));
    assert_eq!(proxy.client().get(&new.download()).ok().body, new.archive());
    proxy.client().get(&new.index()).ok();
}

#[test]
fn what_was_invalidated_is_served_marked_when_nobody_can_be_asked() {
    for restarted in [false, true] {
        let (upstream, mut proxy) = warmed();
        let [lamp, _, _, other] = releases();
        invalidate(&proxy, &json!({ "volume": "@acme/lamp" }));
        upstream.down();
        if restarted {
            proxy.restart();
        }
        for target in [lamp.index(), lamp.exact(), lamp.download()] {
            let answer = proxy.client().get(&target).ok();
            assert!(answer.cache().contains("detail=\"stale-if-error\""), "{target}: {}", answer.cache());
        }
        for target in [other.index(), other.exact(), other.download()] {
            let answer = proxy.client().get(&target).ok();
            assert!(!answer.cache().contains("stale-if-error"), "{target}: {}", answer.cache());
        }
        upstream.up();
        eventually("the upstream to be asked", || {
            let answer = proxy.client().get(&lamp.index()).ok();
            (!answer.cache().contains("stale-if-error")).then_some(())
        });
    }
}

#[test]
fn an_answer_that_was_asked_for_before_the_invalidation_does_not_count() {
    let upstream = Upstream::start();
    let [old, new, ..] = releases();
    upstream.publish(&old);
    let proxy = Setup::before(&upstream).set("cache.index_ttl", "1h").start();
    let hold = upstream.hold(&old.index());
    let mut early = Conversation::open(proxy.client().0).unwrap();
    early.ask("GET", &old.index(), &[]).unwrap();
    eventually("the early question", || (upstream.requests(&old.index()) == 1).then_some(()));
    upstream.publish(&new);
    invalidate(&proxy, &json!({ "volume": "@acme/lamp" }));
    hold.release();
    early.answer().unwrap().ok();
    let index = proxy.client().get(&old.index()).ok().text();
    assert!(index.contains("1.1.0"), "what was known before is shown as new: {index}");
}

#[test]
fn invalidations_that_mean_nothing_are_refused() {
    let (upstream, proxy) = warmed();
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "\"@acme/lamp\"",
        "{}",
        r#"{"volume":"@acme/lamp"} trailing"#,
        r#"{"volume":"Not A Name"}"#,
        r#"{"volume":"@acme"}"#,
        r#"{"volume":""}"#,
        r#"{"volume":7}"#,
        r#"{"volume":"@acme/lamp@1.0.0"}"#,
        r#"{"volume":"@acme/lamp","version":"1.0"}"#,
        r#"{"volume":"@acme/lamp","version":"latest"}"#,
        r#"{"version":"1.0.0"}"#,
        r#"{"pattern":"@*"}"#,
        r#"{"pattern":"*lamp"}"#,
        r#"{"pattern":""}"#,
        r#"{"volume":"@acme/lamp","everything":true}"#,
        r#"{"volumes":["@acme/lamp"]}"#,
    ];
    for body in bodies {
        let answer = proxy.admin().post("/admin/v1/invalidate", body);
        answer.problem(400, "validation-failed");
    }
    for release in releases() {
        assert!(!asks(&upstream, &proxy, &release.exact()), "a bad invalidation took effect");
    }
}

#[test]
fn invalidation_is_for_operators_and_by_post_alone() {
    let (upstream, proxy) = warmed();
    for method in ["GET", "PUT", "DELETE"] {
        let answer = proxy.admin().send(method, "/admin/v1/invalidate", &[("content-length", "0")]);
        assert_eq!(answer.status, 405, "{method}: {}", answer.text());
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    let public = proxy.client().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#);
    public.problem(404, "not-found");
    for release in releases() {
        assert!(!asks(&upstream, &proxy, &release.exact()), "the public port invalidated something");
    }
}

#[test]
fn an_offline_proxy_serves_what_was_invalidated() {
    let (upstream, mut proxy) = warmed();
    let [lamp, ..] = releases();
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    let connections = upstream.connections();
    invalidate(&proxy, &json!({ "volume": "@acme/lamp" }));
    for target in [lamp.index(), lamp.exact(), lamp.download()] {
        proxy.client().get(&target).ok();
    }
    assert_eq!(upstream.connections(), connections, "offline means offline");
}
