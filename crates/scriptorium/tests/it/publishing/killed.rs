//! Killed in the middle of an upload and started again: what was staged is gone, the place is not.

use std::thread;

use serde_json::Value;

use super::{Ground, bearer, lamp, place};
use crate::support::publisher::Instruction;
use crate::support::sending::Announced;
use crate::support::tarball::Entry;
use crate::support::{Publishing, Release, eventually, noise};

const REAL: &str = "/take/up-1?signature=signed-1";

fn big() -> Release {
    lamp().adding(Entry::file("data.bin", noise(9, 8 << 20)))
}

/// Starts again, sees that nothing staged is left, and completes the upload at the same place.
fn complete(ground: &mut Ground, release: &Release, mut intent: Value) {
    ground.proxy.revive();
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
    intent["upload"]["url"] =
        format!("http://{}/uploads/{}", ground.proxy.authority(), place(&intent)).into();
    let sent = ground.publisher().send(&intent, &release.archive());
    assert_eq!(sent.status, 200, "{}", sent.text());
    let finalized = ground.publisher().finalize(release, &intent);
    assert_eq!(finalized.status, 201, "{}", finalized.text());
    assert_eq!(ground.registry.bytes("up-1"), Some(release.archive()));
    assert_eq!(ground.proxy.client().get(&release.download()).ok().body, release.archive());
    assert_eq!(ground.registry.requests(&release.source()), 0);
    assert!(ground.proxy.files("quarantine").is_empty() && ground.proxy.files("uploads").is_empty());
}

#[test]
fn killed_while_it_is_staged() {
    let (mut ground, release) = (Ground::new(), big());
    let intent = ground.announced(&release);
    let Instruction { client, method, target, .. } = Instruction::of(&intent);
    let fields = [("authorization", &*bearer(Publishing::TOKEN)), ("content-type", "application/gzip")];
    let archive = release.archive();
    let announced = Announced::Length(archive.len() as u64);
    let mut upload = client.upload(&method, &target, &fields, announced).unwrap();
    upload.piece(&archive[..archive.len() / 2]).unwrap();
    eventually("something staged", || (!ground.proxy.files("staging").is_empty()).then_some(()));
    ground.proxy.crash();
    assert!(!ground.proxy.files("staging").is_empty(), "nothing was staged, so nothing is proved");
    assert!(ground.uploads().is_empty());
    complete(&mut ground, &release, intent);
    assert_eq!(ground.uploads().len(), 1);
}

#[test]
fn killed_while_it_is_sent_on() {
    let (mut ground, release) = (Ground::new(), big());
    let intent = ground.announced(&release);
    let hold = ground.registry.hold(REAL);
    let (publisher, archive) = (ground.publisher(), release.archive());
    let sending = {
        let (intent, archive) = (intent.clone(), archive.clone());
        thread::spawn(move || {
            let Instruction { client, method, target, .. } = Instruction::of(&intent);
            let fields =
                [("authorization", &*bearer(Publishing::TOKEN)), ("content-type", "application/gzip")];
            client.try_send_body(&method, &target, &fields, &archive).is_err()
        })
    };
    drop(publisher);
    eventually("the upload on its way", || (ground.registry.requests(REAL) == 1).then_some(()));
    ground.proxy.crash();
    assert!(!ground.proxy.files("staging").is_empty(), "nothing was staged, so nothing is proved");
    assert!(sending.join().unwrap(), "nobody was told anything");
    hold.release();
    complete(&mut ground, &release, intent);
    assert_eq!(ground.registry.requests(REAL), 2);
}

/// How many releases a reader finds.
fn listed(ground: &Ground) -> usize {
    let index = ground.proxy.client().get(&lamp().index()).ok().json();
    index["items"].as_array().unwrap().len()
}

#[test]
fn killed_before_the_answer_to_finalize() {
    let mut ground = Ground::with(|setup| setup.set("cache.index_ttl", "6h"));
    let old = Release::new("@acme/lamp", "1.0.0");
    assert_eq!(ground.publisher().publish(&old).status, 201);
    assert_eq!(listed(&ground), 1);
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    let route = "/api/v1/volumes/@acme/lamp/uploads/up-2/finalize";
    let hold = ground.registry.hold(route);
    let (publisher, asked) = (ground.publisher(), intent.clone());
    let waiting =
        thread::spawn(move || std::panic::catch_unwind(|| publisher.finalize(&lamp(), &asked)).is_err());
    eventually("the finalize on its way", || (ground.registry.requests(route) == 1).then_some(()));
    ground.proxy.crash();
    assert!(waiting.join().unwrap());
    hold.release();
    ground.proxy.revive();
    let again = ground.publisher().finalize(&lamp(), &intent);
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains("The registry says invalid-upload-state."));
    // The conflict may be with what the first try did, so what is read is asked for again.
    assert_eq!(listed(&ground), 2);
    assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
    assert_eq!(ground.registry.requests(&lamp().source()), 0, "seeded before the kill");
}
