//! How requests are sent to this registry, and how documents are fetched from it.
//!
//! Owns which fields and bodies are sent, and which requests are repeated. Must not know what a request means.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::Mutex;

use super::Nullspace;
use crate::intake::Received;
use crate::relay::forward::{self, IDEMPOTENCY_KEY, PassedFields};
use crate::relay::upload;
use crate::relay::{BodyError, ClientBody, RelayRequest, RelayedAnswer, WriteRefusal};
use crate::upstream::{OutgoingBody, Relayed, Target, WriteBody, WriteRequest};

/// The fields that are passed on, of requests and answers.
pub(super) const PASSED: PassedFields = PassedFields::AllButHop;

/// Path and query of a request.
fn target(request: &RelayRequest<'_>) -> String {
    match request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.to_owned(),
    }
}

impl Nullspace {
    /// Relays a request that is not checked. Its body is sent while it arrives, and at most once.
    pub(super) async fn pass(
        &self,
        request: RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<RelayedAnswer, WriteRefusal> {
        let limit = self.services.sizes().max_body;
        body.fits(limit)?;
        let fault = Arc::new(Mutex::new(None));
        let body = if body.is_empty() { OutgoingBody::Empty } else { outgoing(body, limit, &fault) };
        let headers = forward::request(request.headers, PASSED);
        match self.send("nullspace", &request, headers, WriteBody::Once(body)).await {
            Ok(relayed) => Ok(forward::streamed(relayed, PASSED)),
            // The client's body is at fault, not the registry.
            Err(error) => Err(fault.lock().take().map_or(error, WriteRefusal::Body)),
        }
    }

    /// A client's document, read whole.
    pub(super) async fn read_document(
        &self,
        request: &RelayRequest<'_>,
        body: ClientBody,
    ) -> Result<Bytes, WriteRefusal> {
        let limit = self.services.sizes().max_document;
        self.services.body_memory.whole(&request.client(), body, limit).await
    }

    /// Relays a request with a document that was read. It is repeated after a lost answer if it carries a key.
    pub(super) async fn send_document(
        &self,
        resource: &'static str,
        request: &RelayRequest<'_>,
        document: &Bytes,
    ) -> Result<Relayed, WriteRefusal> {
        let headers = forward::uncoded_request(request.headers, PASSED);
        // Read from the fields that are sent: a `Connection` field can name the key, which then ends here.
        let repeatable = headers.contains_key(IDEMPOTENCY_KEY);
        let content = || OutgoingBody::from(document);
        self.send(resource, request, headers, WriteBody::new(repeatable, &content)).await
    }

    /// Sends an upload that was checked. It is repeated after a lost answer.
    pub(super) async fn send_upload(
        &self,
        resource: &'static str,
        request: &RelayRequest<'_>,
        received: &Received,
    ) -> Result<Relayed, WriteRefusal> {
        let headers = forward::request(request.headers, PASSED);
        let content = || upload::outgoing(received);
        self.send(resource, request, headers, WriteBody::Again(&content)).await
    }

    async fn send(
        &self,
        resource: &'static str,
        request: &RelayRequest<'_>,
        headers: HeaderMap,
        body: WriteBody<'_>,
    ) -> Result<Relayed, WriteRefusal> {
        let (target, method, context) = (target(request), request.method.clone(), request.context);
        let target = Target::Path(&target);
        let write = WriteRequest { resource, method, target, headers, body, context };
        Ok(self.upstream.relay(write).await?)
    }

    /// Fetches the document at `path` with the credential of `request`.
    pub(super) async fn fetch(
        &self,
        resource: &'static str,
        path: &str,
        request: &RelayRequest<'_>,
    ) -> Result<(RelayedAnswer, Bytes), WriteRefusal> {
        let sent = |name: &HeaderName| request.headers.get(name).map(|value| (name.clone(), value.clone()));
        let mut headers: HeaderMap = [AUTHORIZATION, USER_AGENT].iter().filter_map(sent).collect();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let write = WriteRequest {
            resource,
            method: Method::GET,
            target: Target::Path(path),
            headers,
            body: WriteBody::Again(&|| OutgoingBody::Empty),
            context: request.context,
        };
        let relayed = self.upstream.relay(write).await?;
        Ok(forward::whole(relayed, PASSED, self.services.sizes().max_document).await?)
    }
}

/// A client's body, sent while it arrives. If it is incomplete, the reason is left in `fault`.
fn outgoing(body: ClientBody, limit: u64, fault: &Arc<Mutex<Option<BodyError>>>) -> OutgoingBody {
    let (length, fault) = (body.announced(), Arc::clone(fault));
    let note = move |error: BodyError| {
        *fault.lock() = Some(error);
        io::Error::other(error)
    };
    OutgoingBody::Stream { length, pieces: body.pieces(limit).map_err(note).boxed() }
}
