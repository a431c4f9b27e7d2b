//! The plain way: a request as it is, and what is asked of the registry beside it.
//!
//! Owns how anything is sent to this registry. Must not know what it means.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Nullspace;
use crate::intake::Received;
use crate::relay::forward::{self, Passing};
use crate::relay::upload::{self, Destination};
use crate::relay::{Answer, BodyError, ClientBody, Refused, Request};
use crate::upstream::{OutgoingBody, Relayed, Target, Write, WriteBody};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which fields pass, both ways.
pub(super) const PASSING: Passing = Passing::AllButOurs;

/// Path and query, as they are sent.
pub(super) fn target(request: &Request<'_>) -> String {
    match request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.to_owned(),
    }
}

/// The request's header fields that go on, asking for an answer that can be read here.
pub(super) fn readable(headers: &HeaderMap) -> HeaderMap {
    let mut headers = forward::onward(headers, PASSING);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Content is checked as it comes, so a registry that decodes it would get something else.
pub(super) fn uncoded(headers: &HeaderMap) -> Result<(), super::Refused> {
    let mut codings = headers.get_all(CONTENT_ENCODING).into_iter();
    let plain = codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(super::Refused::Coded) }
}

/// Clients of this API come again after a 429, and after nothing else.
pub(super) fn patiently(refused: Refused) -> Refused {
    match refused {
        Refused::Busy => super::Refused::Busy.into(),
        refused => refused,
    }
}

impl Nullspace {
    /// Relays a request that is not understood, its body as it comes, once.
    pub(super) async fn pass(&self, request: Request<'_>, body: ClientBody) -> Result<Answer, Refused> {
        let limit = self.ground.sizes().max_body;
        body.fits(limit)?;
        let fault = Arc::new(Mutex::new(None));
        let body = if body.is_empty() { OutgoingBody::Empty } else { outgoing(body, limit, &fault) };
        let write = Write {
            resource: "nullspace",
            method: request.method.clone(),
            target: Target::Path(&target(&request)),
            headers: forward::onward(request.headers, PASSING),
            body: WriteBody::Once(body),
            errand: request.errand,
        };
        match self.upstream.relay(write).await {
            Ok(relayed) => Ok(forward::coming(relayed, PASSING)),
            // The client's body is to blame, not the registry.
            Err(why) => Err(fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .map_or_else(|| why.into(), Refused::Body)),
        }
    }

    /// A client's document, to be understood here.
    pub(super) async fn document(&self, request: &Request<'_>, body: ClientBody) -> Result<Bytes, Refused> {
        let limit = self.ground.sizes().max_document;
        self.ground.room.whole(&request.client(), body, limit).await.map_err(patiently)
    }

    /// Relays a request with a body that was read; again after a lost answer, if it carries a key.
    pub(super) async fn pass_whole(
        &self,
        resource: &'static str,
        request: &Request<'_>,
        body: &Bytes,
    ) -> Result<Relayed, Refused> {
        let headers = readable(request.headers);
        // As it is sent: a client may have declared it to be the connection's.
        let keyed = headers.contains_key(IDEMPOTENCY_KEY);
        let target = target(request);
        let destination = self.destination(resource, request, &target, headers, keyed);
        Ok(upload::send_document(destination, body).await?)
    }

    /// Sends on what was taken in, again after a lost answer.
    pub(super) async fn send_on(
        &self,
        resource: &'static str,
        request: &Request<'_>,
        received: &Received,
    ) -> Result<Relayed, Refused> {
        let (target, headers) = (target(request), forward::onward(request.headers, PASSING));
        upload::send_on(self.destination(resource, request, &target, headers, true), received).await
    }

    fn destination<'a>(
        &'a self,
        resource: &'static str,
        request: &Request<'a>,
        target: &'a str,
        headers: HeaderMap,
        repeatable: bool,
    ) -> Destination<'a> {
        let (method, target) = (request.method.clone(), Target::Path(target));
        let (upstream, errand) = (&*self.upstream, request.errand);
        Destination { upstream, resource, method, target, headers, repeatable, errand }
    }

    /// Asks for the document at `path` with the credential of `request`, and reads it whole.
    pub(super) async fn ask(
        &self,
        resource: &'static str,
        path: &str,
        request: &Request<'_>,
    ) -> Result<(Answer, Bytes), Refused> {
        let kept = |name: &HeaderName| request.headers.get(name).map(|value| (name.clone(), value.clone()));
        let mut headers: HeaderMap = [AUTHORIZATION, USER_AGENT].iter().filter_map(kept).collect();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let write = Write {
            resource,
            method: Method::GET,
            target: Target::Path(path),
            headers,
            body: WriteBody::Again(&|| OutgoingBody::Empty),
            errand: request.errand,
        };
        let relayed = self.upstream.relay(write).await?;
        Ok(forward::whole(relayed, PASSING, self.ground.sizes().max_document).await?)
    }
}

/// What a client sends, to be sent on; why it broke off is left in `fault`.
fn outgoing(body: ClientBody, limit: u64, fault: &Arc<Mutex<Option<BodyError>>>) -> OutgoingBody {
    let (length, fault) = (body.announced(), Arc::clone(fault));
    let told = move |error: BodyError| {
        *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(error)
    };
    OutgoingBody::Stream { length, pieces: body.pieces(limit).map_err(told).boxed() }
}
