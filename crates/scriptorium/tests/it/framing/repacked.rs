//! An archive that was packed anew is an archive like any other: its header fields, its ranges, its healing.

use std::fs;

use super::{Blocks, assert_is_the_tree, gz, lamp, proxy_of, record};
use crate::support::tarball::Entry;
use crate::support::{Conversation, Release, Setup, Upstream, eventually, noise};

/// The files of a release, framed so that they are packed anew.
fn odd(release: &Release) -> Vec<u8> {
    gz(&Blocks::default().extension(b'x', &record("VENDOR.thing", "x")).files(release).ended())
}

#[test]
fn its_header_fields_and_ranges_are_those_of_the_bytes_that_are_sent() {
    let release = lamp().adding(Entry::file("data.bin", noise(3, 300_000)));
    let (upstream, mut proxy) = proxy_of(&release, odd(&release));
    let first = proxy.client().get(&release.download()).ok();
    assert_ne!(first.body, odd(&release));
    assert_is_the_tree(&first, &release);
    let tag = first.header("etag").unwrap().to_owned();
    let range = proxy.client().get_with(&release.download(), "range", "bytes=1000-1999");
    assert_eq!((range.status, &range.body[..]), (206, &first.body[1000..2000]));
    assert_eq!(range.header("etag"), Some(&*tag));
    let head = proxy.client().head(&release.download());
    assert_eq!(head.header("content-length"), Some(&*first.body.len().to_string()));
    assert_eq!(proxy.client().get_with(&release.download(), "if-none-match", &tag).status, 304);
    upstream.down();
    proxy.restart();
    let again = proxy.client().get(&release.download()).ok();
    assert!(again.body == first.body && again.header("etag") == Some(&*tag), "it is not what was kept");
}

#[test]
fn it_is_the_same_on_every_proxy_and_whatever_it_came_from() {
    let release = lamp();
    let mut turned = release.clone();
    turned.entries.reverse();
    let [one, other] = [odd(&release), odd(&turned)].map(|archive| {
        let (_upstream, proxy) = proxy_of(&release, archive);
        proxy.client().get(&release.download()).ok().body
    });
    assert_eq!(one, other);
}

#[test]
fn a_block_that_rots_is_mended_from_the_whole_while_it_is_sent() {
    const BIG: usize = 16 << 20;
    let release = lamp().adding(Entry::file("data.bin", noise(9, BIG)));
    let (upstream, proxy) = proxy_of(&release, odd(&release));
    let sent = proxy.client().get(&release.download()).ok().body;
    let mut conversation = Conversation::open_narrow(proxy.client().0).unwrap();
    conversation.ask("GET", &release.download(), &[]).unwrap();
    let mut answer = conversation.begin().unwrap();
    let stored = proxy.files("archives").remove(0);
    let mut bytes = fs::read(&stored).unwrap();
    bytes[13 << 20] ^= 1;
    fs::write(&stored, bytes).unwrap();
    conversation.finish(&mut answer).unwrap();
    assert!(answer.whole && answer.body == sent, "it did not go on with the same bytes");
    assert_eq!(upstream.ranges(&release.source()), Vec::<String>::new(), "no range of the registry's fits");
    eventually("a sound file", || fs::read(&stored).ok().filter(|bytes| bytes.starts_with(&sent)));
}

#[test]
fn folders_that_have_to_be_written_count_as_entries() {
    let deep = |number: u32| Entry::file(&format!("{number}/{}a.md", "d/".repeat(45)), "x");
    let release = (10..20).fold(lamp(), |release, number| release.adding(deep(number)));
    let upstream = Upstream::start();
    upstream.publish_as(&release, odd(&release));
    let proxy = Setup::before(&upstream).set("limits.max_entries", 400).start();
    let problem = proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
    assert!(problem["detail"].as_str().unwrap().contains("limits.max_entries"), "{problem}");
}

#[test]
fn a_large_archive_is_packed_anew_in_little_memory() {
    const CEILING: u64 = 200 << 20;
    let parts = (0..10).map(|part| Entry::file(&format!("data/part-{part:02}.bin"), noise(part, 10 << 20)));
    let mut release = parts.fold(lamp(), Release::adding);
    release.entries.reverse();
    let (_upstream, proxy) = proxy_of(&release, odd(&release));
    let answer = proxy.client().get(&release.download()).ok();
    assert!(proxy.peak_memory() < CEILING, "{} bytes", proxy.peak_memory());
    assert_is_the_tree(&answer, &release);
}
