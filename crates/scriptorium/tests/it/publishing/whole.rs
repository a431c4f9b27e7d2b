//! A whole publish through the proxy: what was read before is read anew, and what was uploaded is not fetched again.

use super::{Ground, granted, lamp};
use crate::support::{Client, Publisher, Release, Setup, hex_digest};

/// Everything that is read is kept for hours.
fn long_lived(setup: Setup) -> Setup {
    let kinds = ["index_ttl", "release_ttl", "trust_ttl", "negative_ttl", "stale_while_revalidate"];
    kinds.iter().fold(setup, |setup, kind| setup.set(&format!("cache.{kind}"), "6h"))
}

fn versions(ground: &Ground, release: &Release) -> Vec<String> {
    let index = ground.proxy.client().get(&release.index()).ok().json();
    let rows = index["items"].as_array().unwrap().iter();
    rows.map(|row| {
        format!("{}:{}", row["version"].as_str().unwrap(), row["status"]["state"].as_str().unwrap())
    })
    .collect()
}

#[test]
fn what_is_published_is_read_at_once_and_its_archive_is_not_fetched() {
    for name in ["@acme/lamp", "lamp"] {
        let ground = Ground::with(long_lived);
        let (old, new) = (Release::new(name, "1.0.0"), Release::new(name, "1.1.0"));
        assert_eq!(Publisher::at(Client::of(&ground.registry)).publish(&old).status, 201);
        let client = ground.proxy.client();
        assert_eq!(versions(&ground, &new), ["1.0.0:available"]);
        assert!(client.get(&new.index()).ok().is_hit(), "the index is warm");
        client.get(&new.exact()).problem(404, "not-found");
        assert!(client.get(&new.exact()).is_hit(), "that there is no release is remembered");

        let intent = ground.announced(&new);
        let sent = ground.publisher().send(&intent, &new.archive());
        assert_eq!((sent.status, sent.text()), (200, String::new()));
        let finalized = ground.publisher().finalize(&new, &intent);
        assert_eq!(finalized.status, 201, "{}", finalized.text());
        let last = ground.uploads().pop().unwrap();
        assert_eq!(last.sha256(), hex_digest(&new.archive()), "the registry took the very bytes");

        assert_eq!(versions(&ground, &new), ["1.0.0:available", "1.1.0:available"]);
        let exact = client.get(&new.exact()).ok();
        assert_eq!(exact.json()["integrity"], new.integrity());
        let said = finalized.json();
        assert_eq!(said["release"]["dist"], exact.json()["dist"], "archives are had through this proxy");
        let detail = said["detailUrl"].as_str().unwrap();
        assert_eq!(detail, format!("http://{}{}", ground.proxy.authority(), new.exact()));

        let archive = client.get(&new.download()).ok();
        assert_eq!(archive.body, new.archive());
        assert_eq!(ground.registry.requests(&new.source()), 0, "the archive was asked for");
        assert!(ground.proxy.divergences().is_empty());
    }
}

#[test]
fn the_archive_is_there_also_when_the_registry_is_gone() {
    let ground = Ground::with(long_lived);
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    let client = ground.proxy.client();
    client.get(&lamp().index()).ok();
    client.get(&lamp().exact()).ok();
    ground.registry.down();
    assert_eq!(client.get(&lamp().download()).ok().body, lamp().archive());
}

#[test]
fn a_withdrawn_release_is_withdrawn_for_the_next_reader() {
    let ground = Ground::with(long_lived);
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    let client = ground.proxy.client();
    for target in [lamp().index(), lamp().exact()] {
        client.get(&target).ok();
        assert!(client.get(&target).ok().is_hit());
    }
    let withdrawn = ground.publisher().withdraw(&lamp());
    assert_eq!((withdrawn.status, withdrawn.text()), (202, "{}".to_owned()));
    assert_eq!(versions(&ground, &lamp()), ["1.1.0:tombstoned"]);
    client.get(&lamp().exact()).problem(404, "not-found");
    client.get(&lamp().download()).problem(404, "not-found");
}

#[test]
fn a_write_that_is_refused_leaves_what_is_read() {
    let ground = Ground::with(long_lived);
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    let client = ground.proxy.client();
    client.get(&lamp().index()).ok();
    let other = Release::new("@acme/lamp", "9.9.9");
    assert_eq!(ground.publisher().withdraw(&other).status, 404);
    assert_eq!(ground.publisher().with_token("unknown").withdraw(&lamp()).status, 401);
    assert!(client.get(&lamp().index()).ok().is_hit());
}

#[test]
fn the_instruction_may_say_post() {
    let ground = Ground::new();
    ground.registry.instruct(Some("POST"));
    let intent = granted(&ground.publisher().announce(&lamp()));
    assert_eq!(intent["upload"]["method"], "PUT", "places here take PUT");
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
    assert_eq!(ground.uploads()[0].method, "POST");
}

#[test]
fn what_changed_is_read_anew_also_after_a_power_cut() {
    let mut ground = Ground::with(long_lived);
    let old = Release::new("@acme/lamp", "1.0.0");
    assert_eq!(ground.publisher().publish(&old).status, 201);
    assert_eq!(versions(&ground, &old), ["1.0.0:available"]);
    ground.proxy.restart();
    assert!(ground.proxy.client().get(&old.index()).ok().is_hit(), "what was read is kept");
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    assert_eq!(ground.publisher().finalize(&lamp(), &intent).status, 201);
    ground.proxy.crash_and_restart();
    assert_eq!(versions(&ground, &old), ["1.0.0:available", "1.1.0:available"]);
    assert_eq!(ground.publisher().withdraw(&old).status, 202);
    ground.proxy.crash_and_restart();
    ground.proxy.client().get(&old.exact()).problem(404, "not-found");
}

#[test]
fn places_are_named_as_clients_reach_this_proxy() {
    let ground = Ground::with(|setup| setup.set("server.public_url", "https://volumes.corp.example"));
    let intent = ground.announced(&lamp());
    let place = intent["upload"]["url"].as_str().unwrap();
    let here = format!("http://{}/uploads/", ground.proxy.authority());
    let place = place.replace("https://volumes.corp.example/uploads/", &here);
    assert!(place.starts_with(&here), "{place}");
    let mut moved = intent;
    moved["upload"]["url"] = place.into();
    assert_eq!(ground.publisher().send(&moved, &lamp().archive()).status, 200);
    let finalized = ground.publisher().finalize(&lamp(), &moved).json();
    for link in [&finalized["detailUrl"], &finalized["release"]["dist"]["url"]] {
        assert!(link.as_str().unwrap().starts_with("https://volumes.corp.example/"), "{finalized}");
    }
}
