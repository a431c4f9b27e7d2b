//! Stored archives under attack from below, and releases that a registry quietly replaces.

use std::fs;

use crate::support::tarball::Entry;
use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, eventually, noise};

const SIZE: usize = 1 << 20;

fn big(seed: u64) -> Release {
    Release::new("lamp", "1.0.0").adding(Entry::file("data.bin", noise(seed, SIZE)))
}

/// A proxy that holds the archive of `big(1)`.
fn warmed(upstream: &Upstream) -> (Proxy, Vec<u8>) {
    let release = big(1);
    upstream.publish(&release);
    let proxy = Setup::before(upstream).start();
    let archive = proxy.client().get(&release.download()).ok().body;
    assert_eq!(archive, release.archive());
    (proxy, archive)
}

/// Flips one bit of the stored archive, `from_end` bytes before its content's end.
fn flip(proxy: &Proxy, from_end: usize) {
    let content = noise(1, SIZE);
    let needle = &content[SIZE - from_end..][..64];
    let files = proxy.files_holding(needle);
    assert_eq!(files.len(), 1, "an archive is stored once");
    let mut bytes = fs::read(&files[0]).unwrap();
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 0x10;
    fs::write(&files[0], bytes).unwrap();
}

/// Either the right bytes, or as many of them as were right and then a cut, or an honest 502.
fn assert_never_wrong(answer: &Answer, archive: &[u8]) {
    match answer.status {
        200 => {
            assert!(archive.starts_with(&answer.body), "wrong bytes were sent");
            assert!(!answer.whole || answer.body == archive, "a cut was passed off as the whole");
        }
        _ => drop(answer.problem(502, "about:blank")),
    }
}

#[test]
fn a_flipped_bit_on_disk_is_never_served() {
    for from_end in [64, SIZE / 2, SIZE] {
        let upstream = Upstream::start();
        let (proxy, archive) = warmed(&upstream);
        upstream.down();
        flip(&proxy, from_end);
        for _ in 0..3 {
            let answer = proxy.client().get(&big(1).download());
            assert_never_wrong(&answer, &archive);
            assert!(!answer.whole || answer.status != 200, "a corrupted file was taken for sound");
        }
        upstream.up();
        eventually("the archive, fetched anew", || {
            let answer = proxy.client().get(&big(1).download());
            assert_never_wrong(&answer, &archive);
            (answer.whole && answer.body == archive).then_some(())
        });
        let metrics = proxy.admin().get("/metrics").text();
        assert!(metrics.contains("scriptorium_integrity_failures_total{"), "corruption is counted");
    }
}

#[test]
fn a_flipped_bit_is_not_served_in_a_range_either() {
    let upstream = Upstream::start();
    let (proxy, archive) = warmed(&upstream);
    upstream.down();
    flip(&proxy, SIZE / 2);
    let (first, last) = (SIZE / 2 - 1000, SIZE / 2 + 1000);
    let answer = proxy.client().get_with(&big(1).download(), "range", &format!("bytes={first}-{last}"));
    match answer.status {
        206 => assert!(!answer.whole && archive[first..].starts_with(&answer.body), "wrong bytes were sent"),
        _ => drop(answer.problem(502, "about:blank")),
    }
}

#[test]
fn a_truncated_file_is_never_served_as_whole() {
    let upstream = Upstream::start();
    let (proxy, archive) = warmed(&upstream);
    upstream.down();
    let file = &proxy.files_holding(&noise(1, 64))[0];
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    let answer = proxy.client().get(&big(1).download());
    assert_never_wrong(&answer, &archive);
    assert!(!answer.whole || answer.status != 200);
}

#[test]
fn corrupt_documents_are_fetched_again() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    let document = proxy.client().get_with(&release.index(), "host", "volumes.example").ok();
    proxy.signal("TERM");
    proxy.exit();
    let files = proxy.files_holding(b"items");
    assert!(!files.is_empty(), "documents are stored");
    for file in files {
        fs::write(file, b"\0garbage").unwrap();
    }
    proxy.revive();
    let again = proxy.client().get_with(&release.index(), "host", "volumes.example").ok();
    assert!(!again.is_hit(), "garbage was taken for a document");
    assert_eq!(again.body, document.body);
}

#[test]
fn a_release_that_was_replaced_is_refused_for_ever() {
    let (upstream, first, second) = (Upstream::start(), big(1), big(2));
    upstream.publish(&first);
    let mut proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&first.download()).ok();
    upstream.publish(&second);

    let refused = eventually("the replacement to be noticed", || {
        Some(proxy.client().get(&first.exact())).filter(|answer| answer.status != 200)
    });
    let problem = refused.problem(409, "inconsistent-registry-state");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&first.integrity()) && detail.contains(&second.integrity()), "{detail}");
    proxy.client().get(&first.download()).problem(409, "inconsistent-registry-state");

    proxy.restart();
    proxy.client().get(&first.exact()).problem(409, "inconsistent-registry-state");
    proxy.client().get(&first.download()).problem(409, "inconsistent-registry-state");
    assert!(proxy.files_holding(&noise(2, 64)).is_empty(), "the replacement was stored");

    upstream.publish(&first);
    let mended = eventually("the pinned release again", || {
        Some(proxy.client().get(&first.download())).filter(|answer| answer.status == 200)
    });
    assert_eq!(mended.body, first.archive());
}

#[test]
fn exact_metadata_of_another_release_is_a_conflict() {
    let mismatches = [
        ("name", "lantern"),
        ("name", "@acme/lamp"),
        ("version", "1.0.1"),
        ("purl", "pkg:volume/lantern@1.0.0"),
        ("purl", "pkg:volume/lamp@1.0.1"),
        ("purl", "pkg:volume/%40acme/lamp@1.0.0"),
    ];
    for (member, value) in mismatches {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let mut metadata = release.metadata(&upstream.url());
        metadata[member] = value.into();
        upstream.reply(&release.exact(), Reply::json(&metadata));
        let proxy = Setup::before(&upstream).set("cache.negative_ttl", "1s").start();
        proxy.client().get(&release.exact()).problem(409, "inconsistent-registry-state");
        proxy.client().get(&release.download()).problem(409, "inconsistent-registry-state");
        assert_eq!(upstream.requests(&release.source()), 0, "an archive was fetched on a false {member}");

        upstream.publish(&release);
        eventually("the mended release", || {
            (proxy.client().get(&release.exact()).status == 200).then_some(())
        });
    }
}

#[test]
fn trust_in_another_subject_is_a_conflict() {
    for (member, value) in
        [("purl", "pkg:volume/lantern@1.0.0".to_owned()), ("integrity", big(2).integrity())]
    {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).start();
        proxy.client().get(&release.exact()).ok();
        for (view, mut trust) in [("summary", release.trust_summary()), ("detail", release.trust_detail())] {
            trust["subject"][member] = value.as_str().into();
            let target = format!("{}/trust/{view}", release.exact());
            upstream.reply(&target, Reply::json(&trust));
            proxy.client().get(&target).problem(409, "inconsistent-registry-state");
        }
    }
}

#[test]
fn exact_metadata_without_a_usable_integrity_is_not_passed_on() {
    for integrity in ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
        upstream.publish(&release);
        let mut metadata = release.metadata(&upstream.url());
        metadata["integrity"] = integrity.into();
        upstream.reply(&release.exact(), Reply::json(&metadata));
        let proxy = Setup::before(&upstream).start();
        for target in [release.exact(), release.download()] {
            let answer = proxy.client().get(&target);
            assert!([409, 502].contains(&answer.status), "{integrity:?}: {}", answer.status);
        }
    }
}
