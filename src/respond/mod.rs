//! Outcomes become responses: status, headers, body.
//!
//! Owns every header this proxy sends and the table from failures to problem documents. Must not decide what
//! is answered, nor know how a connection is served.

mod body;
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

use crate::cache::Answer;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

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
    headers.insert(http::header::AGE, HeaderValue::from(answer.age));
    let mut digits = itoa::Buffer::new();
    let left = digits.format(answer.ttl.max(0));
    headers.insert(CACHE_CONTROL, text(&["public, max-age=", left].concat()));
}

/// A header value of text made here, which never holds a control character.
fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
}
