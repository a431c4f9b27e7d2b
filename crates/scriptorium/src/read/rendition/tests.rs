//! Renditions and their codings: made once, behind the answers, and right.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;

fn rendition(body: Bytes) -> Rendition {
    Rendition::new(&Template::with(body, Vec::new()), "")
}

fn kept(body: Bytes) -> Arc<Rendition> {
    Arc::new(rendition(body).kept())
}

fn prose(length: usize) -> Bytes {
    let row = br#"{"version":"1.0.0","status":{"state":"available"}},"#;
    row.iter().copied().cycle().take(length).collect()
}

fn decoded(coding: BodyCoding, coded: &[u8]) -> Vec<u8> {
    match coding {
        BodyCoding::Zstd => zstd::decode_all(coded).unwrap(),
        BodyCoding::Gzip => {
            let mut plain = Vec::new();
            GzDecoder::new(coded).read_to_end(&mut plain).unwrap();
            plain
        }
    }
}

/// Asks until the coding is there, or until it is known never to be.
async fn made(rendition: &Arc<Rendition>, coding: BodyCoding, coders: &Coders) -> Option<Bytes> {
    loop {
        // The coder may finish at any instant, so what is looked at once must be what is judged.
        if let Some(body) = rendition.coded(coding)?.body.get() {
            return body.clone();
        }
        rendition.body_in(coding, coders);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_asks_first_gets_the_body_as_it_is_and_later_ones_the_coding() {
    let (rendition, coders) = (kept(prose(50_000)), Coders::default());
    for coding in BodyCoding::ALL {
        assert_eq!(rendition.body_in(coding, &coders), None);
        let coded = made(&rendition, coding, &coders).await.unwrap();
        assert_eq!(decoded(coding, &coded), *rendition.whole().unwrap());
        let again = rendition.body_in(coding, &coders).unwrap();
        assert_eq!(again.as_ptr(), coded.as_ptr(), "made once");
    }
    let mut tags = vec![&rendition.etag];
    tags.extend(BodyCoding::ALL.iter().filter_map(|coding| rendition.etag_in(*coding)));
    tags.sort_by_key(|tag| tag.as_bytes());
    tags.dedup();
    assert_eq!(tags.len(), 3, "each coding has a tag of its own");
}

#[tokio::test]
async fn what_gains_nothing_stays_as_it_is() {
    let coders = Coders::default();
    let short = kept(prose(SMALLEST - 1));
    assert!(!short.varies() && short.etag_in(BodyCoding::Gzip).is_none());
    let mut noise = fastrand::Rng::with_seed(1);
    let noise: Bytes = std::iter::repeat_with(|| noise.u8(..)).take(20_000).collect();
    let noise = kept(noise);
    for coding in BodyCoding::ALL {
        assert_eq!(short.body_in(coding, &coders), None);
        assert_eq!(made(&noise, coding, &coders).await, None);
    }
    assert!(kept(prose(SMALLEST)).varies());
}

#[tokio::test]
async fn while_all_coders_are_busy_nothing_is_begun() {
    let (rendition, coders) = (kept(prose(5_000)), Coders::default());
    let places = Arc::clone(&coders.0).try_acquire_many_owned(AT_ONCE as u32).unwrap();
    assert_eq!(rendition.body_in(BodyCoding::Gzip, &coders), None);
    assert_eq!(Arc::strong_count(&rendition), 1, "no task holds it");
    assert!(rendition.coded(BodyCoding::Gzip).unwrap().body.get().is_none());
    drop(places);
    assert!(made(&rendition, BodyCoding::Gzip, &coders).await.is_some());
    assert!(coders.0.acquire().await.is_ok(), "given back");
}

#[test]
fn a_coding_that_gives_other_bytes_is_noticed() {
    let body = prose(200_000);
    for coding in BodyCoding::ALL {
        let coded = coding.apply(&rendition(body.clone())).unwrap();
        let gives = |coded: &[u8], body: &[u8]| {
            coding.gives_back(coded, body.chunks(1000).map(Bytes::copy_from_slice))
        };
        assert!(gives(&coded, &body));
        for other in [&body[1..], &body[..body.len() - 1], &[&body[..], b"x"].concat(), b""] {
            assert!(!gives(&coded, other), "{coding:?}");
        }
        assert!(!gives(&coded[..coded.len() / 2], &body), "{coding:?}");
        assert!(!gives(b"nothing of the kind", &body), "{coding:?}");
    }
}

#[tokio::test]
async fn a_long_one_is_never_put_together_and_coded_all_the_same() {
    let link = || crate::domain::link::Replacement::Link("/p".into());
    let edits = (0..200).map(|at| (at * 1000..at * 1000 + 1, link())).collect();
    let template = Template::with(prose(200_000), edits);
    let (long, coders) = (Arc::new(Rendition::new(&template, "http://here").kept()), Coders::default());
    assert!(long.whole().is_none() && long.length > LONGEST);
    let pieces: Vec<Bytes> = long.pieces().collect();
    assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
    assert_eq!(pieces.concat(), template.render("http://here"));
    for coding in BodyCoding::ALL {
        assert_eq!(decoded(coding, &made(&long, coding, &coders).await.unwrap()), pieces.concat());
    }
}

#[tokio::test]
async fn nothing_is_compressed_for_who_may_never_come_again() {
    let (passing, coders) = (Arc::new(rendition(prose(5_000))), Coders::default());
    assert_eq!(passing.body_in(BodyCoding::Gzip, &coders), None);
    assert_eq!((Arc::strong_count(&passing), coders.0.available_permits()), (1, AT_ONCE));
    assert!(passing.whole().is_none());
}

proptest! {
    #[test]
    fn what_is_coded_decodes_to_the_same_bytes(
        piece in proptest::collection::vec(any::<u8>(), 1..200),
        times in 1..400_usize,
    ) {
        let body = piece.repeat(times);
        for coding in BodyCoding::ALL {
            if let Some(coded) = coding.apply(&rendition(body.clone().into())) {
                prop_assert!(coded.len() <= body.len() / 2);
                prop_assert_eq!(&decoded(coding, &coded), &body);
            }
        }
    }
}
