//! Advisories are looked at as often as the configuration says, and a release that is held only because they are old is told so.

use serde_json::{Value, json};

use crate::support::{Release, Reply, Setup, Upstream, eventually};

const RULE: &str = r#"
    [[policy.rules]]
    id = "vulnerable"
    action = "hold"
    match = { advisory = "low" }
    message = "ask security"
"#;

const OLD: &str = "no source of advisories has answered yet";

#[test]
fn refusal_row_explanation_and_test_say_that_the_advisories_are_too_old() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = Upstream::start();
    upstream.publish(&release);
    upstream.reply("/api/v1/advisories", Reply::failure(503));
    let proxy = Setup::before(&upstream).policy("enforce", RULE).start();
    proxy.is_refused_by(&release, "vulnerable", OLD);
    let row = proxy.row_of(&release);
    assert_eq!(row["reason"], format!("policy:vulnerable: ask security; {OLD}"), "{row}");
    let explained = proxy.admin().get("/admin/v1/explain?volume=lamp&version=1.0.0").ok().json();
    assert!(explained["verdict"]["exact"]["why"].as_str().unwrap().contains(OLD), "{explained}");
    assert!(explained["policy"][0]["because"].to_string().contains(OLD), "{explained}");
    let tested = crate::support::proxy::scriptorium()
        .args(["policy", "test", "lamp@1.0.0", "--json", "--config"])
        .arg(proxy.config())
        .output()
        .unwrap();
    let tested: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert!(tested["decides"]["reason"].as_str().unwrap().contains(OLD), "{tested}");

    // What is held for an advisory does not say so.
    let known = Upstream::start();
    known.publish(&release);
    known.reply("/api/v1/advisories", Reply::json(&json!({ "items": [advisory()] })));
    let proxy = Setup::before(&known).policy("enforce", RULE).start();
    eventually("a reason that is an advisory", || {
        (proxy.row_of(&release)["reason"] == "policy:vulnerable: ask security").then_some(())
    });
}

fn advisory() -> Value {
    json!({
        "id": {"local": "AV-1"}, "source": {"ecosystem": "bibliotheca"},
        "severity": "high", "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "affected": {"volume": "lamp", "ranges": [{"type": "semver", "events": [{"introduced": "0"}]}]},
    })
}

/// `eventually` gives up long before a minute is over.
#[test]
fn an_advisory_counts_as_soon_as_the_cached_list_may_be_that_old() {
    let release = Release::new("lamp", "1.0.0");
    let upstream = Upstream::start();
    upstream.publish(&release);
    upstream.reply("/api/v1/advisories", Reply::json(&json!({ "items": [] })));
    let setup = Setup::before(&upstream).set("cache.advisories_ttl", "1s");
    let proxy = setup.set("cache.stale_while_revalidate", "0s").policy("enforce", RULE).start();
    eventually("advisories that are in force", || {
        (proxy.client().get(&release.exact()).status == 200).then_some(())
    });
    upstream.reply("/api/v1/advisories", Reply::json(&json!({ "items": [advisory()] })));
    eventually("a release that is held", || {
        (proxy.client().get(&release.exact()).status == 403).then_some(())
    });
}
