//! Requests that are relayed: writes of Agent Volumes, and everything below the mount of another API.
//!
//! Owns how such a request is handed to `relay`, and its answer to `respond` and to the audit record. Must not know which checks it passes.

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use http_body::Body;

use super::{IncomingRequest, Pipeline};
use crate::audit_record::{Actor, AuditAction, AuditEntry, PendingEntry};
use crate::base::BaseError;
use crate::domain::Change;
use crate::limit::Client;
use crate::read::FetchContext;
use crate::relay::{self, AnyBody, ClientBody, Nullspace};
use crate::respond::{self, ErrorResponse, Response, ResponseContext};

/// A request below a relay's mount.
#[derive(Clone, Copy)]
pub(super) struct Mounted<'a> {
    relay: &'a Nullspace,
    /// The rest of the path, beginning with a slash.
    path: &'a str,
}

impl Mounted<'_> {
    /// The name in metrics and logs.
    pub(super) const LABEL: &'static str = "nullspace";
}

impl Pipeline {
    /// The relay that `path` lies below, if it lies below one.
    pub(super) fn mounted<'a>(&'a self, path: &'a str) -> Option<Mounted<'a>> {
        self.relays.iter().find_map(|relay| Some(Mounted { relay, path: relay.below(path)? }))
    }

    /// Relays a write of Agent Volumes.
    pub(super) async fn change(
        &self,
        change: &Change,
        request: &IncomingRequest,
        body: AnyBody,
        asked: ResponseContext<'_>,
        context: FetchContext<'_>,
    ) -> Response {
        let base = asked.base.concat();
        let relayed = relay_request(request, request.uri.path(), &base, context);
        let pending = self.pending(change.as_str(), change.about(), request, context);
        let response = match self.volumes.answer(change, relayed, self.body(body)).await {
            Ok(answer) => respond::relayed(answer, asked.head),
            Err(refused) => respond::problem(&ErrorResponse::from(&refused), asked),
        };
        pending.ended(response.status().as_u16()).await;
        response
    }

    /// The entry of a write in the audit record, whatever becomes of it.
    fn pending(
        &self,
        what: &'static str,
        about: Option<String>,
        request: &IncomingRequest,
        context: FetchContext<'_>,
    ) -> PendingEntry<'_> {
        let who = actor(context.client, &request.headers);
        let from = self.limiter.origin(request.peer, &request.headers);
        let entry = AuditEntry::new(AuditAction::Named(what), &who, from).with("request_id", context.id);
        self.audit_record.pending(match about {
            Some(about) => entry.with("about", about),
            None => entry,
        })
    }

    /// Answers a request below a mount. Its answer has no links, so the request needs no host.
    pub(super) async fn answer_mounted(
        &self,
        mounted: Mounted<'_>,
        request: &IncomingRequest,
        tls: bool,
        body: AnyBody,
        context: FetchContext<'_>,
    ) -> Response {
        let base = self.base.of(&request.uri, &request.headers, (request.version, tls));
        if let Err(error @ BaseError::Misdirected) = base {
            return respond::nullspace(&ErrorResponse::from(error), context.id);
        }
        let relayed = relay_request(request, mounted.path, "", context);
        let pending = (!request.method.is_safe()).then(|| {
            let about = format!("{} {}", request.method, request.uri.path());
            self.pending(Mounted::LABEL, Some(about), request, context)
        });
        let response = match mounted.relay.answer(relayed, self.body(body)).await {
            Ok(answer) => respond::relayed(answer, request.method == Method::HEAD),
            Err(refused) => respond::nullspace(&ErrorResponse::from(&refused), context.id),
        };
        if let Some(pending) = pending {
            pending.ended(response.status().as_u16()).await;
        }
        response
    }

    /// The client's body, with the patience that every upload gets.
    fn body(&self, body: AnyBody) -> ClientBody {
        let announced = body.size_hint().exact();
        ClientBody::new(body, announced, self.services.sizes().patience)
    }
}

fn relay_request<'a>(
    request: &'a IncomingRequest,
    path: &'a str,
    base: &'a str,
    context: FetchContext<'a>,
) -> relay::RelayRequest<'a> {
    let IncomingRequest { method, uri, headers, .. } = request;
    relay::RelayRequest { method, path, query: uri.query(), headers, base, context }
}

/// Who sent a request, for the audit record.
pub(super) fn actor(client: Option<&Client>, headers: &HeaderMap) -> Actor {
    match client.and_then(Client::holder) {
        Some(holder) => Actor::Holder(holder.name().to_owned()),
        None if headers.contains_key(AUTHORIZATION) => Actor::UnknownCredential,
        None => Actor::Anonymous,
    }
}
