//! Outcomes become responses: status, headers, body.
//!
//! Owns every header this proxy sends and the table from failures to problem documents. Must not decide what
//! is answered, nor know how a connection is served.

mod body;
mod coding;
mod conditional;
mod document;
mod error;
mod file;
mod range;
mod rate_limit;

pub use body::Body;
pub use document::document;
pub use error::{Refusal, bad_request, problem, storage_failed};
pub use file::{Part, file, plan};
pub use rate_limit::rate_limit;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderName};

use crate::cache::{Answer, Outcome};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Headers of most answers; room for them is taken at once.
const MOST_HEADERS: usize = 12;

/// Longer than any header value that is made here.
const LONGEST: usize = 96;

/// A response with one of this proxy's bodies.
pub type Response = http::Response<Body>;

/// What a response must know of the request it answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// HEAD: the same headers, no body.
    pub head: bool,
    /// The request's headers, for conditions and ranges.
    pub headers: &'a http::HeaderMap,
    /// Where the client reaches this proxy, in two parts and without a slash at the end.
    pub base: [&'a str; 2],
    /// The request's path, the `instance` of a problem.
    pub path: &'a str,
}

/// `Age` and `Cache-Control`, as honest as the answer is old.
fn freshness(headers: &mut http::HeaderMap, answer: &Answer) {
    headers.insert(http::header::AGE, number(answer.age));
    headers.insert(CACHE_CONTROL, Value::of("public, max-age=").number(answer.ttl.max(0)).end());
}

/// `Cache-Status`: how an answer came about.
fn cache_status(headers: &mut http::HeaderMap, outcome: Outcome) {
    headers.insert(CACHE_STATUS, joined(&outcome.words(&mut itoa::Buffer::new())));
}

/// A header value that is a number.
fn number(value: u64) -> HeaderValue {
    Value::of("").number(value).end()
}

/// A header value of text made here, which never holds a control character.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}

/// The same of several parts.
fn joined(parts: &[&str]) -> HeaderValue {
    parts.iter().fold(Value::of(""), |value, part| value.text(part)).end()
}

/// A header value that is put together without the heap. One that grows longer than any should is empty.
struct Value {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Value {
    #[inline]
    fn of(text: &'static str) -> Self {
        Self { bytes: [0; LONGEST], length: 0 }.text(text)
    }

    #[inline]
    fn text(mut self, text: &str) -> Self {
        let end = self.length + text.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(text.as_bytes());
        }
        self.length = end;
        self
    }

    #[inline]
    fn number(self, number: impl itoa::Integer) -> Self {
        self.text(itoa::Buffer::new().format(number))
    }

    fn end(self) -> HeaderValue {
        let value = self.bytes.get(..self.length).unwrap_or_default();
        HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_parts() {
        assert_eq!(Value::of("a=").number(-12).text("; b").end(), "a=-12; b");
        for length in [0, 1, LONGEST - 2, LONGEST - 1, LONGEST, 3 * LONGEST] {
            let long = "x".repeat(length);
            let expected = if length + 2 > LONGEST { String::new() } else { long.clone() + "yz" };
            assert_eq!(joined(&[&long, "", "yz"]), expected);
        }
        assert_eq!(joined(&["a\n"]), "");
    }
}
