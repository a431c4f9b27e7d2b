//! `explain` never promises what a fact may yet refuse: it names the rule and the fact, and a request then finds it so.

use serde_json::{Value, json};

use crate::support::catalogue::attachment;
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Reply, Setup, Upstream};

fn rule(matching: &str) -> String {
    format!("[[policy.rules]]\nid = \"rule\"\naction = \"deny\"\nmatch = {{ {matching} }}\n")
}

/// A proxy that served the metadata of a release before it had rules.
fn served_before() -> (Upstream, Proxy, Release) {
    let release = Release::new("lamp", "1.0.0");
    let upstream = Upstream::start();
    upstream.publish(&release);
    let attested = release.attested(&[attachment("one", "a statement", "active")]);
    upstream.reply(&release.trust("detail"), Reply::json(&attested));
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.exact()).ok();
    (upstream, proxy, release)
}

fn under(proxy: &Proxy, matching: &str) {
    proxy.reconfigure(|setup| setup.policy("enforce", &rule(matching)));
    proxy.reload().ok();
}

fn explained(proxy: &Proxy) -> Value {
    proxy.admin().get("/admin/v1/explain?volume=lamp&version=1.0.0").ok().json()["verdict"].take()
}

#[test]
fn metadata_and_archive_wait_for_trust_that_was_never_asked_for() {
    let (upstream, proxy, release) = served_before();
    under(&proxy, r#"trust_missing = ["of-another-kind"]"#);
    let verdict = explained(&proxy);
    for side in ["exact", "archive"] {
        assert_eq!(verdict[side]["status"], Value::Null, "{verdict}");
        assert_eq!(verdict[side]["rule"], "policy, to be judged", "{verdict}");
        assert_eq!(verdict[side]["waits_for"], json!(["trust"]), "{verdict}");
    }
    assert_eq!(upstream.requests(&release.trust("detail")), 0, "an explanation asks nobody");
    let text =
        scriptorium().args(["explain", "lamp@1.0.0", "--config"]).arg(proxy.config()).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("exact: ? policy, to be judged"), "{text}");
    assert!(text.contains("the rule `rule` decides once this is known: trust"), "{text}");
    proxy.client().get(&release.exact()).problem(403, "authorization-failed");
    let verdict = explained(&proxy);
    assert_eq!((&verdict["exact"]["status"], &verdict["archive"]["status"]), (&json!(403), &json!(403)));
}

#[test]
fn an_archive_waits_for_its_manifest_and_metadata_does_not() {
    let (_upstream, proxy, release) = served_before();
    under(&proxy, r#"publishers_not_in = ["nobody"]"#);
    let verdict = explained(&proxy);
    assert_eq!((&verdict["exact"]["status"], &verdict["exact"]["rule"]), (&json!(200), &json!("fresh")));
    assert_eq!((&verdict["archive"]["status"], &verdict["archive"]["rule"]), (&Value::Null, &json!("fetch")));
    assert_eq!(verdict["archive"]["waits_for"], json!(["manifest"]), "{verdict}");
    proxy.client().get(&release.exact()).ok();
    proxy.client().get(&release.download()).problem(403, "authorization-failed");
    assert_eq!(explained(&proxy)["archive"]["status"], 403);
}

#[test]
fn rules_that_cannot_match_and_rules_that_are_only_counted_let_nobody_wait() {
    let (_upstream, proxy, _release) = served_before();
    under(&proxy, r#"trust_missing = ["of-another-kind"], versions = ">=2.0.0""#);
    assert_eq!(explained(&proxy)["exact"]["status"], 200);
    proxy.reconfigure(|setup| setup.policy("audit", &rule(r#"trust_missing = ["of-another-kind"]"#)));
    proxy.reload().ok();
    assert_eq!(explained(&proxy)["exact"]["status"], 200);
}

#[test]
fn who_asks_nobody_is_told_what_will_happen() {
    let (_upstream, mut proxy, release) = served_before();
    proxy.restart_as(|setup| {
        setup.set("cache.offline", true).policy("enforce", &rule(r#"trust_missing = ["of-another-kind"]"#))
    });
    let verdict = explained(&proxy);
    assert_eq!((&verdict["exact"]["status"], &verdict["exact"]["rule"]), (&json!(403), &json!("policy")));
    proxy.client().get(&release.exact()).problem(403, "authorization-failed");
}
