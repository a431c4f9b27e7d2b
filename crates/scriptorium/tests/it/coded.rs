//! Registries that send content codings nobody asked for: documents are decoded and kept plain, one coding is taken off
//! an archive that was put on, and what is not read is named.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::support::{Release, Reply, Setup, Upstream, eventually};

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.0.0")
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

/// One block that is stored as it is, and the last, empty one (RFC 7932).
fn brotli(plain: &[u8]) -> Vec<u8> {
    let head = u32::try_from(plain.len() - 1).unwrap() << 4 | 1 << 20;
    [&head.to_le_bytes()[..3], plain, &[3]].concat()
}

fn document(bytes: Vec<u8>, label: &str) -> Reply {
    Reply::new(200, "application/json", bytes).with("content-encoding", label)
}

fn index(upstream: &Upstream) -> String {
    serde_json::json!({ "items": [lamp().row(&upstream.url())] }).to_string()
}

#[test]
fn documents_in_a_coding_are_decoded_and_kept_plain() {
    type Encode = fn(&[u8]) -> Vec<u8>;
    let codings: [(&str, Encode); 6] = [
        ("gzip", gzip),
        ("deflate", zlib),
        ("deflate", deflate),
        ("zstd", zstd),
        ("br", brotli),
        ("gzip, br", |plain| brotli(&gzip(plain))),
    ];
    for (label, encode) in codings {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        let text = index(&upstream);
        upstream.reply(&lamp().index(), document(encode(text.as_bytes()), label));
        let mut proxy = Setup::before(&upstream).start();
        let expected = text.replace(&upstream.url(), &format!("http://{}", proxy.authority()));
        let answer = proxy.client().get(&lamp().index()).ok();
        assert_eq!((answer.text(), answer.header("content-encoding")), (expected, None), "{label}");
        assert_eq!(proxy.files_holding(text.as_bytes()).len(), 1, "{label}");
        proxy.restart();
        assert!(proxy.client().get(&lamp().index()).ok().is_hit());
    }
}

#[test]
fn a_coding_that_is_not_read_is_named_and_what_is_held_lives() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).short_lived().start();
    let cold = "/api/v1/index/volumes/cold";
    for (label, named) in [("sdch", "sdch"), ("gzip, gzip, gzip", "gzip, gzip, gzip"), ("gzip", "gzip")] {
        upstream.reply(cold, document(b"{\"items\":[]}".to_vec(), label));
        let problem = proxy.client().get(cold).could_not_ask();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("content coding {named},")), "{detail}");
    }
    proxy.client().get(&lamp().index()).ok();
    upstream.reply(&lamp().index(), document(index(&upstream).into_bytes(), "compress"));
    eventually("the stored index", || {
        proxy.client().get(&lamp().index()).ok().cache().contains("stale-if-error").then_some(())
    });
}

#[test]
fn a_bomb_is_decoded_no_further_than_a_document_may_be_long() {
    let upstream = Upstream::start();
    let spaces = vec![b' '; 200 << 20];
    upstream.reply(&lamp().index(), document(gzip(&spaces), "gzip"));
    upstream.reply("/api/v1/index/volumes/twice", document(gzip(&gzip(&spaces)), "gzip, gzip"));
    let proxy = Setup::before(&upstream).set("limits.max_document", "1MiB").start();
    let before = proxy.peak_memory();
    for target in [lamp().index(), "/api/v1/index/volumes/twice".to_owned()] {
        let problem = proxy.client().get(&target).could_not_ask();
        assert!(problem["detail"].as_str().unwrap().contains("1048576"), "{problem}");
    }
    assert!(proxy.peak_memory() - before < 64 << 20, "{} bytes more", proxy.peak_memory() - before);
}

#[test]
fn an_archive_under_a_label_is_the_archive() {
    let release = lamp();
    let archive = release.archive();
    for (sent, label) in [
        (archive.clone(), "gzip"),
        (archive.clone(), "x-gzip"),
        (gzip(&archive), "gzip"),
        (zstd(&archive), "zstd"),
        (brotli(&archive), "br"),
        (archive.clone(), "br"),
    ] {
        let upstream = Upstream::start();
        upstream.publish(&release);
        upstream.reply(&release.source(), Reply::archive(sent).with("content-encoding", label));
        let proxy = Setup::before(&upstream).start();
        assert!(proxy.client().get(&release.download()).ok().body == archive, "{label}");
        assert!(proxy.client().get(&release.download()).ok().is_hit());
        assert_eq!(upstream.requests(&release.source()), 1);
    }
}

#[test]
fn an_archive_in_a_coding_that_is_not_read_is_refused_by_name() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).start();
    for label in ["sdch", "gzip, gzip"] {
        upstream.reply(&lamp().source(), Reply::archive(lamp().archive()).with("content-encoding", label));
        let problem = proxy.client().get(&lamp().download()).could_not_ask();
        assert!(
            problem["detail"].as_str().unwrap().contains(&format!("content coding {label},")),
            "{problem}"
        );
    }
}
