//! Files under a label: what is coded and what only says so.

use super::super::tests::{brotli, gzip, zstd};
use super::*;

const TAR: &[u8] = b"volume.toml\0\0\0 and what a tar is made of";

fn coming(bytes: Vec<u8>) -> CodedPieces {
    let pieces: Vec<_> = bytes.chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn all(pieces: CodedPieces) -> Result<Vec<u8>, CouldNotAsk> {
    let pieces: Vec<_> = pieces.collect().await;
    let pieces: Result<Vec<_>, _> = pieces.into_iter().collect();
    pieces.map(|pieces| pieces.concat())
}

async fn archive(bytes: Vec<u8>, coding: ContentCoding) -> Vec<u8> {
    all(decode(coming(bytes), coding, Payload::Archive)).await.unwrap()
}

#[tokio::test]
async fn a_coding_is_taken_off_an_archive_that_was_put_on() {
    let sent = gzip(TAR);
    for (coded, coding) in [
        (gzip(&sent), ContentCoding::Gzip),
        (zstd(&sent), ContentCoding::Zstd),
        (brotli(&sent), ContentCoding::Brotli),
    ] {
        assert!(archive(coded, coding).await == sent, "{coding}");
    }
    let thrice = gzip(&gzip(&sent));
    assert!(archive(thrice, ContentCoding::Gzip).await == gzip(&sent), "one, and no more");
}

#[tokio::test]
async fn a_label_that_is_about_the_archive_itself_changes_nothing() {
    let big = gzip(
        &(0..100_000_u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    for sent in [gzip(TAR), big, gzip(b""), b"no gzip at all".to_vec(), Vec::new()] {
        for coding in
            [ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Brotli, ContentCoding::Zstd]
        {
            assert!(archive(sent.clone(), coding).await == sent, "{coding}, {} bytes", sent.len());
        }
    }
}

#[tokio::test]
async fn an_artifact_is_what_its_label_says() {
    let artifact = |bytes| all(decode(coming(bytes), ContentCoding::Gzip, Payload::TrustArtifact));
    assert_eq!(artifact(gzip(b"{}")).await, Ok(b"{}".to_vec()));
    assert_eq!(artifact(b"{}".to_vec()).await, Err(CouldNotAsk::BrokenBody));
}

#[tokio::test]
async fn what_breaks_off_is_broken_for_its_own_reason() {
    let coded = gzip(&gzip(TAR));
    for (cut, payload) in
        [(3, Payload::Archive), (coded.len() - 4, Payload::Archive), (3, Payload::TrustArtifact)]
    {
        let broken = coming(coded[..cut].to_vec()).chain(stream::iter([Err(CouldNotAsk::TimedOut)])).boxed();
        assert_eq!(
            all(decode(broken, ContentCoding::Gzip, payload)).await,
            Err(CouldNotAsk::TimedOut),
            "{cut}"
        );
    }
    let short = coming(coded[..coded.len() - 4].to_vec());
    assert_eq!(all(decode(short, ContentCoding::Gzip, Payload::Archive)).await, Err(CouldNotAsk::BrokenBody));
}
