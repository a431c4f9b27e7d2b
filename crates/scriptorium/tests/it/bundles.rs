//! What a mirror holds crosses an air gap: it is served there as it was here, as old as it is.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::catalogue::Artifact;
use crate::support::crossing::{Luggage, contents, mirror, receiver, selected};
use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, noise};

const ADVISORIES: &str = "/api/v1/advisories?volume=%40acme%2Flamp";

fn lamp(version: &str) -> Release {
    Release::new("@acme/lamp", version).adding(Entry::file("big", noise(3, 600_000)))
}

fn artifact() -> Artifact {
    Artifact::new("sbom", "application/vnd.cyclonedx+json", noise(7, 70_000))
}

/// A registry whose answers are an hour old, and a proxy that has seen all of them.
fn sender() -> (Upstream, Proxy, Vec<Release>) {
    let upstream = Upstream::start();
    let releases = vec![lamp("1.0.0"), lamp("1.1.0"), Release::new("bulb", "2.0.0")];
    for release in &releases {
        upstream.publish(release);
    }
    let old = |reply: Reply| reply.with("age", "3600");
    let attachment = artifact().attachment(&upstream.url());
    upstream.reply(&releases[0].trust("detail"), old(Reply::json(&releases[0].attested(&[attachment]))));
    upstream.reply(&releases[0].trust("summary"), old(Reply::json(&releases[0].trust_summary())));
    upstream.reply(&artifact().source(), artifact().reply());
    upstream.reply("/api/v1/advisories", old(Reply::json(&json!({ "items": [], "nextCursor": null }))));
    upstream.reply(&releases[0].exact(), old(Reply::json(&releases[0].metadata(&upstream.url()))));
    let proxy = Setup::before(&upstream).start();
    for target in targets(&releases) {
        proxy.client().get(&target).ok();
    }
    selected(&proxy, &upstream, &releases.iter().collect::<Vec<_>>());
    (upstream, proxy, releases)
}

fn targets(releases: &[Release]) -> Vec<String> {
    let of = |release: &Release| [release.index(), release.exact(), release.download()];
    let mut targets: Vec<_> = releases.iter().flat_map(of).collect();
    targets.extend([releases[0].trust("summary"), releases[0].trust("detail")]);
    targets.extend([artifact().download(&releases[0]), ADVISORIES.to_owned()]);
    targets
}

#[track_caller]
fn export(proxy: &Proxy, luggage: &Luggage, to: &str, more: &[&str]) -> Value {
    let (to, key) = (luggage.at(to), luggage.at("corp.key"));
    let mut arguments = vec!["export", "ci", "--to", &to, "--key", &key, "--json"];
    arguments.extend(more);
    mirror(proxy, &arguments).exits(0).json()
}

fn bodies(proxy: &Proxy, releases: &[Release]) -> Vec<(String, Vec<u8>)> {
    let body = |target: String| {
        let answer = proxy.client().get(&target).ok();
        let is_json = answer.header("content-type").is_some_and(|kind| kind.contains("json"));
        let body = match is_json && !target.starts_with("/trust-artifacts") {
            true => answer.text().replace(&proxy.authority(), "here").into_bytes(),
            false => answer.body,
        };
        (target, body)
    };
    targets(releases).into_iter().map(body).collect()
}

#[test]
fn what_one_site_serves_the_other_serves_without_any_registry() {
    let (upstream, near, releases) = sender();
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let before = bodies(&near, &releases);
    let made = export(&near, &luggage, "bundle", &[]);
    assert_eq!((made["kind"].as_str(), made["sequence"].as_u64()), (Some("full"), Some(1)), "{made}");
    assert_eq!(made["missing"], json!([{ "root": "nobody@^1", "reason": "no release matches" }]));
    upstream.down();
    upstream.take_seen();

    let far = receiver(&upstream, &key).start();
    assert_eq!(far.client().get(&releases[0].exact()).status, 504, "nothing is here yet");
    let inspected = mirror(&far, &["inspect", &luggage.at("bundle"), "--json"]).exits(0).json();
    assert_eq!(
        (inspected["signature"].as_str(), inspected["intact"].as_bool()),
        (Some("trusted"), Some(true))
    );
    let taken = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(0).json();
    assert_eq!(
        (taken["outcome"].as_str(), taken["releases"].as_u64()),
        (Some("imported"), Some(3)),
        "{taken}"
    );
    assert_eq!(taken["left_out"], json!([]));
    crate::support::eventually("one record of the import", || {
        (far.log().matches("full bundle 1 of ").count() == 1).then_some(())
    });
    // Beside the running proxy, and after a restart.
    let mut far = far;
    for _ in 0..2 {
        assert!(bodies(&far, &releases) == before, "other bodies");
        let exact = far.client().get(&releases[0].exact()).ok();
        let age: u64 = exact.header("age").unwrap().parse().unwrap();
        assert!((3600..3900).contains(&age), "as old as its registry said: {age}");
        let explained = far.admin().get("/admin/v1/explain?volume=@acme/lamp&version=1.0.0").ok();
        assert!(explained.text().contains(&releases[0].integrity()), "{}", explained.text());
        far.restart();
    }
    assert_eq!(upstream.seen().len(), 0);
    let again = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(0).json();
    assert_eq!(again["outcome"], "unchanged");
}

#[test]
fn what_a_sync_brought_crosses_the_gap() {
    let upstream = Upstream::start();
    let releases = [lamp("1.0.0"), lamp("1.1.0"), Release::new("bulb", "2.0.0")];
    releases.iter().for_each(|release| upstream.publish(release));
    let mut setup = Setup::before(&upstream);
    let ci = toml::toml! {
        name = "ci"
        roots = ["@acme/lamp", "bulb"]
        versions = "all"
        closure = "none"
    };
    setup.table.insert("mirrors".to_owned(), toml::Value::Array(vec![ci.into()]));
    let (near, luggage) = (setup.start(), Luggage::new());
    let far = receiver(&upstream, &luggage.key("corp")).start();
    mirror(&near, &["sync", "ci"]).exits(0);
    let made = export(&near, &luggage, "bundle", &[]);
    assert_eq!((made["files"].as_u64(), made["missing"].clone()), (Some(3), json!([])), "{made}");
    upstream.down();
    let taken = mirror(&far, &["import", &luggage.at("bundle"), "--json"]).exits(0).json();
    assert_eq!(taken["releases"], 3, "{taken}");
    for release in &releases {
        far.client().get(&release.index()).ok();
        far.client().get(&release.exact()).ok();
        assert!(far.client().get(&release.download()).ok().body == release.archive());
    }
    let status = mirror(&far, &["status", "--json"]).exits(0).json();
    assert_eq!((status["imports"][0]["sequence"].as_u64(), status["mirrors"].clone()), (Some(1), json!([])));
}

#[test]
fn minisign_verifies_the_manifest_and_the_same_state_gives_the_same_bytes() {
    let (_upstream, near, _) = sender();
    let luggage = Luggage::new();
    luggage.key("corp");
    let made = || {
        let made = crate::support::crossing::command(
            &near,
            &["export", "ci", "--to", &luggage.at("bundle"), "--key", &luggage.at("corp.key")],
        )
        .env("SOURCE_DATE_EPOCH", "1796000000")
        .output()
        .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        contents(&luggage.path("bundle"))
    };
    let first = made();
    // Another sequence is another bundle, so the store forgets that it made one.
    fs::remove_file(near.data().join("bundles")).unwrap();
    assert!(made() == first, "other bytes");
    let verified = Command::new("minisign")
        .args(["-V", "-m", &luggage.at("bundle/manifest.json"), "-p", &luggage.at("corp.pub")])
        .output();
    match verified {
        Ok(verified) => assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr)),
        Err(error) => eprintln!("skipped: no minisign here: {error}"),
    }
}

#[test]
fn a_delta_carries_what_the_receipt_lacks_and_lifecycle_only_carries_a_block() {
    let (upstream, near, releases) = sender();
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    let far = receiver(&upstream, &key).start();
    export(&near, &luggage, "first", &["--part-size", "1MiB"]);
    assert!(luggage.path("first/part-0001.tar").is_file());
    mirror(&far, &["import", &luggage.at("first")]).exits(0);

    let late = lamp("1.2.0");
    upstream.publish(&late);
    near.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
    for target in [late.index(), late.exact(), late.download()] {
        near.client().get(&target).ok();
    }
    let mut all: Vec<_> = releases.iter().collect();
    all.push(&late);
    selected(&near, &upstream, &all);
    let receipt = mirror(&far, &["receipt"]).exits(0).out;
    fs::write(luggage.path("receipt.json"), &receipt).unwrap();
    let made = export(&near, &luggage, "delta", &["--for", &luggage.at("receipt.json")]);
    assert_eq!((made["kind"].as_str(), made["files"].as_u64()), (Some("delta"), Some(1)), "{made}");
    let base =
        serde_json::from_str::<Value>(&fs::read_to_string(luggage.path("delta/manifest.json")).unwrap());
    assert!(
        base.unwrap()["base"].as_str().unwrap().contains(&crate::support::hex_digest(receipt.as_bytes()))
    );
    mirror(&far, &["import", &luggage.at("delta")]).exits(0);
    assert!(far.client().get(&late.download()).ok().body == late.archive());

    // Where its base is not, a delta goes in, and what it lacks is told.
    let other = receiver(&upstream, &key).start();
    mirror(&other, &["import", &luggage.at("delta")]).exits(0);
    assert!(other.client().get(&late.download()).ok().body == late.archive());
    let row = other.row_of(&releases[0]);
    assert!(
        row["state"] == "unavailable" && row["reason"].as_str().unwrap().starts_with("not-held:"),
        "{row}"
    );
    assert_eq!(other.row_of(&late)["state"], "available");

    let blocked = lamp("1.0.0").state("blocked", "it steals");
    upstream.say(
        &blocked,
        [blocked.row(&upstream.url())],
        Reply::problem(403, "authorization-failed", "Blocked", "it steals"),
    );
    near.admin().post("/admin/v1/invalidate", r#"{"volume":"@acme/lamp"}"#).ok();
    near.client().get(&blocked.index()).ok();
    assert_eq!(near.client().get(&blocked.exact()).status, 403);
    assert_eq!(far.client().get(&blocked.download()).status, 200, "the block is not here yet");
    let made = export(&near, &luggage, "block", &["--lifecycle-only"]);
    assert_eq!((made["kind"].as_str(), made["files"].as_u64()), (Some("lifecycle"), Some(0)), "{made}");
    mirror(&far, &["import", &luggage.at("block")]).exits(0);
    assert_eq!(far.client().get(&blocked.exact()).status, 403);
    assert_eq!(far.client().get(&blocked.download()).status, 403);
    let index = far.client().get(&blocked.index()).ok().json();
    let row = index["items"].as_array().unwrap().iter().find(|row| row["version"] == "1.0.0").unwrap();
    assert_eq!(row["status"]["state"], "blocked", "{index}");
    // What is not blocked stays.
    far.client().get(&late.download()).ok();
}

#[test]
fn an_old_import_is_told_and_served() {
    let (upstream, near, releases) = sender();
    let luggage = Luggage::new();
    let key = luggage.key("corp");
    export(&near, &luggage, "bundle", &[]);
    let far = receiver(&upstream, &key).set("bundles.max_age", "0s").start();
    assert_eq!(far.admin().get("/readyz").ok().json(), json!({ "status": "ready" }), "nothing was imported");
    mirror(&far, &["import", &luggage.at("bundle")]).exits(0);
    let told = crate::support::eventually("a word about the age", || {
        let ready = far.admin().get("/readyz").ok().json();
        ready["bundles"].as_str().map(str::to_owned)
    });
    assert!(told.contains("bundles.max_age"), "{told}");
    far.client().get(&releases[0].exact()).ok();
}

#[test]
fn a_site_without_registries_starts_offline() {
    let upstream = Upstream::start();
    let mut setup = Setup::before(&upstream).set("cache.offline", true);
    setup.table.remove("upstreams");
    let proxy = setup.start();
    for target in
        ["/api/v1/index/volumes/lamp", "/api/v1/search?q=x", "/api/v1/capabilities", "/api/v1/advisories"]
    {
        let status = proxy.client().get(target).status;
        assert!((500..=504).contains(&status), "{target}: {status}");
    }
    assert_eq!(proxy.admin().get("/readyz").status, 200);
}
