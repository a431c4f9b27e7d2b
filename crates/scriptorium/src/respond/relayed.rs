//! A registry's answer to a relayed request.
//!
//! Owns what this proxy adds to it: how it came about, and that it is not cached. Must not know what was asked.

use std::io;

use futures_util::StreamExt;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};

use super::{Body, Response, cache_status};
use crate::read::Outcome;
use crate::relay::{RelayedAnswer, RelayedContent};

/// Passes `answer` on, without its content for HEAD.
pub(crate) fn relayed(answer: RelayedAnswer, head: bool) -> Response {
    let RelayedAnswer { status, headers, content } = answer;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    cache_status(headers, Outcome::Relayed { status: Some(status.as_u16()) });
    let (length, body) = match content {
        RelayedContent::Whole(bytes) => (Some(bytes.len() as u64), Body::whole(bytes)),
        RelayedContent::Streamed { length, pieces } => {
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
