//! One client's greed is its own: whatever it asks for, announces or sends, others find room, and no way of spelling
//! itself gives it another share.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::publisher::Instruction;
use crate::support::relay::{MOUNT, Relay};
use crate::support::tarball::Entry;
use crate::support::{
    Answer, Conversation, Nullspace, Proxy, Publisher, Publishing, Release, Setup, Upstream, eventually,
    noise, within,
};

/// Uploads of one client that are taken in at once.
const UPLOADS: usize = 8;

fn large() -> Release {
    Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(7, 32 << 20)))
}

/// A proxy that holds a large archive.
fn holding(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    upstream.publish(&large());
    let proxy = change(Setup::before(&upstream)).start();
    proxy.client().get(&large().exact()).ok();
    (upstream, proxy)
}

fn open(from: &str, proxy: &Proxy) -> Conversation {
    let from: IpAddr = from.parse().unwrap();
    Conversation::open_from(from, proxy.client().0).unwrap()
}

/// Begins a download and reads its head.
fn download(from: &str, proxy: &Proxy) -> (Conversation, Answer) {
    let mut conversation = open(from, proxy);
    conversation.ask("GET", &large().download(), &[]).unwrap();
    let answer = conversation.begin().unwrap();
    (conversation, answer)
}

#[track_caller]
fn has_its_share(mut conversation: Conversation, mut answer: Answer) {
    conversation.finish(&mut answer).unwrap();
    answer.problem(429, "rate-limited");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn one_client_has_a_quarter_of_the_downloads_and_leaves_the_rest_to_others() {
    let (_upstream, proxy) = holding(|setup| setup.set("limits.max_downloads", 8));
    let mut sent: Vec<_> = (0..2).map(|_| download("127.0.0.1", &proxy)).collect();
    assert!(sent.iter().all(|(_, answer)| answer.status == 200));
    let (conversation, answer) = download("127.0.0.1", &proxy);
    has_its_share(conversation, answer);
    proxy.client().get(&large().index()).ok();
    assert_eq!(proxy.client().head(&large().download()).status, 200, "nothing is sent, so nothing is taken");
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        sent.extend((0..2).map(|_| download(from, &proxy)));
    }
    assert!(sent.iter().all(|(_, answer)| answer.status == 200));
    let (mut conversation, mut answer) = download("127.0.0.5", &proxy);
    conversation.finish(&mut answer).unwrap();
    answer.problem(503, "about:blank");
    let (mut first, mut answer) = sent.remove(0);
    first.finish(&mut answer).unwrap();
    assert!(answer.whole);
    eventually("the place that was given back", || {
        (download("127.0.0.1", &proxy).1.status == 200).then_some(())
    });
}

#[test]
fn a_reload_gives_one_client_another_share_of_the_downloads() {
    let (_upstream, proxy) = holding(|setup| setup.set("limits.max_downloads_per_client", 1));
    let _first = download("127.0.0.1", &proxy);
    let (conversation, answer) = download("127.0.0.1", &proxy);
    has_its_share(conversation, answer);
    proxy.reconfigure(|setup| setup.set("limits.max_downloads_per_client", 2));
    let report = proxy.reload().ok().json();
    assert_eq!(report["applied"], json!(["limits.max_downloads_per_client"]), "{report}");
    assert_eq!(download("127.0.0.1", &proxy).1.status, 200);
}

const VERSIONS: &str = "/v1/agent-deployments/d-1/versions";

/// Asks for a version with a document that is announced to be so long.
fn announce(from: &str, proxy: &Proxy, credential: &str, length: usize) -> Conversation {
    let (mut conversation, length) = (open(from, proxy), length.to_string());
    let fields = [
        ("authorization", credential),
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
        ("content-length", length.as_str()),
    ];
    conversation.ask("POST", &format!("{MOUNT}{VERSIONS}"), &fields).unwrap();
    conversation
}

/// Sends a document of 2 MiB, and says whether the API saw it.
fn send(from: &str, relay: &Relay, credential: &str) -> (Answer, bool) {
    let seen = || relay.api.count("POST", VERSIONS);
    let (body, before) = (vec![b' '; 2 << 20], seen());
    let mut conversation = announce(from, &relay.proxy, credential, body.len());
    // Who refuses early may close before all is sent.
    conversation.write(&body).ok();
    let answer = conversation.answer().unwrap();
    (answer, seen() > before)
}

fn bearer() -> String {
    format!("Bearer {}", Nullspace::KEY)
}

#[test]
fn what_is_announced_and_not_sent_takes_no_room() {
    let relay = Relay::start();
    let mut stalled: Vec<_> =
        (0..40).map(|_| announce("127.0.0.1", &relay.proxy, &bearer(), 32_000_000)).collect();
    stalled.iter_mut().for_each(|conversation| conversation.write(b"{").unwrap());
    for from in ["127.0.0.2", "127.0.0.1"] {
        let (answer, seen) = send(from, &relay, &bearer());
        assert!(seen, "{from}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn what_one_client_sends_leaves_room_to_others_however_it_spells_itself() {
    let relay = Relay::start_as(|setup| setup.set("limits.send_timeout", "10m"));
    let spelt = |number: usize| match number % 4 {
        0 => bearer(),
        1 => format!("bearer  {}", Nullspace::KEY),
        2 => format!("Bearer invented-{number}"),
        _ => format!("Basic {number}"),
    };
    thread::scope(|scope| {
        // A quarter of the room is full of what came of some of these; the others are not read, and give up.
        let stall = |number| {
            let (proxy, credential) = (&relay.proxy, spelt(number));
            scope.spawn(move || {
                let mut conversation = announce("127.0.0.1", proxy, &credential, 32_000_000);
                conversation.write(&vec![b' '; 16 << 20]).ok();
                conversation
            })
        };
        let mut stalled: Vec<_> = (0..8).map(stall).collect();
        let refused = within(Duration::from_secs(180), "an end of the client's share", || {
            let answer = send("127.0.0.1", &relay, &spelt(1)).0;
            if answer.status == 429 {
                return Some(answer);
            }
            // Too many gave up at once.
            stalled.push(stall(stalled.len()));
            None
        });
        assert_eq!(refused.header("retry-after"), Some("1"));
        let (answer, seen) = send("127.0.0.2", &relay, &bearer());
        assert!(seen, "{} {}", answer.status, answer.text());
    });
}

#[test]
fn stalled_uploads_of_one_client_leave_turns_to_others_however_it_spells_itself() {
    let registry = Publishing::start();
    let proxy = Setup::before(&registry).set("upstream.writes", true).start();
    let publisher = Publisher::at(proxy.client());
    let intents: Vec<_> = (0..3 * UPLOADS)
        .map(|number| publisher.announce(&Release::new("@acme/lamp", &format!("1.{number}.0"))).json())
        .collect();
    let spelt = ["Bearer ", "bearer  ", "BEARER\t"];
    let stall = |(number, intent)| {
        let Instruction { method, target, .. } = Instruction::of(intent);
        let credential = format!("{}{}", spelt[number % spelt.len()], Publishing::TOKEN);
        let mut upload = open("127.0.0.1", &proxy);
        let fields = [
            ("authorization", credential.as_str()),
            ("content-type", "application/gzip"),
            ("content-length", "9"),
        ];
        upload.ask(&method, &target, &fields).unwrap();
        upload
    };
    let mut intents = intents.iter().enumerate();
    let _stalled: Vec<_> = intents.by_ref().take(UPLOADS).map(stall).collect();
    eventually("its share taken in", || (proxy.files("staging").len() == UPLOADS).then_some(()));
    for mut upload in intents.map(stall).collect::<Vec<_>>() {
        let answer = upload.answer_to("PUT").unwrap();
        answer.problem(429, "rate-limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let release = Release::new("@acme/lamp", "2.0.0");
    let intent = publisher.announce(&release).json();
    let Instruction { method, target, .. } = Instruction::of(&intent);
    let (archive, mut other) = (release.archive(), open("127.0.0.2", &proxy));
    let (credential, length) = (format!("Bearer {}", Publishing::TOKEN), archive.len().to_string());
    let fields = [
        ("authorization", credential.as_str()),
        ("content-type", "application/gzip"),
        ("content-length", length.as_str()),
    ];
    other.ask(&method, &target, &fields).unwrap();
    other.write(&archive).unwrap();
    assert_eq!(other.answer_to("PUT").unwrap().status, 200);
}
