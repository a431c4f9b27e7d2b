//! An archive's response: whole, a range, or only its headers.
//!
//! Owns its headers (RFC 9110 ranges, RFC 9530 digest). Must not know how bytes are read or verified.

use std::ops::Range;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, RANGE};
use http::{HeaderValue, StatusCode};

use super::conditional::{holds_current, range_applies};
use super::error::unsatisfiable;
use super::range::{Wanted, wanted};
use super::{Asked, Body, CACHE_STATUS, Response, freshness, problem, text};
use crate::cache::archives::Held;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What of an archive a request asks for.
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
    /// The bytes to send of an archive of `length` bytes.
    #[must_use]
    pub fn bytes(&self, length: u64) -> Range<u64> {
        match self {
            Self::Whole => 0..length,
            Self::Range(range) => range.clone(),
            Self::NotModified | Self::Unsatisfiable => 0..0,
        }
    }
}

/// Reads conditions and range of a request for `held`.
#[must_use]
pub fn plan(held: &Held, asked: Asked<'_>) -> Part {
    let etag = etag(held);
    if holds_current(asked.headers, &etag) {
        return Part::NotModified;
    }
    let range = asked.headers.get(RANGE).filter(|_| range_applies(asked.headers, &etag));
    match wanted(range.and_then(|range| range.to_str().ok()), held.seal.length) {
        Wanted::Whole => Part::Whole,
        Wanted::Part(range) => Part::Range(range),
        Wanted::Unsatisfiable => Part::Unsatisfiable,
    }
}

/// Answers with `part` of an archive; `body` holds just the part's bytes.
#[must_use]
pub fn archive(held: &Held, part: &Part, body: Body, asked: Asked<'_>) -> Response {
    let length = held.seal.length;
    let status = match part {
        Part::NotModified => StatusCode::NOT_MODIFIED,
        Part::Whole => StatusCode::OK,
        Part::Range(_) => StatusCode::PARTIAL_CONTENT,
        Part::Unsatisfiable => return unsatisfied(held, asked),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ETAG, etag(held));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_STATUS, text(&held.outcome.to_string()));
    freshness(headers, &held.gate);
    if *part == Part::NotModified {
        return response;
    }
    if let Part::Range(range) = part {
        let sent = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, text(&sent));
    }
    let sent = part.bytes(length);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sent.end - sent.start));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    headers.insert(REPR_DIGEST, text(&format!("sha-256=:{}:", held.seal.raw.base64())));
    response
}

fn unsatisfied(held: &Held, asked: Asked<'_>) -> Response {
    let length = held.seal.length;
    let mut response = problem(&unsatisfiable(length), asked);
    response.headers_mut().insert(CONTENT_RANGE, text(&format!("bytes */{length}")));
    response.headers_mut().insert(CACHE_STATUS, text(&held.outcome.to_string()));
    response
}

fn etag(held: &Held) -> HeaderValue {
    text(&format!("\"{}\"", held.seal.raw.hex()))
}
