//! What an upload may cost: no memory to speak of, no more disk than there is, and nobody else's answers.

use std::time::Duration;

use super::{Ground, bearer, lamp};
use crate::support::publisher::Instruction;
use crate::support::sending::Announced;
use crate::support::tarball::Entry;
use crate::support::{Client, Publisher, Publishing, Release, eventually, noise, within};

fn of_size(bytes: usize) -> Release {
    lamp().adding(Entry::file("data.bin", noise(5, bytes)))
}

#[test]
fn an_upload_is_not_held_in_memory() {
    let ground = Ground::new();
    let release = of_size(48 << 20);
    let intent = ground.announced(&release);
    let before = ground.proxy.peak_memory();
    assert_eq!(ground.publisher().send(&intent, &release.archive()).status, 200);
    let more = ground.proxy.peak_memory() - before;
    assert!(more < 24 << 20, "{more} bytes of memory for an upload of {}", release.archive().len());
    ground.assert_taken(&release.archive());
}

#[test]
fn an_upload_that_finds_no_room_is_told_so_and_not_sent() {
    let ground =
        Ground::with(|setup| setup.set("storage.max_size", "4MiB").set("storage.max_scratch", "4MiB"));
    let release = of_size(8 << 20);
    let intent = ground.announced(&release);
    let answer = ground.publisher().send(&intent, &release.archive());
    answer.problem(507, "about:blank");
    assert!(ground.uploads().is_empty());
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
    let small = Release::new("@acme/lamp", "2.0.0");
    assert_eq!(ground.publisher().publish(&small).status, 201, "what fits is taken");
}

#[test]
fn who_trickles_is_cut_off() {
    let ground = Ground::with(|setup| setup.set("limits.send_timeout", "2s"));
    let release = of_size(1 << 20);
    let intent = ground.announced(&release);
    let Instruction { client, method, target, .. } = Instruction::of(&intent);
    let bearer = bearer(Publishing::TOKEN);
    let fields = [("authorization", &*bearer), ("content-type", "application/gzip")];
    let length = release.archive().len() as u64;
    let mut upload = client.upload(&method, &target, &fields, Announced::Length(length)).unwrap();
    let mut bytes = release.archive().into_iter();
    within(Duration::from_secs(75), "an end of the trickle", || {
        std::thread::sleep(Duration::from_millis(200));
        upload.piece(&[bytes.next().unwrap()]).is_err().then_some(())
    });
    assert!(ground.uploads().is_empty());
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
}

#[test]
fn what_was_uploaded_and_not_finalized_is_nobodys_release() {
    let ground = Ground::new();
    let intent = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    let client = ground.proxy.client();
    client.get(&lamp().download()).problem(404, "not-found");
    client.get(&lamp().exact()).problem(404, "not-found");
    // Another tree becomes the release, past this proxy.
    let other = lamp().adding(Entry::file("docs/more.md", "more"));
    assert_eq!(Publisher::at(Client::of(&ground.registry)).publish(&other).status, 201);
    let all = serde_json::json!({ "volume": "@acme/lamp" });
    assert_eq!(ground.proxy.invalidate(&all).status, 200);
    assert_eq!(client.get(&other.download()).ok().body, other.archive());
    assert_eq!(ground.registry.requests(&other.source()), 1);
    assert!(ground.proxy.divergences().is_empty());
}

#[test]
fn readers_are_served_while_uploads_stall() {
    let ground = Ground::new();
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    let stalled: Vec<_> = (0..32)
        .map(|of| {
            let release = Release::new("@acme/lamp", &format!("2.{of}.0"));
            let intent = ground.announced(&release);
            let Instruction { client, method, target, .. } = Instruction::of(&intent);
            let bearer = bearer(Publishing::TOKEN);
            let fields = [("authorization", &*bearer), ("content-type", "application/gzip")];
            client.upload(&method, &target, &fields, Announced::Length(9)).unwrap()
        })
        .collect();
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, lamp().archive());
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    drop(stalled);
}
