//! Rules on what is found out about a release: its age, its delivery, its advisories, its manifest, its trust.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::catalogue::attachment;
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

fn rule(action: &str, matching: &str) -> String {
    format!("[[policy.rules]]\nid = \"rule\"\naction = \"{action}\"\nmatch = {{ {matching} }}\n")
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

fn manifest(more: &str) -> String {
    format!(
        "[volume]\nschema = 1\nname = \"lamp\"\nversion = \"1.0.0\"\ndescription = \"d\"\nlicense = \"GPL-3.0-only\"\n\
         role = \"plugin\"\n[publisher]\nid = \"stranger\"\n{more}"
    )
}

fn started(release: &Release, matching: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(release);
    let proxy = Setup::before(&upstream).policy("enforce", &rule("hold", matching)).start();
    (upstream, proxy)
}

#[test]
fn a_new_release_is_held_until_it_is_old_enough_and_its_age_outlives_everything() {
    let release = lamp();
    let (upstream, mut proxy) = started(&release, r#"younger_than = "7d""#);
    let refusal = proxy.is_refused_by(&release, "rule", "until 20");
    let until = refusal["until"].as_str().unwrap().to_owned();
    proxy.restart();
    proxy.restart_without("documents");
    assert_eq!(proxy.is_refused_by(&release, "rule", "until 20")["until"], until.as_str());
    // Other bytes under the same version are another release.
    assert_eq!(upstream.requests(&release.source()), 0);
}

#[test]
fn a_hold_ends_by_itself() {
    let release = lamp();
    let (_upstream, proxy) = started(&release, r#"younger_than = "3s""#);
    proxy.client().get(&release.exact()).problem(403, "authorization-failed");
    assert_eq!(proxy.row_of(&release)["state"], "blocked");
    eventually("the end of the hold", || (proxy.client().get(&release.exact()).status == 200).then_some(()));
    proxy.is_let_in(&release);
}

/// Runs `scriptorium pins` on the data of a proxy.
#[track_caller]
fn pins(proxy: &Proxy, command: &str, input: &str) -> String {
    let arguments = ["pins", command, "--data"];
    let child =
        scriptorium().args(arguments).arg(proxy.data()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pin_that_is_imported_keeps_its_date() {
    let release = lamp();
    let upstream = Upstream::start();
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    proxy.is_let_in(&release);
    let mut pin: Value = serde_json::from_str(&pins(&proxy, "export", "")).unwrap();
    pin["since"] = json!(1_600_000_000_000_u64);
    proxy.stop();
    let mut proxy =
        Setup::before(&upstream).policy("enforce", &rule("hold", r#"younger_than = "7d""#)).start();
    proxy.is_refused_by(&release, "rule", "");
    proxy.stop();
    pins(&proxy, "import", &pin.to_string());
    proxy.revive();
    proxy.is_let_in(&release);
}

#[test]
fn a_release_by_git_is_known_as_such_once_its_metadata_was_asked_for() {
    let release = lamp();
    let upstream = Upstream::start();
    upstream.publish(&release);
    let mut exact = release.metadata(&upstream.url());
    exact["dist"] = json!({"source": "git", "repository": "https://git.example/lamp", "ref": "v1"});
    upstream.reply(&release.exact(), Reply::json(&exact));
    let proxy = Setup::before(&upstream).policy("enforce", &rule("deny", r#"delivery = "git""#)).start();
    assert_eq!(proxy.row_of(&release)["state"], "available", "nobody asked yet");
    proxy.client().get(&release.exact()).problem(403, "authorization-failed");
    assert_eq!(proxy.row_of(&release)["state"], "blocked");
}

#[test]
fn what_the_manifest_says_is_judged_before_the_first_byte() {
    for (matching, more) in [
        (r#"licenses_not_in = ["MIT", "Apache-2.0"]"#, ""),
        (r#"publishers_not_in = ["acme"]"#, ""),
        (r#"components = ["hook"]"#, "[[components]]\ntype = \"hook\"\nname = \"h\"\nentrypoint = \"h\"\n"),
        (r#"permissions = { shell = "allow" }"#, "[permissions]\nshell = \"allow\"\n"),
    ] {
        let release = lamp().manifest(&manifest(more));
        let (upstream, mut proxy) = started(&release, matching);
        assert_eq!(proxy.row_of(&release)["state"], "available", "nothing was verified yet");
        proxy.client().get(&release.exact()).ok();
        proxy.client().get(&release.download()).problem(403, "authorization-failed");
        proxy.is_refused_by(&release, "rule", "");
        assert_eq!(upstream.requests(&release.source()), 1, "it is verified once: {matching}");
        proxy.restart();
        proxy.is_refused_by(&release, "rule", "");
    }
}

#[test]
fn nobody_who_asks_at_once_gets_a_byte_that_a_manifest_forbids() {
    let release = lamp().manifest(&manifest(""));
    let (upstream, proxy) = started(&release, r#"publishers_not_in = ["acme"]"#);
    proxy.client().get(&release.exact()).ok();
    let held = upstream.hold(&release.source());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..8).map(|_| scope.spawn(|| proxy.client().get(&release.download()).status)).collect();
        eventually("a download that begins", || (upstream.requests(&release.source()) > 0).then_some(()));
        drop(held);
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses, [403; 8]);
}

#[test]
fn trust_views_obey_what_is_found_out_later_and_what_they_say_themselves() {
    let release = lamp().manifest(&manifest(""));
    for matching in [r#"publishers_not_in = ["acme"]"#, r#"trust_missing = ["provenance-of-another-kind"]"#] {
        let upstream = Upstream::start();
        upstream.publish(&release);
        upstream.reply(&release.trust("summary"), Reply::json(&release.trust_summary()));
        upstream.reply(&release.trust("detail"), Reply::json(&release.trust_detail()));
        let proxy = Setup::before(&upstream).policy("enforce", &rule("deny", matching)).start();
        for view in ["detail", "summary"] {
            proxy.client().get(&release.trust(view));
        }
        proxy.client().get(&release.download()).problem(403, "authorization-failed");
        for view in ["detail", "summary"] {
            proxy.client().get(&release.trust(view)).problem(403, "authorization-failed");
        }
    }
}

#[test]
fn a_manifest_that_passes_is_served_whole() {
    let release = lamp().manifest(&manifest("").replace("GPL-3.0-only", "MIT OR GPL-3.0-only"));
    let (upstream, proxy) = started(&release, r#"licenses_not_in = ["MIT"]"#);
    for _ in 0..2 {
        assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    }
    assert_eq!(upstream.requests(&release.source()), 1);
}

#[test]
fn archives_that_were_verified_before_there_was_a_rule_are_read_again() {
    let release = lamp().manifest(&manifest(""));
    let upstream = Upstream::start();
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    proxy.is_let_in(&release);
    let strangers = rule("deny", r#"publishers_not_in = ["acme"]"#);
    proxy.reconfigure(|setup| setup.policy("enforce", &strangers));
    proxy.reload().ok();
    proxy.client().get(&release.download()).problem(403, "authorization-failed");
    proxy.is_refused_by(&release, "rule", "");

    std::fs::remove_dir_all(proxy.data().join("evidence")).unwrap();
    proxy.restart_as(|setup| setup.policy("enforce", &strangers));
    eventually("a row that was lowered behind requests", || {
        (proxy.row_of(&release)["state"] == "blocked").then_some(())
    });
}

#[test]
fn trust_that_is_missing_or_cannot_be_asked_holds() {
    let release = lamp();
    let (upstream, proxy) = started(&release, r#"trust_missing = ["provenance"]"#);
    assert_eq!(proxy.row_of(&release)["state"], "available", "nobody asked yet");
    proxy.is_refused_by(&release, "rule", "");

    let upstream_with = Upstream::start();
    upstream_with.publish(&release);
    let attested = release.attested(&[attachment("one", "a statement", "active")]);
    upstream_with.reply(&release.trust("detail"), Reply::json(&attested));
    let category = attested["attachments"][0]["category"].as_str().unwrap();
    let missing = format!("trust_missing = [\"{category}\"]");
    let proxy_with = Setup::before(&upstream_with).policy("enforce", &rule("hold", &missing)).start();
    proxy_with.is_let_in(&release);

    upstream.reply(&release.trust("detail"), Reply::failure(503));
    let refused = proxy.client().get(&release.exact());
    refused.problem(403, "authorization-failed");
}

fn advisory(version: &str, severity: &str) -> Value {
    json!({
        "id": {"local": "AV-1", "aliases": ["CVE-2026-1"]}, "source": {"ecosystem": "bibliotheca"},
        "severity": severity, "published": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "affected": {"volume": "lamp", "ranges": [{"type": "semver", "events": [
            {"introduced": "0"}, {"fixed": version},
        ]}]},
    })
}

#[test]
fn an_advisory_holds_what_it_affects_once_it_is_known() {
    for (listed, expected) in [
        (vec![advisory("1.0.1", "high")], 403),
        (vec![advisory("1.0.1", "low")], 200),
        (vec![advisory("1.0.0", "high")], 200),
        (vec![], 200),
    ] {
        let release = lamp();
        let upstream = Upstream::start();
        upstream.publish(&release);
        upstream.reply("/api/v1/advisories", Reply::json(&json!({"items": listed})));
        let matching = r#"advisory = "high""#;
        let proxy = Setup::before(&upstream).policy("enforce", &rule("deny", matching)).start();
        eventually("advisories that are in force", || {
            proxy.log().contains("advisories are in force").then_some(())
        });
        assert_eq!(proxy.client().get(&release.exact()).status, expected, "{listed:?}");
    }
}

#[test]
fn advisories_that_cannot_be_asked_hold_unless_the_operator_says_open() {
    for (says, expected) in [("closed", 403), ("open", 200)] {
        let release = lamp();
        let upstream = Upstream::start();
        upstream.publish(&release);
        upstream.reply("/api/v1/advisories", Reply::failure(503));
        let setup = Setup::before(&upstream).set("policy.advisories", says);
        let proxy = setup.policy("enforce", &rule("hold", r#"advisory = "low""#)).start();
        assert_eq!(proxy.client().get(&release.exact()).status, expected, "{says}");
    }
}

#[test]
fn advisories_in_files_count_and_confirm_no_registry_that_was_never_asked() {
    let release = lamp();
    let upstream = Upstream::start();
    upstream.publish(&release);
    let folder = tempfile::tempdir().unwrap();
    let osv = json!({
        "id": "OSV-7", "modified": "2026-01-01T00:00:00Z", "database_specific": {"severity": "HIGH"},
        "affected": [{"package": {"purl": "pkg:volume/lamp"}, "ranges": [
            {"type": "SEMVER", "events": [{"introduced": "0"}, {"last_affected": "1.0.0"}]},
        ]}],
    });
    std::fs::write(folder.path().join("one.json"), osv.to_string()).unwrap();
    let setup = Setup::before(&upstream).set("policy.osv", vec![folder.path().display().to_string()]);
    let proxy = setup.policy("enforce", &rule("deny", r#"advisories = ["OSV-7"]"#)).start();
    eventually("advisories that are in force", || {
        proxy.log().contains("advisories are in force").then_some(())
    });
    proxy.is_refused_by(&release, "rule", "");
    std::fs::remove_file(folder.path().join("one.json")).unwrap();
    let other = osv.to_string().replace("OSV-7", "OSV-8");
    std::fs::write(folder.path().join("two.json"), other).unwrap();
    proxy.reload().ok();
    eventually("a release that is let in", || {
        (proxy.client().get(&release.exact()).status == 200).then_some(())
    });
    proxy.is_let_in(&release);

    let unasked = Upstream::start();
    unasked.publish(&release);
    unasked.reply("/api/v1/advisories", Reply::failure(503));
    let setup = Setup::before(&unasked).set("policy.osv", vec![folder.path().display().to_string()]);
    let proxy = setup.policy("enforce", &rule("deny", r#"advisories = ["OSV-7"]"#)).start();
    proxy.is_refused_by(&release, "rule", "");
}
