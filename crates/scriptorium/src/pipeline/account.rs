//! A request's id, its metric, its record in the access log, and what its span says.
//!
//! Owns the request's id and the record. Must not know how a request is answered.

use data_encoding::HEXLOWER;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::Span;

use super::policy::PolicyMark;
use super::{IncomingRequest, Pipeline};
use crate::limit::{Client, RateDecision};
use crate::spans;
use crate::telemetry::{AccessClient, AccessRecord};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How a request was answered.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) route: &'static str,
    pub(super) status: StatusCode,
    pub(super) request_id: &'a str,
    /// The `Cache-Status`.
    pub(super) cache: &'a HeaderValue,
    /// What the operator's policy says against the release.
    pub(super) policy: Option<&'a PolicyMark>,
}

impl Pipeline {
    /// Counts and logs a request that was answered.
    pub(super) fn account(
        &self,
        request: &IncomingRequest,
        admission: &RateDecision,
        answered: Answered<'_>,
    ) {
        let Answered { route, status, request_id, cache, policy } = answered;
        let took = self.clock.monotonic().saturating_sub(admission.at);
        let (status, class) = (status.as_u16(), admission.class.as_str());
        self.metrics.request(route, class, status, took);
        if let Some(mark) = policy {
            self.account_policy(request, admission, request_id, mark);
        }
        let finding = policy.and_then(|mark| mark.finding.as_ref());
        let client = match &admission.client {
            Client::Address(address) => AccessClient::Address(*address),
            Client::Token(holder) => AccessClient::Name(holder.name()),
            Client::Unknown => AccessClient::Name("unknown"),
        };
        let trace_id = if self.access.is_traced() { note_in_span(&answered) } else { None };
        let access = AccessRecord {
            request_id,
            peer: request.peer,
            class,
            client,
            method: request.method.as_str(),
            path: logged(request.uri.path()),
            status,
            cache: cache.to_str().ok(),
            policy: finding.map(|finding| &*finding.rule),
            trace_id: trace_id.as_deref(),
            took,
        };
        self.access.write(&access, self.clock.now());
    }
}

/// Says in the current span how its request was answered. Returns the id of the trace.
fn note_in_span(answered: &Answered<'_>) -> Option<String> {
    let Answered { route, status, request_id, cache, .. } = *answered;
    let span = Span::current();
    spans::rename(route);
    span.record("scriptorium.request_id", request_id);
    span.record("http.response.status_code", status.as_u16());
    if let Ok(cache) = cache.to_str() {
        span.record("scriptorium.cache", cache);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "error");
    }
    spans::trace_id()
}

/// A path as it may be logged. That of an upload is secret: with it, only a token is needed to use the upload.
pub(super) fn logged(path: &str) -> &str {
    const UPLOADS: &str = "/uploads/";
    if path.starts_with(UPLOADS) { UPLOADS } else { path }
}

/// The client's request id when it is 1 to 128 visible ASCII characters, a random one otherwise.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    });
    given.cloned().unwrap_or_else(|| {
        let mut id = [0; 32];
        HEXLOWER.encode_mut(&fastrand::u128(..).to_be_bytes(), &mut id);
        let mut id = HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("none"));
        // It is never sent again, so it takes no place in the header table of an HTTP/2 connection.
        id.set_sensitive(true);
        id
    })
}
