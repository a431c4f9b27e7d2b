//! Registries that fail, lie or lose things while a mirror is synced.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::keeping::{KIB, sized};
use super::{house, lamps};
use crate::support::mirror::{Desk, asked, depending, mirror, missing, reason};
use crate::support::{Accident, Disk, Proxy, Release, Reply, Setup, Upstream, each};

fn archive(data: &Path, release: &Release) -> PathBuf {
    let hex = release.integrity()["sha256:".len()..].to_owned();
    data.join("archives").join(&hex[..2]).join(hex)
}

#[test]
fn two_bad_packages_cost_the_others_nothing_and_come_in_once_they_are_healed() {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..8).map(|number| format!("v{number}")).collect();
    for name in &names {
        upstream.publish(&Release::new(name, "1.0.0"));
    }
    let (lying, failing) = (Release::new("v3", "1.0.0"), Release::new("v5", "1.0.0"));
    upstream.publish_as(&lying, Release::new("v6", "1.0.0").archive());
    upstream.publish_with(&failing, Reply::failure(500));
    let roots = format!("roots = {names:?}\ntrust = false");
    let desk = Desk::new(&Setup::before(&upstream).mirror("ci", &roots));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, missing(&sync)), (1, vec!["v3@1.0.0".to_owned(), "v5@1.0.0".to_owned()]), "{sync}");
    assert!(reason(&sync, "v5@1.0.0").contains("500"), "{sync}");
    assert_eq!(sync["fetched"]["archives"], 6, "{sync}");
    assert!(upstream.requests(&failing.source()) > 1, "it was tried again within the sync");
    assert_eq!(upstream.requests(&lying.source()), 1, "what was refused is not downloaded again");
    let (code, status) = desk.mirror(&["status"]);
    assert_eq!((code, missing(&status).len(), &status["last_success"]), (1, 2, &json!(null)), "{status}");
    let (code, proof) = desk.mirror(&["verify"]);
    let problems = proof["problems"].as_array().unwrap();
    let refused = problems.iter().find(|problem| problem["release"] == "v3@1.0.0").unwrap();
    assert!(code == 1 && refused["reason"].as_str().unwrap().contains("was refused"), "{proof}");

    upstream.publish(&failing);
    let corrected = Release::new("v3", "1.0.1");
    upstream.publish(&corrected);
    asked(&upstream);
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!(
        (code, &sync["fetched"]["archives"]),
        (0, &json!(2)),
        "a retry fetches what is not here: {sync}"
    );
    assert_eq!(desk.mirror(&["verify"]).0, 0);
}

#[test]
fn a_sync_waits_for_a_registry_that_asks_for_time() {
    let upstream = house();
    let bulb = depending("bulb", "2.0.0", &[]);
    let busy = Reply::problem(429, "rate-limited", "Too many", "Later.").with("retry-after", "1");
    upstream.befall("GET", &bulb.exact(), Accident::Instead(busy.clone()));
    upstream.befall("GET", &bulb.source(), Accident::Instead(busy));
    let desk = Desk::new(&lamps(&upstream));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"]), (0, &json!(true)), "{sync}");
    assert!(upstream.requests(&bulb.source()) > 1, "it was told to wait");
}

#[test]
fn a_block_and_a_deletion_are_carried_over_and_stand_without_the_registry() {
    each(
        [("blocked", 403, "authorization-failed"), ("tombstoned", 404, "not-found")],
        |(state, status, slug)| {
            let upstream = house();
            let wire = depending("wire", "2.0.0", &[]);
            let keys = "roots = [\"wire@2.0.0\", \"bulb\"]\ntrust = false";
            let setup = Setup::before(&upstream).mirror("ci", keys);
            let desk = Desk::new(&setup);
            assert_eq!(desk.mirror(&["sync"]).0, 0);
            let gone = wire.clone().state(state, "malware");
            let refusal = Reply::problem(status, slug, "Gone", "Malware.");
            upstream.say(&gone, [gone.row(&upstream.url())], refusal);
            let (code, sync) = desk.mirror(&["sync"]);
            assert_eq!((code, missing(&sync)), (1, vec!["wire@2.0.0".to_owned()]), "{sync}");
            assert!(reason(&sync, "wire@2.0.0").contains(state), "{sync}");
            upstream.down();
            let proxy = setup
                .set("storage.url", format!("file://{}", desk.data().display()))
                .set("cache.offline", true)
                .start();
            assert_eq!(proxy.client().get(&wire.download()).status, status);
            assert_eq!(proxy.client().get(&depending("bulb", "3.0.0", &[]).download()).status, 200);
        },
    );
}

#[test]
fn an_index_that_lost_all_its_rows_is_reported_and_what_was_mirrored_stays() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let (_, before) = desk.mirror(&["status"]);
    upstream.reply("/api/v1/index/volumes/bulb", Reply::json(&json!({ "items": [] })));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!(code, 1, "{sync}");
    assert!(reason(&sync, "bulb@2.0.0").contains("lists no release any more"), "{sync}");
    let (_, after) = desk.mirror(&["status"]);
    assert_eq!(after["last_success"], before["last_success"]);
    assert!(archive(&desk.data(), &depending("bulb", "2.0.0", &[])).exists());
    // `gc` would remove everything that no mirror keeps.
    let mut gc = crate::support::proxy::scriptorium();
    gc.args(["store", "gc", "--to", "1B", "--apply", "--json", "--config"]).arg(desk.config());
    let said = gc.output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(archive(&desk.data(), &depending("bulb", "2.0.0", &[])).exists());
}

#[test]
fn a_registry_that_is_away_takes_nothing_away() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    let (code, whole) = desk.mirror(&["sync"]);
    assert_eq!(code, 0);
    upstream.down();
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["complete"]), (1, &json!(false)), "{sync}");
    assert_eq!(missing(&sync), ["@acme/lamp"], "{sync}");
    assert_eq!(desk.mirror(&["verify"]).0, 0, "everything is still here");
    let (code, status) = desk.mirror(&["status"]);
    assert!(code == 1 && status["last_success"].is_string(), "{status}");
    assert_eq!((&status["releases"], &status["bytes"]), (&whole["releases"], &whole["bytes"]), "it says so");
    upstream.up();
    assert_eq!(desk.mirror(&["sync"]).0, 0);
}

#[test]
fn what_a_registry_contradicts_itself_about_is_not_taken() {
    let upstream = house();
    let bulb = depending("bulb", "2.0.0", &[]);
    let other = Release::new("bulb", "2.0.0").adding(crate::support::tarball::Entry::file("more", "x"));
    upstream.say(&bulb, [bulb.row(&upstream.url())], Reply::json(&other.metadata(&upstream.url())));
    let desk = Desk::new(&lamps(&upstream));
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!(code, 1, "{sync}");
    assert!(reason(&sync, "bulb@2.0.0").contains("contradicts itself"), "{sync}");
    assert_eq!(upstream.requests(&bulb.source()), 0, "no byte of it is fetched");
    let (code, proof) = desk.mirror(&["verify"]);
    assert_eq!(code, 1, "{proof}");
    assert!(reason(&proof, "bulb@2.0.0").contains("contradicts itself"), "{proof}");
}

#[test]
fn damage_is_proved_and_healed_by_nothing_but_a_fetch() {
    let upstream = house();
    let desk = Desk::new(&lamps(&upstream));
    assert_eq!(desk.mirror(&["sync"]).0, 0);
    let path = archive(&desk.data(), &depending("wire", "1.5.0", &[]));
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, proof) = desk.mirror(&["verify"]);
    assert_eq!((code, &proof["ok"]), (1, &json!(false)), "{proof}");
    assert!(reason(&proof, "wire@1.5.0").contains("damaged"), "{proof}");
    fs::remove_file(&path).unwrap();
    let (code, proof) = desk.mirror(&["verify"]);
    assert!(code == 1 && reason(&proof, "wire@1.5.0").contains("not held"), "{proof}");
    let (code, sync) = desk.mirror(&["sync"]);
    assert_eq!((code, &sync["fetched"]["archives"]), (0, &json!(1)), "{sync}");
    assert_eq!(desk.mirror(&["verify"]).0, 0);
}

#[test]
fn a_disk_that_fills_is_told_and_a_sync_goes_on_once_it_has_room() {
    let Some(disk) = Disk::of(16 << 20) else { return };
    let upstream = Upstream::start();
    let releases: Vec<Release> = (0..8).map(|number| sized("m", number, 300 * KIB)).collect();
    releases.iter().for_each(|release| upstream.publish(release));
    let roots: Vec<&str> = releases.iter().map(|release| release.name.as_str()).collect();
    let setup = Setup::before(&upstream).mirror("ci", &format!("roots = {roots:?}\ntrust = false"));
    let proxy = Proxy::start_on(&disk, setup);
    disk.fill();
    disk.shrink_filler(1 << 20);
    let (code, sync) = mirror(&proxy.config(), &["sync"]);
    assert_eq!((code, &sync["complete"]), (1, &json!(false)), "{sync}");
    assert!(!missing(&sync).is_empty(), "{sync}");
    disk.free();
    upstream.take_seen();
    let (code, sync) = mirror(&proxy.config(), &["sync"]);
    assert_eq!((code, &sync["complete"]), (0, &json!(true)), "{sync}");
    let again = releases.iter().filter(|release| upstream.requests(&release.source()) > 0).count();
    assert!(again < releases.len(), "what came before is not fetched again");
    assert_eq!(mirror(&proxy.config(), &["verify"]).0, 0);
}
