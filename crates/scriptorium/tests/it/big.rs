//! The biggest things that are allowed: they are served, they are right, and memory does not follow them.

use std::time::Instant;

use crate::support::bulk::{Bulk, Windows};
use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, setting};

/// What a proxy may hold beside its program whatever the size of an archive.
const CEILING: u64 = 60 << 20;
/// What it may hold with an index of almost `limits.max_document`: the text, its links turned, and its rows.
const LONG_INDEX: u64 = 256 << 20;

/// Asks for an archive and hands back the answer's head, and the digest of its body.
fn digested(proxy: &Proxy, target: &str, fields: &[(&str, &str)]) -> (Answer, String) {
    let mut conversation = Conversation::open(proxy.client().0).unwrap().patient();
    conversation.ask("GET", target, fields).unwrap();
    let mut answer = conversation.begin().unwrap();
    if ![200, 206].contains(&answer.status) {
        conversation.finish(&mut answer).unwrap();
        panic!("{target} {fields:?}: {} {}", answer.status, answer.text());
    }
    let mut seen = Windows::whole();
    let length = conversation.pass_on(&answer, &mut seen).unwrap();
    assert_eq!(answer.header("content-length"), Some(&*length.to_string()), "{target} {fields:?} was cut");
    (answer, seen.digests().remove(0))
}

/// A registry that offers `bulk`, an archive of this length, and a proxy with room for just about that.
fn started(bulk: &Bulk, length: u64) -> (Upstream, Proxy) {
    let (upstream, release) = (Upstream::start(), bulk.release());
    let (mut row, mut metadata) = (release.row(&upstream.url()), release.metadata(&upstream.url()));
    for said in [&mut row, &mut metadata] {
        said["integrity"] = bulk.integrity().into();
    }
    upstream.say(release, [row], Reply::json(&metadata));
    upstream.reply(&release.source(), bulk.reply(length));
    let room = format!("{}MiB", (length >> 20) + 1);
    let limited = |setup: Setup, key: &str| setup.set(key, room.as_str());
    let setup =
        ["limits.max_archive", "limits.max_unpacked"].into_iter().fold(Setup::before(&upstream), limited);
    (upstream, setup.start())
}

/// Serves an archive cold, hot, in parts and resumed.
fn assert_served(bulk: &Bulk) {
    let (length, whole) = bulk.whole();
    let (middle, last, rest) =
        (length / 2 - 1000..(length / 2 + (3 << 20)).min(length), length - 1000..length, length / 3..length);
    let parts = [
        (format!("bytes={}-{}", middle.start, middle.end - 1), middle),
        (format!("bytes={}-{}", last.start, last.end - 1), last.clone()),
        ("bytes=-1000".to_owned(), last),
        (format!("bytes={}-", rest.start), rest),
    ];
    let digests = bulk.digests(&parts.clone().map(|(_, part)| part));
    let (upstream, proxy) = started(bulk, length);
    let target = bulk.release().download();

    let begun = Instant::now();
    let (cold, digest) = digested(&proxy, &target, &[]);
    assert_eq!(digest, whole, "cold");
    let took = begun.elapsed();
    let (hot, digest) = digested(&proxy, &target, &[]);
    assert!(hot.is_hit() && digest == whole, "hot");
    eprintln!("{} MiB: cold in {took:?}, hot in {:?}", length >> 20, begun.elapsed() - took);

    let tag = cold.header("etag").unwrap();
    for ((range, part), digest) in parts.iter().zip(&digests) {
        let (answer, found) = digested(&proxy, &target, &[("range", range), ("if-range", tag)]);
        let stated = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(&*stated)), "{range}");
        assert_eq!(&found, digest, "{range}");
    }
    assert_eq!(upstream.requests(&bulk.release().source()), 1);
    assert_held_below(CEILING, &proxy);
}

fn assert_held_below(ceiling: u64, proxy: &Proxy) {
    let peak = proxy.peak_memory().saturating_sub(proxy.program());
    eprintln!("at most {} MiB of memory", peak >> 20);
    assert!(peak < ceiling, "{peak} bytes of memory");
}

/// Bigger than what a proxy may hold, unless it is told to be small.
fn lamp() -> Bulk {
    Bulk::new(&Release::new("lamp", "1.0.0"), setting("SCRIPTORIUM_BIG_ARCHIVE_MIB", 96))
}

#[test]
fn a_big_archive_is_served_whole_and_in_parts() {
    assert_served(&lamp());
}

#[test]
fn a_big_archive_out_of_order_is_served_whole_and_in_parts() {
    assert_served(&lamp().backwards());
}

#[test]
fn an_archive_of_a_hundred_thousand_entries_is_served() {
    for out_of_order in [false, true] {
        let (upstream, mut release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        let files = 100_000 - release.entries.len();
        let small = |file: usize| Entry::file(&format!("data/{file:05}/note.txt"), format!("note {file}\n"));
        release.entries.extend((0..files).map(small));
        if !out_of_order {
            release.entries.sort_by(|one, other| one.path.cmp(&other.path));
        }
        upstream.publish(&release);
        let archive = release.archive();
        let proxy = Setup::before(&upstream).start();
        assert!(proxy.client().get(&release.download()).ok().body == archive, "cold");
        let hot = proxy.client().get(&release.download()).ok();
        assert!(hot.is_hit() && hot.body == archive, "hot");
        assert_held_below(CEILING, &proxy);
    }
}

/// An index of `count` rows, the first of which is that of `release`.
pub(crate) fn long_index(release: &Release, base: &str, count: usize) -> String {
    let integrity = release.integrity();
    let mut text = String::with_capacity(count * 320);
    text.push_str(r#"{"items":["#);
    for patch in 0..count {
        let separator = if patch == 0 { "" } else { "," };
        text.push_str(&format!(
            r#"{separator}{{"version":"1.0.{patch}","status":{{"state":"available"}},
            "release":{{"url":"{base}/api/v1/volumes/lamp/1.0.{patch}"}},"integrity":"{integrity}",
            "dependencies":{{"@acme/base":"^1.0.0","@acme/light":"^2.{patch}.0"}},"since":"2025-01-01"}}"#
        ));
    }
    text + "]}"
}

#[test]
fn an_index_of_thirty_megabytes_is_served() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let text = long_index(&release, &upstream.url(), 100_000);
    assert!((28 << 20..32 << 20).contains(&text.len()), "{} bytes", text.len());
    upstream.reply(&release.index(), Reply::document(text.as_str()));
    let proxy = Setup::before(&upstream).start();
    let here = format!("http://{}", proxy.authority());
    let shown = text.replace(&upstream.url(), &here);
    let cold = proxy.client().get(&release.index()).ok();
    assert!(cold.body == shown.as_bytes(), "cold");
    let hit = proxy.client().get(&release.index()).ok();
    assert!(hit.is_hit() && hit.body == shown.as_bytes(), "hit");
    let tag = cold.header("etag").unwrap();
    assert_eq!(proxy.client().get_with(&release.index(), "if-none-match", tag).status, 304);
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert_held_below(LONG_INDEX, &proxy);
}
