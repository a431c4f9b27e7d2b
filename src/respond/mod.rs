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

/// Longer than any header value that a hit is given.
const SHORT: usize = 96;

/// A response with one of this proxy's bodies.
pub type Response = http::Response<Body>;

/// What a response must know of the request it answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// HEAD: the same headers, no body.
    pub head: bool,
    /// The request's headers, for conditions and ranges.
    pub headers: &'a http::HeaderMap,
    /// Where the client reaches this proxy, without a slash at the end.
    pub base: &'a str,
    /// The request's path, the `instance` of a problem.
    pub path: &'a str,
}

/// `Age` and `Cache-Control`, as honest as the answer is old.
fn freshness(headers: &mut http::HeaderMap, answer: &Answer) {
    headers.insert(http::header::AGE, number(answer.age));
    let mut digits = itoa::Buffer::new();
    headers.insert(CACHE_CONTROL, joined(&["public, max-age=", digits.format(answer.ttl.max(0))]));
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

/// The same of several parts, put together without the heap while it is short.
fn joined(parts: &[&str]) -> HeaderValue {
    let (mut short, mut length) = ([0; SHORT], 0);
    for part in parts {
        let Some(room) = short.get_mut(length..length + part.len()) else { return text(&parts.concat()) };
        room.copy_from_slice(part.as_bytes());
        length += part.len();
    }
    HeaderValue::from_bytes(&short[..length]).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_parts_however_long() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 3 * SHORT] {
            let long = "x".repeat(length);
            assert_eq!(joined(&[&long, "", "yz"]).to_str().unwrap(), long + "yz");
        }
        assert_eq!(joined(&["a\n"]), "");
    }
}
