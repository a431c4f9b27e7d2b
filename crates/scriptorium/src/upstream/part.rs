//! A part of a file: its request, the check that the answer is that part, and the bound on its length.
//!
//! Owns `Range`, `Content-Range` and the length of a part's body. Must not know statuses, nor what the bytes are: the
//! caller knows their checksum.

use std::ops::Range;

use ::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::TransportError;

/// The part that follows, as its head describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnnouncedPart {
    /// The length of the part.
    pub(super) length: u64,
    /// The length of the whole, if the registry says it.
    pub(super) of: Option<u64>,
}

/// The known facts of a whole file, with which later parts are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WholeFile {
    pub(super) length: u64,
    /// A strong entity tag: the same tag means the same bytes.
    pub(super) etag: Option<HeaderValue>,
}

impl WholeFile {
    /// From the head of an answer that is the whole file.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()?;
        let strong = |etag: &&HeaderValue| etag.as_bytes().starts_with(b"\"");
        Some(Self { length, etag: headers.get(ETAG).filter(strong).cloned() })
    }
}

/// The `Range` of these bytes. HTTP has none for an empty range.
pub(super) fn header(range: &Range<u64>) -> Option<HeaderValue> {
    let last = range.end.checked_sub(1).filter(|last| range.start <= *last)?;
    HeaderValue::from_str(&format!("bytes={}-{last}", range.start)).ok()
}

/// The announced part, if it is exactly the requested one.
pub(super) fn announced(headers: &HeaderMap, asked: &Range<u64>) -> Option<AnnouncedPart> {
    if headers.get_all(CONTENT_TYPE).iter().any(is_multipart) {
        return None;
    }
    let mut stated = headers.get_all(CONTENT_RANGE).iter();
    let (first, None) = (stated.next()?, stated.next()) else { return None };
    let (unit, range) = first.to_str().ok()?.split_once(' ')?;
    let (span, of) = range.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    if !unit.eq_ignore_ascii_case("bytes") || (first..last.checked_add(1)?) != *asked {
        return None;
    }
    let of = match of {
        "*" => None,
        of => Some(number(of).filter(|of| last < *of)?),
    };
    Some(AnnouncedPart { length: asked.end.checked_sub(asked.start)?, of })
}

/// The same bytes, with an error where they are fewer or more than `length`. Excess bytes are not passed on.
pub(super) fn exactly(
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    length: u64,
) -> BoxStream<'static, Result<Bytes, TransportError>> {
    let next = |due: Option<(BoxStream<'static, _>, u64)>| async move {
        let (mut body, left) = due?;
        match body.next().await {
            Some(Ok(chunk)) => Some(match left.checked_sub(length_of(&chunk)) {
                Some(left) => (Ok(chunk), Some((body, left))),
                None => (Err(TransportError::Broken), None),
            }),
            Some(Err(error)) => Some((Err(error), None)),
            None => (left > 0).then_some((Err(TransportError::Broken), None)),
        }
    };
    stream::unfold(Some((body, length)), next).boxed()
}

fn length_of(chunk: &Bytes) -> u64 {
    chunk.len() as u64
}

fn is_multipart(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes().trim_ascii_start();
    kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

/// Reads digits only: `parse` accepts a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use ::http::HeaderName;

    use super::*;

    fn read(asked: Range<u64>, headers: &[(HeaderName, &str)]) -> Option<AnnouncedPart> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        announced(&map, &asked)
    }

    #[test]
    fn a_range_is_spelt_with_its_last_byte() {
        assert_eq!(header(&(0..1)).unwrap(), "bytes=0-0");
        assert_eq!(header(&(262_144..524_288)).unwrap(), "bytes=262144-524287");
        assert_eq!(header(&(0..u64::MAX)).unwrap(), "bytes=0-18446744073709551614");
        for (start, end) in [(0, 0), (7, 7), (8, 7), (u64::MAX, 0)] {
            assert_eq!(header(&(start..end)), None, "{start}..{end}");
        }
    }

    #[test]
    fn the_part_that_was_asked_for() {
        for (stated, of) in [
            ("bytes 2-5/10", Some(10)),
            ("bytes 2-5/6", Some(6)),
            ("Bytes 2-5/10", Some(10)),
            ("bytes 2-5/*", None),
            ("bytes 2-5/18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(
                read(2..6, &[(CONTENT_RANGE, stated)]),
                Some(AnnouncedPart { length: 4, of }),
                "{stated}"
            );
        }
        let typed = [(CONTENT_RANGE, "bytes 2-5/10"), (CONTENT_TYPE, "application/gzip")];
        assert_eq!(read(2..6, &typed), Some(AnnouncedPart { length: 4, of: Some(10) }));
    }

    #[test]
    fn anything_else_is_not_that_part() {
        assert_eq!(read(2..6, &[]), None);
        for stated in [
            "bytes 2-4/10",
            "bytes 2-6/10",
            "bytes 1-5/10",
            "bytes 3-5/10",
            "bytes 2-5/5",
            "bytes 2-5/0",
            "bytes 2-5/",
            "bytes 2-5",
            "bytes */10",
            "bytes *",
            "bytes 2-/10",
            "bytes -5/10",
            "bytes +2-5/10",
            "bytes 2-+5/10",
            "bytes 2-5/+10",
            "bytes 2-5/-1",
            "bytes 2-5/x",
            "bytes 2-5/10, bytes 2-5/10",
            "bytes=2-5/10",
            "bytes  2-5/10",
            "bytes 2 - 5/10",
            "lines 2-5/10",
            "2-5/10",
            "bytes 2-5/18446744073709551616",
            "bytes 2-18446744073709551615/*",
            "",
        ] {
            assert_eq!(read(2..6, &[(CONTENT_RANGE, stated)]), None, "{stated}");
        }
        let good = (CONTENT_RANGE, "bytes 2-5/10");
        assert_eq!(read(2..6, &[good.clone(), good.clone()]), None, "said twice");
        assert_eq!(read(2..6, &[good.clone(), (CONTENT_RANGE, "bytes 0-9/10")]), None, "and contradicted");
        for kind in ["multipart/byteranges; boundary=x", "Multipart/ByteRanges", " multipart/mixed"] {
            assert_eq!(read(2..6, &[good.clone(), (CONTENT_TYPE, kind)]), None, "{kind}");
        }
    }

    async fn bounded(
        chunks: Vec<Result<&'static str, TransportError>>,
        length: u64,
    ) -> Vec<Result<Bytes, TransportError>> {
        let chunks = chunks.into_iter().map(|chunk| chunk.map(Bytes::from));
        exactly(stream::iter(chunks).boxed(), length).collect().await
    }

    #[tokio::test]
    async fn no_byte_more_and_none_less() {
        let broken = || Err(TransportError::Broken);
        let ok = |text: &'static str| Ok(Bytes::from(text));
        assert_eq!(bounded(vec![Ok("ab"), Ok(""), Ok("cd")], 4).await, [ok("ab"), ok(""), ok("cd")]);
        assert_eq!(bounded(vec![Ok("ab"), Ok("cd")], 5).await, [ok("ab"), ok("cd"), broken()]);
        assert_eq!(bounded(vec![Ok("ab"), Ok("cd")], 3).await, [ok("ab"), broken()]);
        assert_eq!(bounded(vec![Ok("ab"), Ok("c"), Ok("d")], 2).await, [ok("ab"), broken()]);
        assert_eq!(bounded(vec![], 1).await, [broken()]);
        let stalled = vec![Ok("ab"), Err(TransportError::Timeout), Ok("cd")];
        assert_eq!(bounded(stalled, 4).await, [ok("ab"), Err(TransportError::Timeout)]);
    }
}
