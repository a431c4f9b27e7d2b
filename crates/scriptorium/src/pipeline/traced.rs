//! The span of a request: from its head to the answer's.
//!
//! Owns what the span says before the request is answered (`account` says the rest). Only requests that are traced come here. Must
//! not know how one is answered.

use tracing::Instrument;
use tracing::field::Empty;

use super::account::logged;
use super::{IncomingRequest, Pipeline};
use crate::relay::AnyBody;
use crate::respond::Response;
use crate::spans::{self, short, span};

impl Pipeline {
    /// Answers a request within a span.
    pub(crate) async fn answer_traced(&self, request: &IncomingRequest, body: AnyBody) -> Response {
        let span = span!(
            "request",
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = request.method.as_str(),
            url.path = short(logged(request.uri.path())),
            http.response.status_code = Empty,
            scriptorium.cache = Empty,
            scriptorium.request_id = Empty,
        );
        let is_trusted = request.peer.is_some_and(|peer| self.limiter.trusts(peer.ip().to_canonical()));
        spans::follow(&span, &request.headers, is_trusted);
        self.answer(request, body).instrument(span).await
    }
}
