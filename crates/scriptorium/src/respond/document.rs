//! The response of a document.
//!
//! Owns its headers, and which content coding is sent. Must not know where the document came from.

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
use super::{Body, MOST_HEADERS, Response, ResponseContext, freshness, number};
use crate::read::content::DocumentContent;
use crate::read::document::Document;
use crate::read::rendition::{BodyCoding, Rendition};
use crate::read::{CachedAnswer, LongRead};

/// Answers with a document, or with the registry's refusal. A long one is sent by a `reading` of it.
pub(crate) fn document(
    answer: &CachedAnswer,
    reading: Option<Arc<LongRead>>,
    asked: ResponseContext<'_>,
) -> Response {
    let mut response = match &*answer.document.content {
        DocumentContent::Found(found) => {
            found_document(&answer.document, &found.rendition(asked.base), reading, asked)
        }
        DocumentContent::Refused { problem, .. } => bare(problem, asked),
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
    reading: Option<Arc<LongRead>>,
    asked: ResponseContext<'_>,
) -> Response {
    let accepted = Accepted::of(asked.headers);
    let sent = SentRepresentation::choose(document, rendition, accepted);
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
        // `Content-Length` is added by the server, from the body.
        *response.body_mut() = sent.body(reading);
    }
    response
}

/// The representation of a rendition that is sent.
struct SentRepresentation<'a> {
    coding: Option<BodyCoding>,
    rendition: &'a Rendition,
    /// The body, if it is in memory as a whole; otherwise it is made while it is sent.
    whole: Option<&'a Bytes>,
    etag: &'a HeaderValue,
}

impl<'a> SentRepresentation<'a> {
    /// In the coding that the client prefers among those that are made, else plain.
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

    fn body(&self, reading: Option<Arc<LongRead>>) -> Body {
        let length = Some(self.length() as u64);
        match (reading, self.whole) {
            (Some(reading), whole) => Body::pieces(length, reading.send(self.rendition, whole)),
            (None, Some(whole)) => Body::whole(whole.clone()),
            (None, None) => Body::pieces(length, stream::iter(self.rendition.pieces().map(Ok)).boxed()),
        }
    }
}

/// The entity tag that the client holds, if it is of this document in a coding that the client accepts. That need not
/// be the one that would be sent: it may have got it before a restart, or before the coding was made.
fn held<'a>(
    rendition: &'a Rendition,
    sent: &SentRepresentation<'a>,
    accepted: Accepted,
    asked: ResponseContext<'_>,
) -> Option<&'a HeaderValue> {
    if !asked.headers.contains_key(IF_NONE_MATCH) {
        return None;
    }
    let others = accepted.preferred().filter_map(|coding| rendition.etag_in(coding));
    let mut tags = std::iter::once(sent.etag).chain(others).chain([&rendition.etag]);
    tags.find(|etag| holds_current(asked.headers, etag))
}
