//! One prepared answer: status, media type, exact bytes and their validator.
//!
//! Owns the headers of an answer and the conditional request. Must not know routes.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::domain::{Problem, Sha256};

/// What a route answers, byte for byte. Cloning shares the bytes.
#[derive(Clone)]
pub(super) struct Answer {
    status: StatusCode,
    media_type: &'static str,
    body: Bytes,
    etag: Option<HeaderValue>,
}

impl Answer {
    /// A 200 with these bytes and a strong validator made of their digest.
    pub(super) fn bytes(media_type: &'static str, body: Bytes) -> Self {
        let etag = HeaderValue::try_from(format!("\"{}\"", Sha256::of(&body).hex())).ok();
        Self { status: StatusCode::OK, media_type, body, etag }
    }

    /// A 200 with this document.
    pub(super) fn document(document: &Value) -> Self {
        Self::bytes("application/json", document.to_string().into())
    }

    /// The problem document for a request to `instance`.
    pub(super) fn problem(problem: &Problem, instance: &str) -> Self {
        Self {
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            media_type: "application/problem+json",
            body: problem.to_json(instance).into(),
            etag: None,
        }
    }

    /// The response to a request with these headers: 304 where the client holds the same bytes already.
    pub(super) fn respond(self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let unchanged = self.etag.as_ref().is_some_and(|etag| holds(request, etag));
        *response.status_mut() = if unchanged { StatusCode::NOT_MODIFIED } else { self.status };
        let headers = response.headers_mut();
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(etag) = self.etag {
            headers.insert(ETAG, etag);
        }
        if !unchanged {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            headers.insert(CONTENT_LENGTH, self.body.len().into());
            *response.body_mut() = Full::new(self.body);
        }
        response
    }
}

/// Whether `If-None-Match` names `etag`, compared weakly as RFC 9110, section 13.1.2 asks.
fn holds(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
