//! Clients that stall, trickle, leave or lie while they upload: refused or cut off in bounded time, the API has seen
//! nothing of it, nothing is left behind, and others are served meanwhile.

use std::time::{Duration, Instant};

use crate::support::relay::{MOUNT, Relay};
use crate::support::sending::Upload;
use crate::support::{Agent, Announced, Nullspace, eventually, hex_digest, noise, within};

const PART: usize = 300_000;

/// A proxy that waits a second for the next bytes, with an upload of one part and a version that awaits its bundle.
fn impatient() -> (Relay, Vec<u8>) {
    let relay = Relay::start_as(|setup| setup.set("limits.send_timeout", "1s"));
    relay.api.ask_for_parts_of(PART as u64);
    relay.deployer().begin(PART as u64, "k");
    relay.deployer().create(&Agent::new());
    (relay, noise(31, PART))
}

/// Begins to send what is said to be so long to where parts or bundles go.
fn sending(relay: &Relay, target: &str, announced: Announced) -> Upload {
    relay.deployer().sending_bundle(target, &Agent::new().digest(), announced)
}

/// Both places where something is taken in and checked.
fn checked(relay: &Relay) -> [String; 2] {
    [relay.api.part(1, 0), relay.api.bundle(1)]
}

fn staged(relay: &Relay) {
    eventually("a staged file", || (!relay.proxy.files("staging").is_empty()).then_some(()));
}

#[track_caller]
fn assert_all_is_well(relay: &Relay, content: &[u8]) {
    relay.assert_nothing_is_staged();
    checked(relay).iter().for_each(|target| relay.assert_unseen("PUT", target));
    relay.deployer().send_part(&relay.api.part(1, 0), content).ok();
    relay.deployer().complete(&relay.api.complete(1), "c", &hex_digest(content)).ok();
    let agent = Agent::new();
    relay.deployer().send_bundle(&relay.api.bundle(1), &agent.digest(), &agent.tar()).ok();
    relay.assert_nothing_is_left();
}

#[test]
fn a_client_that_stalls_is_told_so_in_bounded_time() {
    let (relay, content) = impatient();
    for target in checked(&relay) {
        let mut upload = sending(&relay, &target, Announced::Length(PART as u64));
        upload.piece(&Agent::new().tar()[..600]).unwrap();
        staged(&relay);
        let since = Instant::now();
        upload.answer().unwrap().refused_here(408, "request_timeout");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
    let silent = sending(&relay, &relay.api.part(1, 0), Announced::Chunked);
    let mut silent = silent;
    silent.answer().unwrap().refused_here(408, "request_timeout");
    assert_all_is_well(&relay, &content);
}

#[test]
fn many_that_stall_at_once_keep_others_waiting_no_longer_than_one() {
    let (relay, content) = impatient();
    let target = relay.api.part(1, 0);
    let stalling: Vec<_> = (0..30)
        .map(|_| {
            let mut upload = sending(&relay, &target, Announced::Length(PART as u64));
            upload.piece(&content[..1000]).unwrap();
            upload
        })
        .collect();
    let others = relay.deployer().ask("GET", "/v1/agent-deployments", &[], b"");
    assert_eq!(others.status, 200);
    let since = Instant::now();
    relay.deployer().send_part(&target, &content).ok();
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    for mut upload in stalling {
        let answer = upload.answer().unwrap();
        assert!(matches!(answer.status, 408 | 429), "{} {}", answer.status, answer.text());
    }
    relay.assert_nothing_is_staged();
    assert_eq!(relay.api.count("PUT", &target), 1);
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let (relay, content) = impatient();
    for target in checked(&relay) {
        for announced in [Announced::Length(PART as u64), Announced::Chunked] {
            let mut upload = sending(&relay, &target, announced);
            upload.piece(&Agent::new().tar()[..600]).unwrap();
            staged(&relay);
            upload.leave();
            relay.assert_nothing_is_staged();
            let mut upload = sending(&relay, &target, announced);
            upload.piece(&Agent::new().tar()[..600]).unwrap();
            if let Ok(answer) = upload.stop_short() {
                assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
            }
            relay.assert_nothing_is_staged();
        }
    }
    assert_all_is_well(&relay, &content);
}

#[test]
fn a_client_that_lies_about_the_length_is_not_believed() {
    let (relay, content) = impatient();
    let [part, bundle] = checked(&relay);
    // Shorter than it says, and silent then.
    let mut short = sending(&relay, &part, Announced::Length(PART as u64));
    short.piece(&content[..PART - 1]).unwrap();
    short.answer().unwrap().refused_here(408, "request_timeout");
    // Longer than it says: what is behind is no part of it.
    let tar = Agent::new().tar();
    let mut long = sending(&relay, &bundle, Announced::Length(tar.len() as u64 - 512));
    long.piece(&tar[..tar.len() - 1024]).unwrap();
    long.raw(b"GET /nullspace/v1/smuggled HTTP/1.1\r\nhost: a\r\n\r\n").ok();
    long.stop_short().ok();
    // Far more than there may be: refused before a byte of it is awaited.
    let mut vast = sending(&relay, &part, Announced::Length(u64::MAX / 2));
    let since = Instant::now();
    let refused = vast.answer().unwrap();
    assert!(matches!(refused.status, 400 | 413), "{} {}", refused.status, refused.text());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let mut vast = sending(&relay, &bundle, Announced::Length(u64::MAX / 2));
    vast.answer().unwrap().refused_here(413, "payload_too_large");
    // Chunks that are none.
    let mut broken = sending(&relay, &bundle, Announced::Chunked);
    broken.piece(&tar[..600]).unwrap();
    broken.raw(b"zz\r\nnot hexadecimal\r\n").unwrap();
    broken.answer().ok();
    assert_eq!(relay.api.count("GET", "/v1/smuggled"), 0);
    assert_all_is_well(&relay, &content);
}

#[test]
fn a_client_that_trickles_is_cut_off_after_a_minute() {
    let (relay, content) = impatient();
    let target = relay.api.part(1, 0);
    let mut upload = sending(&relay, &target, Announced::Length(PART as u64));
    let (since, mut bytes) = (Instant::now(), content.iter().cycle());
    within(Duration::from_secs(90), "an end of patience", || {
        let Some(byte) = bytes.next() else { return Some(()) };
        upload.piece(&[*byte]).is_err().then_some(())
    });
    assert!(since.elapsed() > Duration::from_secs(30), "a slow client is given time: {:?}", since.elapsed());
    if let Ok(answer) = upload.answer() {
        answer.refused_here(408, "request_timeout");
    }
    assert_all_is_well(&relay, &content);
}

#[test]
fn what_is_relayed_unread_breaks_off_with_its_client() {
    let (relay, content) = impatient();
    let file = format!("/v1/sandboxes/{}/file?path=a", Nullspace::SANDBOX);
    let mut stalling = sending(&relay, &file, Announced::Length(PART as u64));
    stalling.piece(&content[..1000]).unwrap();
    stalling.answer().unwrap().refused_here(408, "request_timeout");
    let mut leaving = sending(&relay, &file, Announced::Chunked);
    leaving.piece(&content[..1000]).unwrap();
    eventually("its first bytes", || (relay.api.count("PUT", &file) == 2).then_some(()));
    leaving.leave();
    eventually("two that broke off", || {
        let asked = relay.api.asked("PUT", &file);
        asked.iter().all(|seen| seen.ending == crate::support::Ending::Short).then_some(())
    });
    // It is not the API's fault, so it is asked on.
    for _ in 0..10 {
        let mut again = sending(&relay, &file, Announced::Chunked);
        again.piece(&content[..100]).unwrap();
        again.leave();
    }
    relay.deployer().ask("GET", "/v1/agent-deployments", &[], b"").ok();
}

#[test]
fn a_document_that_stalls_is_not_awaited_for_ever() {
    let (relay, content) = impatient();
    let uploads = format!("/v1/sandboxes/{}/uploads", Nullspace::SANDBOX);
    for target in [uploads, relay.api.complete(1), "/v1/agent-deployments/dep-1/versions".to_owned()] {
        let before = relay.api.count("POST", &target);
        let client = relay.proxy.client();
        let length = Announced::Length(100);
        let mut upload = client.upload("POST", &format!("{MOUNT}{target}"), &[], length).unwrap();
        upload.piece(b"{").unwrap();
        upload.answer().unwrap().refused_here(408, "request_timeout");
        assert_eq!(relay.api.count("POST", &target), before, "{target}");
    }
    assert_all_is_well(&relay, &content);
}
