//! Advisories that cannot be read: one costs the others nothing, holds the volumes that it names, and is never passed over in silence.

use std::fs;

use serde_json::{Value, json};

use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

const RULE: &str = r#"
    [[policy.rules]]
    id = "vulnerable"
    action = "deny"
    match = { advisory = "high" }
"#;

fn advisory(id: &str, volume: &str) -> Value {
    json!({
        "id": {"local": id}, "source": {"ecosystem": "bibliotheca"},
        "severity": "high", "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "affected": {"volume": volume, "ranges": [{"type": "semver", "events": [{"introduced": "0"}]}]},
    })
}

/// One that names `saw` and cannot be read.
fn broken(id: &str, volume: &str) -> Value {
    let mut advisory = advisory(id, volume);
    advisory["affected"]["ranges"] = json!("all of them");
    advisory
}

fn publish(upstream: &Upstream) {
    for name in ["lamp", "saw", "pen"] {
        upstream.publish(&Release::new(name, "1.0.0"));
    }
}

fn status(proxy: &Proxy, name: &str) -> u16 {
    proxy.client().get(&Release::new(name, "1.0.0").exact()).status
}

#[track_caller]
fn in_force(proxy: &Proxy) {
    eventually("advisories that are in force", || {
        proxy.log().contains("advisories are in force").then_some(())
    });
}

#[test]
fn one_that_cannot_be_read_holds_its_volume_and_costs_the_others_nothing() {
    let upstream = Upstream::start();
    publish(&upstream);
    let pages = [
        json!({"items": [json!(7), broken("AV-7", "saw")], "total": 4}),
        json!({"items": [advisory("AV-1", "lamp"), json!({"affected": []})], "total": 4}),
    ];
    upstream.reply("/api/v1/advisories", Reply::json(&pages[0]));
    upstream.reply("/api/v1/advisories?offset=2", Reply::json(&pages[1]));
    for (mode, of_saw) in [("closed", 403), ("open", 200)] {
        let setup = Setup::before(&upstream).set("policy.advisories", mode);
        let proxy = setup.policy("enforce", RULE).start();
        in_force(&proxy);
        let statuses = ["lamp", "saw", "pen"].map(|name| status(&proxy, name));
        assert_eq!(statuses, [403, of_saw, 200], "{mode}");
        if mode == "closed" {
            let why = "the advisory `AV-7` about this volume cannot be read";
            proxy.is_refused_by(&Release::new("saw", "1.0.0"), "vulnerable", why);
        }
        let log = proxy.log();
        assert!(log.contains("the advisory `AV-7` (items[1]) about saw, cannot be read"), "{log}");
        assert!(log.contains("(items[0]) which may be about any volume, cannot be read"), "{log}");
        let metrics = proxy.admin().get("/metrics").ok().text();
        assert!(metrics.contains("scriptorium_policy_advisories_unread{upstream=\"public\"} 3"), "{metrics}");
        let standing = proxy.admin().get("/admin/v1/status").ok().json();
        assert_eq!(standing["advisory_faults"].as_array().unwrap().len(), 3, "{standing}");
        let tested = tested(&proxy, "pen@1.0.0");
        assert_eq!(tested["advisory_faults"].as_array().unwrap().len(), 3, "{tested}");
        let why = tested["rules"][0]["matchers"][0]["why"].as_str().unwrap();
        assert!(why.contains("2 advisories cannot be read and name no volume"), "{why}");
    }
}

fn tested(proxy: &Proxy, release: &str) -> Value {
    let mut command = scriptorium();
    let output = command.args(["policy", "test", release, "--json", "--config"]).arg(proxy.config()).output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[test]
fn clients_are_shown_the_others() {
    let upstream = Upstream::start();
    let list = json!({"items": [broken("AV-7", "saw"), advisory("AV-1", "lamp"), 7]});
    upstream.reply("/api/v1/advisories", Reply::json(&list));
    let proxy = Setup::before(&upstream).start();
    let shown = proxy.client().get("/api/v1/advisories").ok().json();
    assert_eq!(shown["items"], json!([advisory("AV-1", "lamp")]));
}

#[test]
fn an_ambiguous_withdrawal_takes_nothing_back() {
    let upstream = Upstream::start();
    publish(&upstream);
    let withdrawn = advisory("AV-1", "lamp").to_string();
    let twice = withdrawn.replacen('{', r#"{"withdrawn":null,"withdrawn":{"at":"2026-02-01T00:00:00Z"},"#, 1);
    let list = format!(r#"{{"items":[{twice}]}}"#);
    upstream.reply("/api/v1/advisories", Reply::document(list));
    let proxy = Setup::before(&upstream).policy("enforce", RULE).start();
    in_force(&proxy);
    assert_eq!(["lamp", "pen"].map(|name| status(&proxy, name)), [403, 200]);
}

#[test]
fn an_entry_of_a_file_that_cannot_be_read_holds_its_volume_too() {
    let (upstream, folder) = (Upstream::start(), tempfile::tempdir().unwrap());
    publish(&upstream);
    upstream.reply("/api/v1/advisories", Reply::json(&json!({"items": []})));
    let entry = |name: &str, ranges: Value| json!({"id": format!("OSV-{name}"), "affected": [{"package": {"purl": format!("pkg:volume/{name}")}, "ranges": ranges}]});
    let every = json!([{"type": "SEMVER", "events": [{"introduced": "0"}]}]);
    let list = json!([entry("saw", json!("all")), entry("lamp", every)]);
    fs::write(folder.path().join("list.json"), list.to_string()).unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let folders = vec![folder.path().display().to_string(), missing.clone()];
    let proxy = Setup::before(&upstream).set("policy.osv", folders).policy("enforce", RULE).start();
    in_force(&proxy);
    assert_eq!(["lamp", "saw", "pen"].map(|name| status(&proxy, name)), [403, 403, 200]);
    // The folder and the entry.
    let metrics = proxy.admin().get("/metrics").ok().text();
    assert!(metrics.contains("scriptorium_policy_osv_unread 2"), "{metrics}");
    let faults = tested(&proxy, "pen@1.0.0")["advisory_faults"].to_string();
    assert!(faults.contains(&missing) && faults.contains("OSV-saw"), "{faults}");
    let checked = scriptorium().args(["config", "check", "--config"]).arg(proxy.config()).output().unwrap();
    let notes = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success()
            && notes.contains(&format!("note: policy.osv[1] ({missing}) cannot be read")),
        "{notes}"
    );
    // The share of the folder goes away, and what it said stays.
    fs::remove_dir_all(folder.path()).unwrap();
    proxy.reload().ok();
    eventually("the folder is missed", || {
        let metrics = proxy.admin().get("/metrics").ok().text();
        metrics.contains("scriptorium_policy_osv_unread 3").then_some(())
    });
    assert_eq!(["lamp", "saw", "pen"].map(|name| status(&proxy, name)), [403, 403, 200]);
}

#[test]
fn a_list_that_states_more_than_it_gives_is_told() {
    let upstream = Upstream::start();
    publish(&upstream);
    let list = json!({"items": [advisory("AV-1", "lamp")], "total": 4});
    upstream.reply("/api/v1/advisories", Reply::json(&list));
    upstream.reply("/api/v1/advisories?offset=1", Reply::json(&list));
    let proxy = Setup::before(&upstream).policy("enforce", RULE).start();
    in_force(&proxy);
    let faults = tested(&proxy, "pen@1.0.0")["advisory_faults"].to_string();
    assert!(faults.contains("the list states 4 advisories and gives 2"), "{faults}");
}
