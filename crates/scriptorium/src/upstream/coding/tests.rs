//! Every coding, alone and two of them, what is refused, and bombs.

use std::io::Write;

use ::http::{HeaderMap, HeaderValue};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

const PLAIN: &[u8] = br#"{"items":[{"version":"1.0.0"},{"version":"1.0.1"}]}"#;

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
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

pub(super) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

/// One block that is stored as it is (RFC 7932, section 9.2), and the last, empty one.
pub(super) fn brotli(plain: &[u8]) -> Vec<u8> {
    let head = u32::try_from(plain.len() - 1).unwrap() << 4 | 1 << 20;
    [&head.to_le_bytes()[..3], plain, &[3]].concat()
}

fn labelled(fields: &[&str]) -> Result<Vec<ContentCoding>, CouldNotAsk> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(CONTENT_ENCODING, HeaderValue::from_bytes(field.as_bytes()).unwrap());
    }
    applied(&headers)
}

async fn decoded(coded: Vec<u8>, fields: &[&str], limit: u64) -> Result<Bytes, CouldNotAsk> {
    decode(coded.into(), labelled(fields)?, limit, &mut DocumentSlot::none()).await
}

#[tokio::test]
async fn every_coding_is_taken_off() {
    for (coded, label) in [
        (PLAIN.to_vec(), ""),
        (PLAIN.to_vec(), "identity"),
        (gzip(PLAIN), "gzip"),
        (gzip(PLAIN), "X-GZip"),
        ([gzip(&PLAIN[..9]), gzip(&PLAIN[9..])].concat(), "gzip"),
        (zlib(PLAIN), "deflate"),
        (deflate(PLAIN), "deflate"),
        (zstd(PLAIN), "zstd"),
        (brotli(PLAIN), "br"),
        (zstd(&gzip(PLAIN)), "gzip, zstd"),
        (gzip(&gzip(PLAIN)), "gzip,identity, gzip"),
    ] {
        let plain = decoded(coded, &[label], PLAIN.len() as u64).await;
        assert_eq!(plain, Ok(Bytes::from_static(PLAIN)), "{label}");
    }
    assert_eq!(decoded(brotli(&gzip(PLAIN)), &["gzip", "br"], 100).await.unwrap(), PLAIN);
}

#[test]
fn what_is_not_read_is_named() {
    let unread = |fields: &[&str]| match labelled(fields) {
        Err(CouldNotAsk::UnreadCoding(name)) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(unread(&["compress"]), "compress");
    assert_eq!(unread(&["gzip, lzma"]), "lzma");
    assert_eq!(unread(&["gzip, gzip", "gzip"]), "gzip, gzip, gzip");
    let long = unread(&[&"x".repeat(5000)]);
    assert_eq!(long.len(), LONGEST_NAME);
    assert!(CouldNotAsk::UnreadCoding("sdch".to_owned()).to_string().contains("coding sdch,"));
}

#[tokio::test]
async fn what_is_not_what_its_label_says_is_named_too() {
    for (coded, label) in [
        (PLAIN.to_vec(), "gzip"),
        (PLAIN.to_vec(), "br"),
        (PLAIN.to_vec(), "zstd"),
        (PLAIN.to_vec(), "deflate"),
        (gzip(PLAIN), "gzip, gzip"),
        (gzip(PLAIN)[..20].to_vec(), "gzip"),
        (zlib(PLAIN)[..20].to_vec(), "deflate"),
        (zstd(PLAIN)[..20].to_vec(), "zstd"),
        (brotli(PLAIN)[..20].to_vec(), "br"),
        ([gzip(PLAIN), b"garbage".to_vec()].concat(), "gzip"),
    ] {
        let failed = decoded(coded, &[label], 1000).await;
        assert_eq!(failed, Err(CouldNotAsk::Undecodable(label.to_owned())), "{label}");
    }
}

#[tokio::test]
async fn a_bomb_is_decoded_no_further_than_the_limit() {
    let zeros = vec![0; 64 << 20];
    let limit = 1 << 20;
    for (coded, label) in
        [(gzip(&zeros), "gzip"), (zstd(&zeros), "zstd"), (gzip(&gzip(&zeros)), "gzip, gzip")]
    {
        assert!(coded.len() < 100_000);
        assert_eq!(decoded(coded, &[label], limit).await, Err(CouldNotAsk::TooLarge { limit }), "{label}");
    }
    let exact = vec![0; 1 << 20];
    assert_eq!(decoded(gzip(&exact), &["gzip"], limit).await.unwrap().len(), 1 << 20);
}
