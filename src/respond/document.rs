//! A document's response: the whole of what a hit on a document sends.
//!
//! Owns its headers, and which coding of it is sent. Must not know where the document came from.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderValue, StatusCode};

use super::coding::Accepted;
use super::conditional::holds_current;
use super::error::bare;
use super::{Asked, Body, MOST_HEADERS, Response, freshness, number};
use crate::cache::document::{Content, Document};
use crate::cache::rendition::{Coding, Rendition};
use crate::cache::{Answer, Reading};

/// Answers with a document, or with the registry's refusal. A long one is sent by a `reading` of it.
#[must_use]
pub fn document(answer: &Answer, reading: Option<Arc<Reading>>, asked: Asked<'_>) -> Response {
    let mut response = match &*answer.document.content {
        Content::Found(found) => {
            found_document(&answer.document, &found.rendition(asked.base), reading, asked)
        }
        Content::Refused { problem, .. } => bare(problem, asked),
    };
    let headers = response.headers_mut();
    freshness(headers, answer, answer.outcome);
    if answer.document.meta.keeping.withheld {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn found_document(
    document: &Document,
    rendition: &Arc<Rendition>,
    reading: Option<Arc<Reading>>,
    asked: Asked<'_>,
) -> Response {
    let accepted = Accepted::of(asked.headers);
    let sent = Sent::choose(document, rendition, accepted);
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(MOST_HEADERS);
    if rendition.varies() {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(etag) = held(rendition, &sent, accepted, asked) {
        headers.insert(ETAG, etag.clone());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(ETAG, sent.etag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(coding) = sent.coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    }
    if asked.head {
        headers.insert(CONTENT_LENGTH, number(sent.length() as u64));
    } else {
        // Its length is said by who frames it.
        *response.body_mut() = sent.body(reading);
    }
    response
}

/// What is sent of a rendition.
struct Sent<'a> {
    coding: Option<Coding>,
    rendition: &'a Rendition,
    /// What lies in memory as a whole; the rest is made while it is sent.
    whole: Option<&'a Bytes>,
    etag: &'a HeaderValue,
}

impl<'a> Sent<'a> {
    /// The coding that is wanted most of those that are there, else the plain body.
    fn choose(document: &Document, rendition: &'a Arc<Rendition>, accepted: Accepted) -> Self {
        let coded = accepted.preferred().find_map(|coding| {
            let whole = Some(document.body_in(rendition, coding)?);
            Some(Self { coding: Some(coding), rendition, whole, etag: rendition.etag_in(coding)? })
        });
        let whole = rendition.whole();
        coded.unwrap_or(Self { coding: None, rendition, whole, etag: &rendition.etag })
    }

    fn length(&self) -> usize {
        self.whole.map_or(self.rendition.length, Bytes::len)
    }

    fn body(&self, reading: Option<Arc<Reading>>) -> Body {
        let length = Some(self.length() as u64);
        match (reading, self.whole) {
            (Some(reading), whole) => Body::pieces(length, reading.send(self.rendition, whole)),
            (None, Some(whole)) => Body::whole(whole.clone()),
            (None, None) => Body::pieces(length, stream::iter(self.rendition.pieces().map(Ok)).boxed()),
        }
    }
}

/// The tag of the representation that the client holds and that would do: the one that would be sent, or
/// another of the same document that it takes, as from before a restart or before its coding was made.
fn held<'a>(
    rendition: &'a Rendition,
    sent: &Sent<'a>,
    accepted: Accepted,
    asked: Asked<'_>,
) -> Option<&'a HeaderValue> {
    if !asked.headers.contains_key(IF_NONE_MATCH) {
        return None;
    }
    let others = accepted.preferred().filter_map(|coding| rendition.etag_in(coding));
    let mut tags = std::iter::once(sent.etag).chain(others).chain([&rendition.etag]);
    tags.find(|etag| holds_current(asked.headers, etag))
}
