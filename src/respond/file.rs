//! The response of an archive or a trust artifact: whole, a range, or only its headers.
//!
//! Owns its headers (RFC 9110 ranges, RFC 9530 digest), and what a browser may do with it. Must not know how bytes are read or verified.

use std::ops::Range;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::conditional::{holds_current, range_applies};
use super::error::unsatisfiable;
use super::range::{Wanted, wanted};
use super::{Asked, Body, MOST_HEADERS, Response, cache_status, freshness, joined, number, problem, text};
use crate::cache::sealed_files::{Held, Media};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What of a file a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Nothing: the client holds it.
    NotModified,
    /// All of it.
    Whole,
    /// These bytes of it.
    Range(Range<u64>),
    /// Bytes it does not have.
    Unsatisfiable,
}

impl Part {
    /// The bytes to send of a file of `length` bytes.
    #[must_use]
    pub fn bytes(&self, length: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..length,
            Self::Range(range) => range.clone(),
            Self::NotModified | Self::Unsatisfiable => 0..0,
        }
    }
}

/// Reads conditions and range of a request for `held`. A range is of what GET sends (RFC 9110, section 14.2).
#[must_use]
pub fn plan(held: &Held, asked: Asked<'_>) -> Part {
    let etag = etag(held);
    if holds_current(asked.headers, &etag) {
        return Part::NotModified;
    }
    let range = asked.headers.get(RANGE).filter(|_| !asked.head && range_applies(asked.headers, &etag));
    match wanted(range.and_then(|range| range.to_str().ok()), held.file.seal.length) {
        Wanted::Whole => Part::Whole,
        Wanted::Part(range) => Part::Range(range),
        Wanted::Unsatisfiable => Part::Unsatisfiable,
    }
}

/// Answers with `part` of a file; `body` holds just the part's bytes.
#[must_use]
pub fn file(held: &Held, part: &Part, body: Body, asked: Asked<'_>) -> Response {
    let length = held.file.seal.length;
    let status = match part {
        Part::NotModified => StatusCode::NOT_MODIFIED,
        Part::Whole => StatusCode::OK,
        Part::Range(_) => StatusCode::PARTIAL_CONTENT,
        Part::Unsatisfiable => return unsatisfied(held, asked),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // Two more than other answers have: a range and a policy.
    headers.reserve(MOST_HEADERS + 2);
    headers.insert(ETAG, etag(held));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    freshness(headers, &held.gate, held.outcome);
    if *part == Part::NotModified {
        return response;
    }
    if let Part::Range(range) = part {
        let sent = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, text(&sent));
    }
    let sent = part.bytes(length);
    headers.insert(CONTENT_LENGTH, number(sent.end - sent.start));
    content_type(headers, &held.media);
    headers.insert(REPR_DIGEST, joined(&["sha-256=:", &held.file.seal.raw.base64(), ":"]));
    response
}

/// A registry may call its bytes what it likes; a browser must not run them.
fn content_type(headers: &mut HeaderMap, media: &Media) {
    let Media::Declared(declared) = media else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        return;
    };
    let known = HeaderValue::from_str(declared).ok().filter(|_| is_media_type(declared));
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, known.unwrap_or(unknown));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
}

/// Whether `text` is `type/subtype`, both tokens (RFC 9110, section 5.6.2), perhaps with parameters.
fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn unsatisfied(held: &Held, asked: Asked<'_>) -> Response {
    let length = held.file.seal.length;
    let mut response = problem(&unsatisfiable(length), asked);
    response.headers_mut().insert(CONTENT_RANGE, text(&format!("bytes */{length}")));
    cache_status(response.headers_mut(), held.outcome);
    response
}

fn etag(held: &Held) -> HeaderValue {
    joined(&["\"", &held.file.seal.raw.hex(), "\""])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(declared: &str) -> String {
        let mut headers = HeaderMap::new();
        content_type(&mut headers, &Media::Declared(declared.to_owned()));
        assert_eq!(headers[CONTENT_SECURITY_POLICY], "default-src 'none'; sandbox");
        headers[CONTENT_TYPE].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_declared_type_is_passed_on_when_it_is_one() {
        for good in ["application/vnd.cyclonedx+json", "text/html", "application/json; version=\"1.6\""] {
            assert_eq!(sent(good), good);
        }
        for bad in
            ["", "json", "/json", "text/", "a/b/c", "text/ht ml", "tëxt/x", "a/b\r\nx: y", "a/b;\n", " a/b"]
        {
            assert_eq!(sent(bad), "application/octet-stream", "{bad:?}");
        }
    }
}
