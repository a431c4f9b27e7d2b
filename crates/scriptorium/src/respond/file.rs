//! The response of a file: whole, a range, or its headers alone.
//!
//! Owns its headers (ranges of RFC 9110, the digest of RFC 9530), and what a browser may do with it. Must not know how
//! bytes are read or verified.

use std::ops::Range;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::conditional::{holds_current, range_applies};
use super::error::unsatisfiable;
use super::range::{RequestedRange, requested};
use super::{
    Body, MOST_HEADERS, Response, ResponseContext, cache_status, freshness, joined, number, problem, text,
};
use crate::files::{Media, PermittedFile};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The part of a file that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilePart {
    /// The client holds it.
    NotModified,
    Whole,
    Range(Range<u64>),
    Unsatisfiable,
}

impl FilePart {
    /// The bytes to send of a file of `length` bytes.
    pub(crate) fn bytes(&self, length: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..length,
            Self::Range(range) => range.clone(),
            Self::NotModified | Self::Unsatisfiable => 0..0,
        }
    }
}

/// Reads the conditions and the range of a request. Only GET has ranges (RFC 9110, section 14.2).
pub(crate) fn plan(held: &PermittedFile, asked: ResponseContext<'_>) -> FilePart {
    let etag = etag(held);
    if holds_current(asked.headers, &etag) {
        return FilePart::NotModified;
    }
    let range = asked.headers.get(RANGE).filter(|_| !asked.head && range_applies(asked.headers, &etag));
    match requested(range.and_then(|range| range.to_str().ok()), held.file.seal.length) {
        RequestedRange::Whole => FilePart::Whole,
        RequestedRange::Part(range) => FilePart::Range(range),
        RequestedRange::Unsatisfiable => FilePart::Unsatisfiable,
    }
}

/// Answers with `part` of a file; `body` holds just the part's bytes.
pub(crate) fn file(
    held: &PermittedFile,
    part: &FilePart,
    body: Body,
    asked: ResponseContext<'_>,
) -> Response {
    let length = held.file.seal.length;
    let status = match part {
        FilePart::NotModified => StatusCode::NOT_MODIFIED,
        FilePart::Whole => StatusCode::OK,
        FilePart::Range(_) => StatusCode::PARTIAL_CONTENT,
        FilePart::Unsatisfiable => return unsatisfied(held, asked),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // A range and a policy more than other responses have.
    headers.reserve(MOST_HEADERS + 2);
    headers.insert(ETAG, etag(held));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    freshness(headers, &held.gate, held.outcome);
    if *part == FilePart::NotModified {
        return response;
    }
    if let FilePart::Range(range) = part {
        let sent = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, text(&sent));
    }
    let sent = part.bytes(length);
    headers.insert(CONTENT_LENGTH, number(sent.end - sent.start));
    content_type(headers, &held.media);
    headers.insert(REPR_DIGEST, joined(&["sha-256=:", &held.file.seal.raw.base64(), ":"]));
    response
}

/// Sets the content type. That of a trust artifact is the registry's word, so a browser must not run it.
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

fn unsatisfied(held: &PermittedFile, asked: ResponseContext<'_>) -> Response {
    let length = held.file.seal.length;
    let mut response = problem(&unsatisfiable(length), asked);
    response.headers_mut().insert(CONTENT_RANGE, text(&format!("bytes */{length}")));
    cache_status(response.headers_mut(), held.outcome);
    response
}

fn etag(held: &PermittedFile) -> HeaderValue {
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
