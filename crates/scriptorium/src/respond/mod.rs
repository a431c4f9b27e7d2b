//! Outcomes become responses: status, headers and body.
//!
//! Owns every header that this proxy sends, and the table from failures to problem documents. Must not decide what is
//! answered, nor know how a connection is served.

mod body;
mod coding;
mod conditional;
mod document;
mod error;
mod file;
mod nullspace;
mod range;
mod rate_limit;
mod relayed;

pub(crate) use body::Body;
pub(crate) use document::document;
pub(crate) use error::{ErrorResponse, misdirected, problem, storage_failed};
pub(crate) use file::{FilePart, file, plan};
pub(crate) use nullspace::nullspace;
pub(crate) use relayed::relayed;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};

use crate::limit::RateDecision;
use crate::read::{CachedAnswer, Outcome};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What is said where neither the cache nor a registry was asked.
const NOT_ASKED: HeaderValue = HeaderValue::from_static("scriptorium; detail=\"not-asked\"");

/// The number of headers that most responses have; they are allocated at once.
const MOST_HEADERS: usize = 12;

/// Bytes of all header values that are written together.
const ROOM: usize = 160;

/// A response with one of this proxy's bodies.
pub(crate) type Response = http::Response<Body>;

/// What a response must know of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseContext<'a> {
    /// HEAD: the same headers, no body.
    pub(crate) head: bool,
    /// For conditions and ranges.
    pub(crate) headers: &'a http::HeaderMap,
    /// Where the client reaches this proxy, in two parts and without a slash at the end.
    pub(crate) base: [&'a str; 2],
    /// The request's path, the `instance` of a problem.
    pub(crate) path: &'a str,
}

/// Tells browsers that a response is what its content type says, whatever it looks like.
pub(crate) fn nosniff(headers: &mut http::HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Adds what every response says, and answers with its `Cache-Status`.
pub(crate) fn common<'a>(headers: &'a mut http::HeaderMap, admission: &RateDecision) -> &'a HeaderValue {
    nosniff(headers);
    rate_limit::rate_limit(headers, admission);
    headers.entry(CACHE_STATUS).or_insert(NOT_ASKED)
}

/// `Age`, `Cache-Control` and `Cache-Status`: how old an answer is, and how it came about.
fn freshness(headers: &mut http::HeaderMap, answer: &CachedAnswer, outcome: Outcome) {
    let mut values = HeaderValues::new();
    let age = values.number(answer.age).end();
    let until = values.text("public, max-age=").number(answer.ttl.max(0)).end();
    let status = values.texts(&outcome.words(&mut itoa::Buffer::new())).end();
    let [age, until, status] = values.cut([age, until, status]);
    headers.insert(http::header::AGE, age);
    headers.insert(CACHE_CONTROL, until);
    headers.insert(CACHE_STATUS, status);
}

/// Keeps a response that not every client would get from shared caches.
pub(crate) fn keep_private(headers: &mut http::HeaderMap) {
    let Some(said) = headers.get_mut(CACHE_CONTROL) else { return };
    if let Some(rest) = said.to_str().ok().and_then(|said| said.strip_prefix("public")) {
        *said = joined(&["private", rest]);
    }
}

/// `Cache-Status`: how an answer came about.
fn cache_status(headers: &mut http::HeaderMap, outcome: Outcome) {
    headers.insert(CACHE_STATUS, joined(&outcome.words(&mut itoa::Buffer::new())));
}

/// A header value that is a number.
fn number(value: u64) -> HeaderValue {
    joined(&[itoa::Buffer::new().format(value)])
}

/// A header value of text made here, which never holds a control character.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

/// The same of several parts.
fn joined(parts: &[&str]) -> HeaderValue {
    let mut values = HeaderValues::new();
    let end = values.texts(parts).end();
    let [value] = values.cut([end]);
    value
}

/// Header values that are written one after another into one allocation. A value that does not fit is empty.
struct HeaderValues {
    bytes: [u8; ROOM],
    length: usize,
}

impl HeaderValues {
    fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    #[inline]
    fn text(&mut self, text: &str) -> &mut Self {
        let end = self.length + text.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(text.as_bytes());
        }
        self.length = end;
        self
    }

    #[inline]
    fn texts(&mut self, texts: &[&str]) -> &mut Self {
        texts.iter().for_each(|text| {
            self.text(text);
        });
        self
    }

    #[inline]
    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    /// The end of the value that was written last.
    fn end(&self) -> usize {
        self.length
    }

    /// The values that end at `ends`.
    fn cut<const N: usize>(self, ends: [usize; N]) -> [HeaderValue; N] {
        let bytes = Bytes::from_owner(self.bytes);
        let mut start = 0;
        ends.map(|end| {
            let value = std::mem::replace(&mut start, end)..end;
            let value = if end <= ROOM { bytes.slice(value) } else { Bytes::new() };
            HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_parts() {
        for length in [0, 1, ROOM - 2, ROOM - 1, ROOM, 3 * ROOM] {
            let long = "x".repeat(length);
            let expected = if length + 2 > ROOM { String::new() } else { long.clone() + "yz" };
            assert_eq!(joined(&[&long, "", "yz"]), expected);
        }
        assert_eq!(joined(&["a\n"]), "");
        assert_eq!(number(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn values_are_cut_where_they_end() {
        let mut values = HeaderValues::new();
        let ends = [
            values.text("a=").number(-12).end(),
            values.text("").end(),
            values.text("b\r\n").end(),
            values.text("c").end(),
            values.text(&"d".repeat(ROOM)).end(),
            values.text("e").end(),
        ];
        assert_eq!(values.cut(ends), ["a=-12", "", "", "c", "", ""]);
    }
}
