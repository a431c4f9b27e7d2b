//! Uploaders that stall, leave, lie or trickle: bounded, told where they can be, and without a trace.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Ground, bearer, lamp};
use crate::support::publisher::{Instruction, volume};
use crate::support::sending::{Announced, Upload};
use crate::support::tarball::Entry;
use crate::support::{Answer, Proxy, Publishing, Release, each, eventually, noise};

/// How long the proxy waits for the next piece.
const PATIENCE: Duration = Duration::from_secs(1);

/// A release too big for what sockets hold.
fn big() -> Release {
    lamp().adding(Entry::file("data.bin", noise(7, 8 << 20)))
}

fn ground() -> Ground {
    Ground::with(|setup| setup.set("limits.send_timeout", "1s"))
}

/// The head of an upload, sent.
fn begin(intent: &Value, announced: Announced) -> Upload {
    let Instruction { client, method, target, .. } = Instruction::of(intent);
    let bearer = bearer(Publishing::TOKEN);
    let fields = [("authorization", &*bearer), ("content-type", "application/gzip")];
    client.upload(&method, &target, &fields, announced).unwrap()
}

/// What lies on the disk of uploads and what is held of them.
fn held(proxy: &Proxy) -> Vec<PathBuf> {
    let folders = ["staging", "archives", "uploads", "trust-artifacts", "quarantine"];
    folders.iter().flat_map(|folder| proxy.files(folder)).collect()
}

/// Nothing is left of what was sent, nobody was bothered, and the upload can still be done.
fn assert_no_trace(ground: &Ground, intent: &Value, release: &Release, before: &[PathBuf]) {
    eventually("nothing left behind", || (held(&ground.proxy) == before).then_some(()));
    assert!(ground.uploads().is_empty(), "the registry saw some of it");
    eventually("the place is free", || {
        let answer = ground.publisher().send(intent, &release.archive());
        assert!(matches!(answer.status, 200 | 409), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
    ground.assert_taken(&release.archive());
}

#[track_caller]
fn assert_told(answer: io::Result<Answer>, statuses: &[u16]) {
    if let Ok(answer) = answer {
        assert!(statuses.contains(&answer.status), "{} {}", answer.status, answer.text());
    }
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Says nothing more, having sent so much.
    Stalls(usize),
    /// Hangs up.
    Leaves(usize),
    /// Says that nothing more comes.
    Stops(usize),
    /// A chunk's size that is none.
    Chunks,
}

#[test]
fn whoever_does_not_finish_leaves_nothing_behind() {
    let half = 4 << 20;
    let troubles = [
        Trouble::Stalls(0),
        Trouble::Stalls(100),
        Trouble::Stalls(half),
        Trouble::Leaves(0),
        Trouble::Leaves(half),
        Trouble::Stops(100),
        Trouble::Stops(half),
        Trouble::Chunks,
    ];
    let (release, archive) = (big(), big().archive());
    let cases = troubles.into_iter().flat_map(|trouble| [(trouble, true), (trouble, false)]);
    each(cases, |(trouble, chunked)| {
        let ground = ground();
        let intent = ground.announced(&release);
        let before = held(&ground.proxy);
        assert_eq!(before.len(), 1, "the upload's record: {before:?}");
        let framing = if chunked { Announced::Chunked } else { Announced::Length(archive.len() as u64) };
        let mut upload = begin(&intent, framing);
        let begun = Instant::now();
        match trouble {
            Trouble::Stalls(sent) => {
                upload.piece(&archive[..sent]).unwrap();
                let answer = upload.answer();
                assert!(begun.elapsed() < 10 * PATIENCE, "{:?}", begun.elapsed());
                if let Ok(answer) = &answer {
                    answer.problem(408, "about:blank");
                }
                assert!(answer.is_ok(), "whoever stalls and listens is told");
            }
            Trouble::Leaves(sent) => {
                upload.piece(&archive[..sent]).unwrap();
                upload.leave();
            }
            Trouble::Stops(sent) => {
                upload.piece(&archive[..sent]).unwrap();
                assert_told(upload.stop_short(), &[400, 408]);
            }
            Trouble::Chunks => {
                upload.piece(&archive[..100]).unwrap();
                upload.raw(b"zzz\r\n").ok();
                upload.raw(&archive[..100]).ok();
                // Where a length was announced these are bytes like others, and too few.
                assert_told(upload.stop_short(), &[400, 408]);
            }
        }
        assert_no_trace(&ground, &intent, &release, &before);
    });
}

#[test]
fn more_than_was_announced_is_not_taken_for_content() {
    let (ground, archive) = (ground(), lamp().archive());
    let intent = ground.announced(&lamp());
    let before = held(&ground.proxy);
    let mut upload = begin(&intent, Announced::Length(10));
    upload.piece(&archive).ok();
    assert_told(upload.finish(), &[400]);
    assert_no_trace(&ground, &intent, &lamp(), &before);
}

#[test]
fn who_sends_too_much_without_end_is_stopped() {
    let ground = ground();
    let intent = ground.announced(&lamp());
    let before = held(&ground.proxy);
    let mut upload = begin(&intent, Announced::Chunked);
    let piece = vec![0; 64 << 10];
    // Whoever is not read from any more cannot write for ever.
    let sent = (0..4096).take_while(|_| upload.piece(&piece).is_ok()).count();
    assert!(sent < 4096, "256 MiB were taken of {} declared bytes", lamp().archive().len());
    assert_no_trace(&ground, &intent, &lamp(), &before);
}

#[test]
fn a_slow_one_that_moves_is_waited_for() {
    let ground = ground();
    let (intent, archive) = (ground.announced(&lamp()), lamp().archive());
    let mut upload = begin(&intent, Announced::Length(archive.len() as u64));
    for piece in archive.chunks(archive.len() / 4) {
        upload.piece(piece).unwrap();
        std::thread::sleep(PATIENCE / 3);
    }
    assert_eq!(upload.finish().unwrap().status, 200);
    ground.assert_taken(&archive);
}

#[test]
fn an_intent_that_does_not_come_whole_is_not_sent() {
    let ground = ground();
    let fields = [("authorization", &*bearer(Publishing::TOKEN)), ("content-type", "application/json")];
    for (method, target) in
        [("POST", volume("lamp")), ("POST", lamp().trust("uploads")), ("DELETE", lamp().exact())]
    {
        let client = ground.proxy.client();
        let begun = Instant::now();
        let mut stalls = client.upload(method, &target, &fields, Announced::Length(100)).unwrap();
        stalls.piece(b"{").unwrap();
        stalls.answer().unwrap().problem(408, "about:blank");
        assert!(begun.elapsed() < 10 * PATIENCE);
        let mut stops = client.upload(method, &target, &fields, Announced::Length(100)).unwrap();
        stops.piece(b"{").unwrap();
        assert_told(stops.stop_short(), &[400]);
        let mut leaves = client.upload(method, &target, &fields, Announced::Chunked).unwrap();
        leaves.piece(b"{").unwrap();
        leaves.leave();
    }
    assert_eq!(ground.registry.writes(), 0);
    assert!(held(&ground.proxy).is_empty());
}

#[test]
fn whoever_leaves_after_all_was_sent_has_sent_it() {
    let ground = ground();
    let (intent, archive) = (ground.announced(&lamp()), lamp().archive());
    let real = "/take/up-1?signature=signed-1";
    let hold = ground.registry.hold(real);
    let mut upload = begin(&intent, Announced::Length(archive.len() as u64));
    upload.piece(&archive).unwrap();
    eventually("the upload on its way", || (ground.registry.requests(real) == 1).then_some(()));
    upload.leave();
    hold.release();
    eventually("finalized", || {
        let answer = ground.publisher().finalize(&lamp(), &intent);
        (answer.status == 201).then_some(())
    });
    eventually("nothing staged", || ground.proxy.files("staging").is_empty().then_some(()));
    assert_eq!(ground.proxy.client().get(&lamp().download()).ok().body, archive);
}
