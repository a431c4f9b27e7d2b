//! The biggest things that are allowed: they are served, they are right, and memory does not follow them.

use std::time::Instant;

use crate::support::bulk::{Bulk, Windows};
use crate::support::tarball::Entry;
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, setting};

/// What a proxy may hold whatever the size of an archive.
const CEILING: u64 = 80 << 20;

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

/// Serves an archive cold, hot, in parts and resumed.
fn assert_served(bulk: &Bulk, mebibytes: usize) {
    let upstream = Upstream::start();
    let begun = Instant::now();
    let release = bulk.release();
    let (length, whole) = bulk.digests(&[0..u64::MAX]);
    let parts = [length / 2 - 1000..length / 2 + (3 << 20), length - 1000..length, length * 2 / 3..length];
    let (_, parts_digests) = bulk.digests(&parts);
    let (mut row, mut metadata) = (release.row(&upstream.url()), release.metadata(&upstream.url()));
    for said in [&mut row, &mut metadata] {
        said["integrity"] = bulk.integrity().into();
    }
    upstream.say(release, [row], Reply::json(&metadata));
    upstream.reply(&release.source(), bulk.reply(length));
    let room = format!("{}MiB", mebibytes + 64);
    let proxy = Setup::before(&upstream)
        .set("limits.max_archive", room.as_str())
        .set("limits.max_unpacked", room.as_str())
        .start();
    let made = begun.elapsed();

    let (cold, digest) = digested(&proxy, &release.download(), &[]);
    assert_eq!(digest, whole[0], "cold");
    let cold_took = begun.elapsed() - made;
    let (hot, digest) = digested(&proxy, &release.download(), &[]);
    assert!(hot.is_hit() && digest == whole[0], "hot");
    let hot_took = begun.elapsed() - made - cold_took;
    let tag = cold.header("etag").unwrap();
    let asked = [
        format!("bytes={}-{}", parts[0].start, parts[0].end - 1),
        "bytes=-1000".to_owned(),
        format!("bytes={}-", parts[2].start),
    ];
    for ((range, part), digest) in asked.iter().zip(&parts).zip(&parts_digests) {
        let (answer, found) = digested(&proxy, &release.download(), &[("range", range), ("if-range", tag)]);
        let stated = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(&*stated)), "{range}");
        assert_eq!(&found, digest, "{range}");
    }
    let (last, digest) = digested(
        &proxy,
        &release.download(),
        &[("range", &format!("bytes={}-{}", parts[1].start, parts[1].end - 1))],
    );
    assert_eq!((last.status, &digest), (206, &parts_digests[1]), "the last 1000 bytes");
    assert_eq!(upstream.requests(&release.source()), 1);
    let peak = proxy.peak_memory();
    eprintln!(
        "{mebibytes} MiB: cold {cold_took:?}, hot {hot_took:?}, at most {} MiB of memory, {} entries",
        peak >> 20,
        bulk.release().entries.len()
    );
    assert!(peak < CEILING, "{peak} bytes");
}

fn mebibytes() -> usize {
    setting("SCRIPTORIUM_BIG_ARCHIVE_MIB", 96)
}

#[test]
fn a_big_archive_is_served_whole_and_in_parts() {
    assert_served(&Bulk::new(&Release::new("lamp", "1.0.0"), mebibytes()), mebibytes());
}

#[test]
fn a_big_archive_out_of_order_is_served_whole_and_in_parts() {
    assert_served(&Bulk::new(&Release::new("lamp", "1.0.0"), mebibytes()).backwards(), mebibytes());
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
        let begun = Instant::now();
        assert!(proxy.client().get(&release.download()).ok().body == archive, "cold");
        eprintln!("100000 entries, out of order: {out_of_order}, cold in {:?}", begun.elapsed());
        let hot = proxy.client().get(&release.download()).ok();
        assert!(hot.is_hit() && hot.body == archive, "hot");
        let peak = proxy.peak_memory();
        eprintln!("at most {} MiB of memory", peak >> 20);
        assert!(peak < CEILING, "{peak} bytes");
    }
}

/// An index of `count` rows, the first of which is that of `release`.
fn long_index(release: &Release, base: &str, count: usize) -> String {
    let integrity = release.integrity();
    let mut text = String::with_capacity(count * 320);
    text.push_str(r#"{"items":["#);
    for patch in 0..count {
        let separator = if patch == 0 { "" } else { "," };
        text.push_str(&format!(
            r#"{separator}{{"version":"1.0.{patch}","status":{{"state":"available"}},"release":{{"url":"{base}/api/v1/volumes/lamp/1.0.{patch}"}},"integrity":"{integrity}","dependencies":{{"@acme/base":"^1.0.0","@acme/light":"^2.{patch}.0"}},"published_at":"2025-01-01T00:00:00Z"}}"#
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
    let begun = Instant::now();
    let cold = proxy.client().get(&release.index()).ok();
    assert!(cold.text() == shown, "cold");
    eprintln!("cold {:?}", begun.elapsed());
    let hit = proxy.client().get(&release.index()).ok();
    assert!(hit.is_hit() && hit.text() == shown, "hit");
    eprintln!("hit {:?}", begun.elapsed());
    let tag = cold.header("etag").unwrap();
    assert_eq!(proxy.client().get_with(&release.index(), "if-none-match", tag).status, 304);
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    eprintln!("archive {:?}", begun.elapsed());
    let peak = proxy.peak_memory();
    eprintln!("at most {} MiB of memory", peak >> 20);
}
