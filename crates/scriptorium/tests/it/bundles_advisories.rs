//! Advisories cross an air gap with everything else: a site without a registry answers questions about them, and its rules see them.

use serde_json::json;

use crate::mirror::notices::{advisory, capabilities, list_advisories};
use crate::support::crossing::{Luggage, mirror, receiver};
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

const RULE: &str = r#"
    [policy]
    advisories = "closed"
    [[policy.rules]]
    id = "vulnerable"
    action = "deny"
    match = { advisory = "low" }
    message = "ask security"
"#;

fn old(reply: Reply) -> Reply {
    reply.with("age", "3600")
}

/// A site without any rule that has synced two releases, of which 1.0.0 is affected, and was asked by no client.
fn synced(more: impl FnOnce(&Upstream)) -> (Upstream, Proxy, [Release; 2]) {
    let upstream = Upstream::start();
    let releases = ["1.0.0", "1.1.0"].map(|version| Release::new("lamp", version));
    releases.iter().for_each(|release| upstream.publish(release));
    let all = [("AV-1", "bulb"), ("AV-2", "bulb"), ("AV-3", "lamp")].map(|(id, about)| advisory(id, about));
    list_advisories(&upstream, all.into());
    upstream.reply("/api/v1/capabilities", old(Reply::json(&capabilities())));
    more(&upstream);
    let near = Setup::before(&upstream)
        .mirror("ci", "roots = [\"lamp\"]\nversions = \"all\"\ntrust = false")
        .start();
    mirror(&near, &["sync", "ci"]).exits(0);
    (upstream, near, releases)
}

fn cross(near: &Proxy, far: &Proxy, luggage: &Luggage, to: &str, more: &[&str]) -> serde_json::Value {
    let (to, key) = (luggage.at(to), luggage.at("corp.key"));
    let mut arguments = vec!["export", "ci", "--to", &to, "--key", &key, "--json"];
    arguments.extend(more);
    let made = mirror(near, &arguments).exits(0).json();
    mirror(far, &["import", &to]).exits(0);
    made
}

#[test]
fn a_closed_rule_serves_what_is_not_affected_and_refuses_what_is() {
    let (upstream, near, [affected, mended]) = synced(|_| {});
    let luggage = Luggage::new();
    let mut far = receiver(&upstream, &luggage.key("corp")).policy("enforce", RULE).start();
    upstream.down();
    cross(&near, &far, &luggage, "bundle", &[]);
    // Beside the running proxy, and after a restart.
    for _ in 0..2 {
        eventually("advisories in force", || {
            (far.client().get(&mended.download()).status == 200).then_some(())
        });
        far.is_let_in(&mended);
        far.is_refused_by(&affected, "vulnerable", "ask security");
        let explained = far.admin().get("/admin/v1/explain?volume=lamp&version=1.0.0").ok().text();
        assert!(explained.contains("AV-3"), "{explained}");
        far.restart();
    }
}

#[test]
fn every_question_about_advisories_is_answered_without_a_registry() {
    let (upstream, near, _) = synced(|_| {});
    let luggage = Luggage::new();
    let far = receiver(&upstream, &luggage.key("corp")).start();
    upstream.down();
    assert_eq!(far.client().get("/api/v1/advisories").status, 504, "nothing is here yet");
    cross(&near, &far, &luggage, "bundle", &[]);
    let ids = |target: &str| {
        let body = far.client().get(target).ok().json();
        let id = |advisory: &serde_json::Value| advisory["id"]["local"].as_str().unwrap().to_owned();
        body["items"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids("/api/v1/advisories"), ["AV-1", "AV-2"]);
    assert_eq!(ids("/api/v1/advisories?offset=2"), ["AV-3"]);
    assert_eq!(ids("/api/v1/advisories?volume=lamp"), ["AV-3"]);
    assert_eq!(ids("/api/v1/advisories?volume=bulb"), ["AV-1", "AV-2"]);
    assert!(ids("/api/v1/advisories?volume=other").is_empty(), "the whole list has none");
    let one = far.client().get("/api/v1/advisories/AV-3").ok();
    assert_eq!(one.json(), advisory("AV-3", "lamp"));
    assert!(one.header("cache-status").unwrap().contains("offline"), "{:?}", one.header("cache-status"));
    assert_eq!(far.client().get("/api/v1/advisories/AV-9").status, 504, "nobody says that there is none");
    assert_eq!(far.client().get("/api/v1/advisories?volume=lamp&severity=high").status, 504);
    let capable = far.client().get("/api/v1/capabilities").ok();
    assert_eq!(capable.json()["apis"]["advisories"], true);
    // Like the releases they are kept from eviction.
    let kept: String = far
        .files("mirrors")
        .iter()
        .map(|record| String::from_utf8_lossy(&std::fs::read(record).unwrap()).into_owned())
        .collect();
    assert!(
        kept.contains(r#""capabilities":"here""#) && kept.contains(r#""pages":["","offset=2"]"#),
        "{kept}"
    );
    let age: u64 = capable.header("age").unwrap().parse().unwrap();
    assert!((3600..3900).contains(&age), "as old as its registry said: {age}");
}

#[test]
fn of_two_answers_the_one_that_was_confirmed_later_counts() {
    let (upstream, near, _) = synced(|_| {});
    let luggage = Luggage::new();
    let far = receiver(&upstream, &luggage.key("corp")).start();
    // A client asked about the lamp before its advisory was withdrawn from the list.
    near.client().get("/api/v1/advisories?volume=lamp").ok();
    list_advisories(&upstream, vec![advisory("AV-1", "bulb")]);
    crate::support::eventually("a later second", || {
        let said = near.client().get("/api/v1/advisories?volume=lamp").ok();
        said.header("age").filter(|age| *age != "0").map(drop)
    });
    mirror(&near, &["sync", "ci"]).exits(0);
    cross(&near, &far, &luggage, "bundle", &[]);
    let about = far.client().get("/api/v1/advisories?volume=lamp").ok().json();
    assert_eq!(about["items"], json!([]), "the list is newer");
    assert_eq!(
        far.client().get("/api/v1/advisories?volume=bulb").ok().json()["items"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_lifecycle_bundle_carries_advisories() {
    let (upstream, near, [affected, mended]) = synced(|upstream| list_advisories(upstream, Vec::new()));
    let luggage = Luggage::new();
    let far = receiver(&upstream, &luggage.key("corp")).policy("enforce", RULE).start();
    cross(&near, &far, &luggage, "bundle", &[]);
    eventually("advisories in force", || {
        (far.client().get(&affected.download()).status == 200).then_some(())
    });
    list_advisories(&upstream, vec![advisory("AV-3", "lamp")]);
    mirror(&near, &["sync", "ci"]).exits(0);
    let made = cross(&near, &far, &luggage, "blocks", &["--lifecycle-only"]);
    assert_eq!((made["kind"].as_str(), made["files"].as_u64()), (Some("lifecycle"), Some(0)), "{made}");
    eventually("a refusal", || (far.client().get(&affected.download()).status == 403).then_some(()));
    far.is_let_in(&mended);
}

#[test]
fn a_list_that_was_here_and_is_not_any_more_is_missing_in_the_bundle() {
    let (_upstream, near, _) = synced(|_| {});
    let luggage = Luggage::new();
    luggage.key("corp");
    let advisories = near.data().join("documents/advisories");
    std::fs::remove_dir_all(&advisories).unwrap();
    let (to, key) = (luggage.at("bundle"), luggage.at("corp.key"));
    let made = mirror(&near, &["export", "ci", "--to", &to, "--key", &key, "--json"]).exits(0).json();
    assert_eq!(made["missing"][0]["release"], "lamp@1.0.0", "{made}");
    assert!(made["missing"][0]["reason"].as_str().unwrap().contains("advisories of its registry public"));
}
