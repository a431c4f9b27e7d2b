//! Row, exact metadata, archive, trust views and explanation of a release cannot disagree, cached or not.

use serde_json::{Value, json};

use crate::support::proxy::scriptorium;

use crate::support::{Release, Reply, Setup, Upstream, eventually};

const DENIED: &str = r#"
    [[policy.rules]]
    id = "no-saws"
    action = "deny"
    match = { volumes = ["saw"] }
    message = "ask platform@corp.example"
"#;

fn published() -> (Upstream, Release, Release) {
    let upstream = Upstream::start();
    let (saw, lamp) = (Release::new("saw", "1.0.0"), Release::new("lamp", "1.0.0"));
    upstream.publish(&saw);
    upstream.publish(&lamp);
    (upstream, saw, lamp)
}

#[test]
fn a_denied_release_is_refused_on_every_side_and_others_are_not() {
    let (upstream, saw, lamp) = published();
    upstream.reply(&saw.trust("summary"), Reply::json(&saw.trust_summary()));
    upstream.reply(&saw.trust("detail"), Reply::json(&saw.trust_detail()));
    let proxy = Setup::before(&upstream).policy("enforce", DENIED).start();
    for _ in 0..2 {
        let refusal = proxy.is_refused_by(&saw, "no-saws", "ask platform@corp.example");
        assert_eq!(refusal["until"], json!(null));
        proxy.is_let_in(&lamp);
        for view in ["summary", "detail"] {
            proxy.client().get(&saw.trust(view)).problem(403, "authorization-failed");
        }
    }
    assert_eq!(upstream.requests(&saw.source()), 0, "no archive of it is fetched");
    let explained = proxy.admin().get("/admin/v1/explain?volume=saw&version=1.0.0").ok().json();
    assert_eq!(
        explained["verdict"]["exact"],
        json!({
            "status": 403, "rule": "policy", "why": "policy:no-saws: ask platform@corp.example",
        })
    );
    assert_eq!(explained["policy"][0]["applies"], true, "{explained}");
    let metrics = proxy.admin().get("/metrics").ok().text();
    let count = metrics.lines().find(|line| line.starts_with("scriptorium_policy_decisions_total"));
    assert_eq!(count, Some(r#"scriptorium_policy_decisions_total{action="deny",rule="no-saws"} 8"#));
    eventually("the rule in the log", || proxy.log().contains(r#""policy":"no-saws""#).then_some(()));
}

#[test]
fn cached_bytes_obey_at_the_next_request_after_a_reload_and_are_back_after_another() {
    let (upstream, saw, lamp) = published();
    let proxy = Setup::before(&upstream).start();
    proxy.is_let_in(&saw);
    proxy.reconfigure(|setup| setup.policy("enforce", DENIED));
    let report = proxy.reload().ok().json();
    assert_eq!(report["applied"], json!(["policy.mode", "policy.rules"]), "{report}");
    proxy.is_refused_by(&saw, "no-saws", "ask platform@corp.example");
    proxy.is_let_in(&lamp);
    proxy.reconfigure(|setup| setup.policy("enforce", ""));
    proxy.reload().ok();
    proxy.is_let_in(&saw);
    assert!(proxy.client().get(&saw.exact()).is_hit());
}

#[test]
fn a_discouraged_release_is_yanked_and_still_served() {
    let (upstream, saw, _) = published();
    let rules = DENIED.replace("deny", "discourage");
    let proxy = Setup::before(&upstream).policy("enforce", &rules).start();
    for _ in 0..2 {
        let exact = proxy.client().get(&saw.exact()).ok().json();
        let reason = "policy:no-saws: ask platform@corp.example";
        assert_eq!(exact["status"], json!({"state": "yanked", "reason": reason}));
        assert_eq!(exact["dist"]["source"], "cdn");
        assert_eq!(proxy.row_of(&saw), json!({"state": "yanked", "reason": reason}));
        assert_eq!(proxy.client().get(&saw.download()).ok().body, saw.archive());
    }
    assert!(proxy.client().get(&saw.exact()).is_hit(), "a verdict is kept with its document");
}

#[test]
fn an_audit_changes_nothing_and_counts() {
    let (upstream, saw, _) = published();
    let proxy = Setup::before(&upstream).policy("audit", DENIED).start();
    proxy.is_let_in(&saw);
    let metrics = proxy.admin().get("/metrics").ok().text();
    let counted = r#"scriptorium_policy_decisions_total{action="deny",rule="no-saws"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    eventually("the rule in the log", || proxy.log().contains(r#""policy":"no-saws""#).then_some(()));
}

#[test]
fn a_state_is_never_raised() {
    let upstream = Upstream::start();
    let yanked = Release::new("saw", "1.0.0").state("yanked", "old");
    let tombstoned = Release::new("saw", "0.9.0").state("tombstoned", "gone");
    upstream.publish(&yanked);
    upstream.publish(&tombstoned);
    let rules = DENIED.replace("deny", "discourage");
    let proxy = Setup::before(&upstream).policy("enforce", &rules).start();
    assert_eq!(proxy.row_of(&yanked), json!({"state": "yanked", "reason": "old"}));
    assert_eq!(proxy.row_of(&tombstoned), json!({"state": "tombstoned", "reason": "gone"}));
    proxy.reconfigure(|setup| setup.policy("enforce", DENIED));
    proxy.reload().ok();
    assert_eq!(proxy.row_of(&yanked)["state"], "blocked");
    assert_eq!(proxy.row_of(&tombstoned)["state"], "tombstoned");
}

#[test]
fn a_waiver_spares_a_release_and_only_its_bytes() {
    let (upstream, saw, _) = published();
    let waived = |integrity: &str| {
        format!(
            "{DENIED}\n[[policy.waivers]]\nrule = \"no-saws\"\nrelease = \"saw@1.0.0\"\nintegrity = \"{integrity}\"\n\
             until = \"2099-12-31\"\nby = \"platform\"\nwhy = \"incident 42\"\n"
        )
    };
    let proxy = Setup::before(&upstream).policy("enforce", &waived(&saw.integrity())).start();
    proxy.is_let_in(&saw);
    let explained = proxy.admin().get("/admin/v1/explain?volume=saw&version=1.0.0").ok().json();
    assert_eq!(explained["policy"][0]["applies"], false, "{explained}");
    assert!(explained["policy"][0]["waiver"].as_str().unwrap().contains("incident 42"), "{explained}");
    let other = format!("sha256:{}", "0".repeat(64));
    proxy.reconfigure(|setup| setup.policy("enforce", &waived(&other)));
    proxy.reload().ok();
    proxy.is_refused_by(&saw, "no-saws", "");
}

#[test]
fn a_bad_rule_or_an_expired_waiver_refuses_the_configuration_and_a_reload_keeps_the_old_one() {
    let (upstream, saw, _) = published();
    let proxy = Setup::before(&upstream).policy("enforce", DENIED).start();
    for (bad, says) in [
        (DENIED.replace("deny", "forbid"), "action"),
        (DENIED.replace("volumes", "names"), "names"),
        (DENIED.replace(r#"volumes = ["saw"]"#, ""), "match"),
        (
            format!(
                "{DENIED}\n[[policy.waivers]]\nrule = \"no-saws\"\nrelease = \"saw@1.0.0\"\nuntil = \"2020-01-01\"\n"
            ),
            "2020-01-01",
        ),
        (format!("{DENIED}\n[[policy.waivers]]\nrule = \"no-saws\"\nrelease = \"saw@1.0.0\"\n"), "until"),
    ] {
        proxy.reconfigure(|setup| setup.policy("enforce", &bad));
        let refused = proxy.reload();
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(says), "{bad}: {}", refused.text());
        proxy.is_refused_by(&saw, "no-saws", "ask platform@corp.example");
    }
}

#[test]
fn refusals_and_used_waivers_are_recorded_with_who_and_what() {
    let (upstream, saw, lamp) = published();
    let rules = format!(
        "{}\n[[policy.waivers]]\nrule = \"no-saws\"\nrelease = \"lamp@1.0.0\"\nuntil = \"2099-12-31\"\nby = \"platform\"\n",
        DENIED.replace(r#"["saw"]"#, r#"["saw", "lamp"]"#)
    );
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("audit.jsonl");
    let setup = Setup::before(&upstream).set("log.audit", record.display().to_string());
    let proxy = setup.policy("enforce", &rules).start();
    proxy.client().get(&saw.download()).problem(403, "authorization-failed");
    proxy.client().get(&lamp.exact()).ok();
    proxy.client().get(&lamp.download()).ok();
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let line = |what: &str| lines().into_iter().find(|line| line["what"] == what);
    let refusal = eventually("a recorded refusal", || line("policy-refusal"));
    assert_eq!((&refusal["rule"], &refusal["action"]), (&json!("no-saws"), &json!("deny")), "{refusal}");
    assert_eq!(
        (&refusal["about"], &refusal["who"]),
        (&json!(saw.download()), &json!("anonymous")),
        "{refusal}"
    );
    let waived = eventually("a used waiver", || line("waiver-used"));
    assert_eq!((&waived["rule"], &waived["by"]), (&json!("no-saws"), &json!("platform")), "{waived}");
    let sent = || -> Vec<Value> {
        let waived = lines().into_iter().filter(|line| line["what"] == "waiver-used");
        waived.map(|line| line["about"].clone()).collect()
    };
    let both = [json!(lamp.exact()), json!(lamp.download())];
    eventually("a line for all that the waiver lets through", || (sent() == both).then_some(()));
    let verified = scriptorium().args(["log", "verify"]).arg(&record).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
