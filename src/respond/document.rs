//! A document's response: the whole of what a hit on a document sends.
//!
//! Owns its headers. Must not know where the document came from.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderValue, StatusCode};

use super::conditional::holds_current;
use super::error::Refusal;
use super::{Asked, Body, Response, cache_status, freshness, number, problem};
use crate::cache::Answer;
use crate::cache::document::Content;

/// Answers with a document, or with the registry's refusal.
#[must_use]
pub fn document(answer: &Answer, asked: Asked<'_>) -> Response {
    let mut response = match &*answer.document.content {
        Content::Found(found) => {
            let rendition = found.rendition(asked.base);
            let mut response = Response::new(Body::Empty);
            response.headers_mut().reserve(9);
            response.headers_mut().insert(ETAG, rendition.etag.clone());
            if holds_current(asked.headers, &rendition.etag) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            } else {
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CONTENT_LENGTH, number(rendition.body.len() as u64));
                if !asked.head {
                    *response.body_mut() = Body::Full(rendition.body.clone());
                }
            }
            response
        }
        Content::Refused { problem: refused, .. } => problem(&Refusal::from(refused.clone()), asked),
    };
    freshness(response.headers_mut(), answer);
    cache_status(response.headers_mut(), answer.outcome);
    response
}
