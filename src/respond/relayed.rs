//! A registry's own answer to what was relayed.
//!
//! Owns what this proxy adds to it: how it came about, and that nobody keeps it. Must not know what was asked.

use std::io;

use futures_util::StreamExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};

use super::{Body, Response, cache_status};
use crate::cache::Outcome;
use crate::relay::{Answer, Content};

/// Hands on `answer`, to a HEAD without its content.
#[must_use]
pub fn relayed(answer: Answer, head: bool) -> Response {
    let Answer { status, headers, content } = answer;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    cache_status(headers, Outcome::Relayed { status: Some(status.as_u16()) });
    let (length, body) = match content {
        Content::Whole(bytes) => (Some(bytes.len() as u64), Body::whole(bytes)),
        Content::Coming { length, pieces } => {
            let pieces = pieces.map(|piece| piece.map_err(io::Error::other)).boxed();
            (length, Body::pieces(length, pieces))
        }
    };
    let may_have_content = !status.is_informational() && status != 204 && status != 304;
    if let Some(length) = length.filter(|_| may_have_content) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !head && may_have_content {
        *response.body_mut() = body;
    }
    response
}
