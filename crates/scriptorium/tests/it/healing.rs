//! Stored archives that rot, vanish or are swapped while a client reads them: what was begun is finished with the
//! right bytes where the registry can be asked, and ends short where not.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::tarball::{Entry, tar};
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const MIB: usize = 1 << 20;
const BLOCK: usize = 256 << 10;
/// More than sockets and the proxy's reading ahead hold together.
const BIG: usize = 16 * MIB;
/// Far behind what was sent when only the head of an answer was read.
const FAR: usize = 13 * MIB;

fn release(name: &str, size: usize) -> Release {
    Release::new(name, "1.0.0").adding(Entry::file("data.bin", noise(size as u64, size)))
}

/// A proxy that holds these releases' archives.
fn holding(upstream: &Upstream, releases: &[&Release]) -> Proxy {
    let proxy = Setup::before(upstream).start();
    for release in releases {
        let archive = proxy.client().get(&release.download()).ok().body;
        assert!(archive == release.archive());
    }
    proxy
}

/// Where a proxy keeps an archive.
fn stored(proxy: &Proxy, release: &Release) -> PathBuf {
    let hex = release.integrity().split_once(':').unwrap().1.to_owned();
    let archives = proxy.data().join("archives");
    let kept = |path: &PathBuf| path.to_str().unwrap().replace('/', "").ends_with(&hex);
    files(archives).into_iter().find(kept).unwrap()
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files.extend(self::files(path)) } else { files.push(path) }
    }
    files
}

/// Flips a bit of a stored archive.
fn flip(proxy: &Proxy, release: &Release, at: usize) {
    let file = stored(proxy, release);
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(&file, bytes).unwrap();
}

/// An answer of which only the head was read.
struct Begun(Conversation, Answer);

impl Begun {
    fn new(proxy: &Proxy, release: &Release) -> Self {
        let mut conversation = Conversation::open_narrow(proxy.client().0).unwrap();
        conversation.ask("GET", &release.download(), &[]).unwrap();
        let answer = conversation.begin().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        Self(conversation, answer)
    }

    fn finish(mut self) -> Answer {
        self.0.finish(&mut self.1).unwrap();
        self.1
    }

    #[track_caller]
    fn ends_right(self, release: &Release) {
        let answer = self.finish();
        assert!(answer.whole, "cut after {} bytes", answer.body.len());
        assert!(answer.body == release.archive(), "wrong bytes were sent");
    }

    #[track_caller]
    fn ends_short(self, release: &Release) {
        let (answer, archive) = (self.finish(), release.archive());
        assert!(!answer.whole, "a cut was passed off as the whole");
        assert!(answer.body.len() < archive.len() && archive.starts_with(&answer.body), "wrong bytes");
    }
}

/// The metric of files that were mended so.
fn healed(proxy: &Proxy, how: &str) -> u64 {
    let (metrics, series) = (proxy.admin().get("/metrics").text(), format!("{{how=\"{how}\"}} "));
    let healed = |line: &str| {
        let value = line.strip_prefix("scriptorium_store_healed_total")?.strip_prefix(&series)?;
        value.parse().ok()
    };
    metrics.lines().find_map(healed).unwrap_or(0)
}

/// One damaged value was set aside with a note of why, and the log told of it once.
fn assert_set_aside_once(proxy: &Proxy) {
    let (notes, values): (Vec<_>, Vec<_>) = files(proxy.data().join("quarantine"))
        .into_iter()
        .partition(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert_eq!((values.len(), notes.len()), (1, 1));
    let note: Value = serde_json::from_slice(&fs::read(&notes[0]).unwrap()).unwrap();
    assert!(note["expected"].is_string() && note["found"].is_string(), "{note}");
    let told = || proxy.log().lines().filter(|line| line.contains("a stored file is corrupt")).count();
    eventually("the log line of the damage", || (told() > 0).then_some(()));
    assert_eq!(told(), 1, "{}", proxy.log());
}

fn range_of_block(at: usize) -> String {
    let start = at - at % BLOCK;
    format!("bytes={start}-{}", start + BLOCK - 1)
}

#[test]
fn a_block_that_rots_while_it_is_sent_is_fetched_alone() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    let begun = Begun::new(&proxy, &lamp);
    flip(&proxy, &lamp, FAR);
    begun.ends_right(&lamp);
    assert_eq!(upstream.ranges(&lamp.source()), [range_of_block(FAR)]);
    assert_eq!(upstream.requests(&lamp.source()), 2, "the first fetch, and the block");
    assert_eq!(["pieces", "whole", "failed"].map(|how| healed(&proxy, how)), [1, 0, 0]);
    assert_set_aside_once(&proxy);
    upstream.down();
    assert!(proxy.client().get(&lamp.download()).ok().body == lamp.archive(), "it was not kept");
}

#[test]
fn a_registry_without_ranges_mends_it_too() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
    upstream.publish(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    let begun = Begun::new(&proxy, &lamp);
    flip(&proxy, &lamp, FAR);
    begun.ends_right(&lamp);
    assert_eq!(["pieces", "whole", "failed"].map(|how| healed(&proxy, how)), [0, 1, 0]);
    assert_eq!(upstream.requests(&lamp.source()), 2, "the answer to the range was the whole");
    assert_set_aside_once(&proxy);
}

#[test]
fn registries_that_lie_about_ranges_do_no_harm() {
    let lies = [Reply::ranged_wrongly, Reply::ranged_elsewhere];
    for lie in lies {
        let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
        upstream.publish(&lamp);
        upstream.reply(&lamp.source(), lie(Reply::archive(lamp.archive())));
        let proxy = holding(&upstream, &[&lamp]);
        let begun = Begun::new(&proxy, &lamp);
        flip(&proxy, &lamp, FAR);
        begun.ends_right(&lamp);
        assert_eq!(["pieces", "whole", "failed"].map(|how| healed(&proxy, how)), [0, 1, 0]);
    }
}

#[test]
fn what_cannot_be_mended_is_cut_short() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    let begun = Begun::new(&proxy, &lamp);
    upstream.down();
    flip(&proxy, &lamp, FAR);
    begun.ends_short(&lamp);
    assert_eq!(healed(&proxy, "failed"), 1);
}

/// The same tree in other bytes.
fn packed_otherwise(release: &Release) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&tar(&release.entries)).unwrap();
    let packed = packer.finish().unwrap();
    assert!(packed != release.archive());
    packed
}

#[test]
fn before_the_first_byte_another_compression_of_the_same_tree_takes_the_place_of_what_is_damaged() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", 2 * MIB));
    upstream.publish(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    let packed = packed_otherwise(&lamp);
    upstream.reply(&lamp.source(), Reply::archive(packed.clone()));
    flip(&proxy, &lamp, 0);
    let answer = proxy.client().get(&lamp.download()).ok();
    assert!(answer.body == packed && answer.whole);
    assert_eq!(upstream.requests(&lamp.source()), 2);
}

#[test]
fn another_compression_of_the_same_tree_is_never_mixed_in() {
    for ranged in [true, false] {
        let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
        upstream.publish_ranged(&lamp);
        let proxy = holding(&upstream, &[&lamp]);
        let begun = Begun::new(&proxy, &lamp);
        let packed = packed_otherwise(&lamp);
        let reply = Reply::archive(packed.clone());
        upstream.reply(&lamp.source(), if ranged { reply.ranged() } else { reply });
        flip(&proxy, &lamp, FAR);
        begun.ends_short(&lamp);
        assert!(proxy.client().get(&lamp.download()).ok().body == packed, "the next client gets the new one");
    }
}

#[test]
fn a_file_that_vanishes_or_shrinks_while_it_is_sent_is_had_again() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", BIG));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    let begun = Begun::new(&proxy, &lamp);
    fs::remove_file(stored(&proxy, &lamp)).unwrap();
    begun.ends_right(&lamp);
    for (length, how) in [(FAR + MIB, "pieces"), (MIB, "whole"), (0, "whole")] {
        let before = healed(&proxy, how);
        let begun = Begun::new(&proxy, &lamp);
        let file = fs::OpenOptions::new().write(true).open(stored(&proxy, &lamp)).unwrap();
        file.set_len(length as u64).unwrap();
        begun.ends_right(&lamp);
        assert_eq!(healed(&proxy, how), before + 1, "cut to {length} bytes");
    }
}

#[test]
fn two_files_that_change_places_are_put_right() {
    let (upstream, lamp, desk) = (Upstream::start(), release("lamp", BIG), release("desk", BIG));
    for release in [&lamp, &desk] {
        upstream.publish_ranged(release);
    }
    let proxy = holding(&upstream, &[&lamp, &desk]);
    let (one, other) = (Begun::new(&proxy, &lamp), Begun::new(&proxy, &desk));
    let (first, second) = (stored(&proxy, &lamp), stored(&proxy, &desk));
    let aside = first.with_extension("aside");
    fs::rename(&first, &aside).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::rename(&aside, &second).unwrap();
    one.ends_right(&lamp);
    other.ends_right(&desk);
    upstream.down();
    for release in [&lamp, &desk] {
        assert!(proxy.client().get(&release.download()).ok().body == release.archive());
    }
}

#[test]
fn thirty_clients_of_a_broken_file_are_one_repair() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", 2 * MIB));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    flip(&proxy, &lamp, 100);
    let hold = upstream.hold(&lamp.source());
    let mut clients: Vec<_> = (0..30).map(|_| Conversation::open(proxy.client().0).unwrap()).collect();
    for client in &mut clients {
        client.ask("GET", &lamp.download(), &[]).unwrap();
    }
    eventually("the question", || (upstream.requests(&lamp.source()) > 1).then_some(()));
    hold.release();
    for mut client in clients {
        assert!(client.answer().unwrap().ok().body == lamp.archive(), "wrong bytes were sent");
    }
    assert_eq!(upstream.ranges(&lamp.source()), [range_of_block(0)]);
    assert_eq!(healed(&proxy, "pieces"), 1);
    assert_set_aside_once(&proxy);
}

#[test]
fn a_range_that_lies_in_a_broken_block_ends_right() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", 2 * MIB));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    flip(&proxy, &lamp, MIB + 7);
    let wanted = format!("bytes={}-{}", MIB + 5, MIB + 9);
    let answer = proxy.client().get_with(&lamp.download(), "range", &wanted);
    assert_eq!((answer.status, answer.whole), (206, true));
    assert_eq!(answer.body, lamp.archive()[MIB + 5..MIB + 10]);
    assert_eq!(upstream.ranges(&lamp.source()), [range_of_block(MIB)]);
}

#[test]
fn a_broken_first_block_that_cannot_be_mended_is_an_error_before_the_first_byte() {
    let (upstream, lamp) = (Upstream::start(), release("lamp", 2 * MIB));
    upstream.publish_ranged(&lamp);
    let proxy = holding(&upstream, &[&lamp]);
    upstream.down();
    flip(&proxy, &lamp, 0);
    proxy.client().get(&lamp.download()).problem(502, "about:blank");
}
