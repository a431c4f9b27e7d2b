//! A rendition: a document's bytes for clients who use one base URL, and the same bytes compressed.
//!
//! Owns the codings a document may be sent in, and that each is made once, behind the answers, and proven to
//! decode to the very bytes of the document. Must not know which coding a client takes.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::HeaderValue;
use tokio::sync::Semaphore;
use tracing::error;

use crate::domain::Sha256;

/// Shorter bodies are sent as they are: beside the headers there is nothing to gain.
const SMALLEST: usize = 1024;

/// Bodies being compressed at once: the work nobody waits for takes one core, never all.
const AT_ONCE: usize = 1;

/// The levels at which both compress tens of megabytes a second. zstd's window is 2 MiB there, of the 8 MiB
/// that any client must grant (RFC 9659).
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: Compression = Compression::new(6);

/// A content coding that documents may be sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

/// A document ready to be sent to clients who use one base URL.
#[derive(Debug)]
pub struct Rendition {
    pub(super) base: Box<str>,
    /// The body with its links.
    pub body: Bytes,
    /// A strong validator of the body.
    pub etag: HeaderValue,
    /// The body in each coding; `None` when it is too short for any.
    coded: Option<[Coded; Coding::ALL.len()]>,
}

/// A body in one coding.
#[derive(Debug)]
struct Coded {
    etag: HeaderValue,
    /// `None` within when the coding does not pay.
    body: OnceLock<Option<Bytes>>,
}

/// Compresses renditions on threads that serve nobody, a bounded number at a time.
#[derive(Debug)]
pub struct Coders(Arc<Semaphore>);

impl Coding {
    /// Every coding, the better one first.
    pub const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// `body` in this coding, when that is at most half as long and decodes to `body` again.
    fn apply(self, body: &[u8]) -> Option<Bytes> {
        let coded = match self {
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        match coded {
            Ok(coded) if coded.len() > body.len() / 2 => None,
            Ok(coded) if self.gives_back(&coded, body) => Some(coded.into()),
            Ok(_) | Err(_) => {
                error!(coding = self.token(), "a document could not be compressed and is sent as it is");
                None
            }
        }
    }

    /// Whether `coded` decodes to `body`.
    fn gives_back(self, coded: &[u8], body: &[u8]) -> bool {
        match self {
            Self::Zstd => zstd::Decoder::with_buffer(coded).is_ok_and(|decoder| reads_as(decoder, body)),
            Self::Gzip => reads_as(GzDecoder::new(coded), body),
        }
    }
}

/// Whether `reader` gives `body` and no more; holds a piece of it at a time.
fn reads_as(mut reader: impl Read, mut body: &[u8]) -> bool {
    let mut piece = vec![0; 64 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return body.is_empty(),
            Ok(count) => match body.strip_prefix(&piece[..count]) {
                Some(rest) => body = rest,
                None => return false,
            },
            Err(_) => return false,
        }
    }
}

impl Rendition {
    pub(super) fn new(body: Bytes, base: &str) -> Self {
        let digest = &Sha256::of(&body).hex()[..32];
        let coded = is_coded(body.len()).then(|| Coding::ALL.map(|coding| Coded::new(digest, coding)));
        Self { base: base.into(), body, etag: tag(digest, ""), coded }
    }

    /// Whether what is sent depends on the codings that a client takes.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.coded.is_some()
    }

    /// The validator of the body in `coding`, whether or not that was made yet.
    #[must_use]
    pub fn etag_in(&self, coding: Coding) -> Option<&HeaderValue> {
        self.coded(coding).map(|coded| &coded.etag)
    }

    /// The body in `coding`, if it is there. If not, `coders` make it for those who ask later.
    pub(super) fn body_in(self: &Arc<Self>, coding: Coding, coders: &Coders) -> Option<&Bytes> {
        let coded = self.coded(coding)?;
        match coded.body.get() {
            Some(body) => body.as_ref(),
            None => {
                coders.make(self, coding);
                None
            }
        }
    }

    fn coded(&self, coding: Coding) -> Option<&Coded> {
        self.coded.as_ref().map(|[zstd, gzip]| match coding {
            Coding::Zstd => zstd,
            Coding::Gzip => gzip,
        })
    }
}

/// Whether a body of `length` is worth compressing.
pub(super) fn is_coded(length: usize) -> bool {
    length >= SMALLEST
}

impl Coded {
    fn new(digest: &str, coding: Coding) -> Self {
        let etag = tag(digest, &["-", coding.token()].concat());
        Self { etag, body: OnceLock::new() }
    }
}

fn tag(digest: &str, suffix: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{digest}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

impl Default for Coders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Coders {
    /// Begins the body in `coding`. While all are busy, also with it, a later request tries again.
    fn make(&self, rendition: &Arc<Rendition>, coding: Coding) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let rendition = Arc::clone(rendition);
        tokio::task::spawn_blocking(move || {
            let _held = place;
            if let Some(coded) = rendition.coded(coding) {
                coded.body.get_or_init(|| coding.apply(&rendition.body));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prose(length: usize) -> Bytes {
        let row = br#"{"version":"1.0.0","status":{"state":"available"}},"#;
        row.iter().copied().cycle().take(length).collect()
    }

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Zstd => zstd::decode_all(coded).unwrap(),
            Coding::Gzip => {
                let mut plain = Vec::new();
                GzDecoder::new(coded).read_to_end(&mut plain).unwrap();
                plain
            }
        }
    }

    /// Asks until the coding is there, or until it is known never to be.
    async fn made(rendition: &Arc<Rendition>, coding: Coding, coders: &Coders) -> Option<Bytes> {
        while rendition.coded(coding)?.body.get().is_none() {
            assert_eq!(rendition.body_in(coding, coders), None);
            tokio::task::yield_now().await;
        }
        rendition.body_in(coding, coders).cloned()
    }

    #[tokio::test]
    async fn who_asks_first_gets_the_body_as_it_is_and_later_ones_the_coding() {
        let (rendition, coders) = (Arc::new(Rendition::new(prose(50_000), "")), Coders::default());
        for coding in Coding::ALL {
            assert_eq!(rendition.body_in(coding, &coders), None);
            let coded = made(&rendition, coding, &coders).await.unwrap();
            assert_eq!(decoded(coding, &coded), rendition.body);
            let again = rendition.body_in(coding, &coders).unwrap();
            assert_eq!(again.as_ptr(), coded.as_ptr(), "made once");
        }
        let mut tags = vec![&rendition.etag];
        tags.extend(Coding::ALL.iter().filter_map(|coding| rendition.etag_in(*coding)));
        tags.sort_by_key(|tag| tag.as_bytes());
        tags.dedup();
        assert_eq!(tags.len(), 3, "each coding has a tag of its own");
    }

    #[tokio::test]
    async fn what_gains_nothing_stays_as_it_is() {
        let coders = Coders::default();
        let short = Arc::new(Rendition::new(prose(SMALLEST - 1), ""));
        assert!(!short.varies() && short.etag_in(Coding::Gzip).is_none());
        let mut noise = fastrand::Rng::with_seed(1);
        let noise: Bytes = std::iter::repeat_with(|| noise.u8(..)).take(20_000).collect();
        let noise = Arc::new(Rendition::new(noise, ""));
        for coding in Coding::ALL {
            assert_eq!(short.body_in(coding, &coders), None);
            assert_eq!(made(&noise, coding, &coders).await, None);
        }
        assert!(Arc::new(Rendition::new(prose(SMALLEST), "")).varies());
    }

    #[tokio::test]
    async fn while_all_coders_are_busy_nothing_is_begun() {
        let (rendition, coders) = (Arc::new(Rendition::new(prose(5_000), "")), Coders::default());
        let places = Arc::clone(&coders.0).try_acquire_many_owned(AT_ONCE as u32).unwrap();
        assert_eq!(rendition.body_in(Coding::Gzip, &coders), None);
        assert_eq!(Arc::strong_count(&rendition), 1, "no task holds it");
        assert!(rendition.coded(Coding::Gzip).unwrap().body.get().is_none());
        drop(places);
        assert!(made(&rendition, Coding::Gzip, &coders).await.is_some());
        assert_eq!(coders.0.available_permits(), AT_ONCE, "given back");
    }

    #[test]
    fn a_coding_that_gives_other_bytes_is_noticed() {
        let body = prose(200_000);
        for coding in Coding::ALL {
            let coded = coding.apply(&body).unwrap();
            assert!(coding.gives_back(&coded, &body));
            for other in [&body[1..], &body[..body.len() - 1], &[&body[..], b"x"].concat(), b""] {
                assert!(!coding.gives_back(&coded, other), "{coding:?}");
            }
            assert!(!coding.gives_back(&coded[..coded.len() / 2], &body), "{coding:?}");
            assert!(!coding.gives_back(b"nothing of the kind", &body), "{coding:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_coded_decodes_to_the_same_bytes(
            piece in proptest::collection::vec(any::<u8>(), 1..200),
            times in 1..400_usize,
        ) {
            let body = piece.repeat(times);
            for coding in Coding::ALL {
                if let Some(coded) = coding.apply(&body) {
                    prop_assert!(coded.len() <= body.len() / 2);
                    prop_assert_eq!(&decoded(coding, &coded), &body);
                }
            }
        }
    }
}
