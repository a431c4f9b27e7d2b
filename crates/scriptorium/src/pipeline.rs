//! The order of a request. Read this first.
//!
//! ```text
//! 1. identify   the client's request id, or a new one                             (pipeline::account)
//! 2. limit      whether the client asks too often, and a slot for its request     (limit)
//! 3. route      method and path become a question that cannot be malformed        (route)
//! 4. base       where the client reaches this proxy, for links; or 421            (base)
//! 5. access     where not everybody may read: 401, 403, or what the client may read  (pipeline::guarded, access)
//! 6. answer     a document: memory, store or registry, by the freshness rules     (cache)
//!               a file: the document that permits it, then its bytes              (files)
//!               a write: verified here, then the registry's own answer            (relay)
//! 7. respond    status, headers, body; every failure through one table            (respond)
//! 8. account    one metric and one log record; the request's span, if there is one  (pipeline::account)
//! ```
//! A request below the mount of another API goes from 2 to that API and comes back at 7 (`pipeline::writes`).
//!
//! Owns that order and nothing else: the rules of each stage live in its room.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::audit_record::AuditRecord;
use crate::base::{Base, BaseError, BaseUrl};
use crate::clock::Clock;
use crate::domain::{DocumentKey, FileKey};
use crate::files::{PermittedFile, SealedFiles};
use crate::limit::{Client, Limiter, RateDecision};
use crate::limit::{InFlight, InFlightExceeded, InFlightSlot};
use crate::policies::PolicyRefusal;
use crate::read::directives::only_if_cached;
use crate::read::{CachedAnswer, Documents, ReadFailure};
use crate::relay::{AnyBody, Nullspace, RelayServices, Volumes};
use crate::respond::{self, Body, ErrorResponse, FilePart, Response, ResponseContext};
use crate::route::{self, ApiRoute};
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::FetchContext;

mod account;
mod guarded;
mod policy;
mod traced;
mod writes;

use account::{Answered, REQUEST_ID};
use policy::PolicyMark;
use writes::Mounted;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct IncomingRequest {
    pub method: Method,
    /// Path and query; for HTTP/2 the authority too.
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Why nothing of a file is sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error(transparent)]
    Failed(#[from] ReadFailure),
    #[error(transparent)]
    Crowded(#[from] InFlightExceeded),
}

/// A file that is being sent, or why it is not.
type SentFile = Result<(PermittedFile, FilePart, Body), Unsent>;

/// The rooms that a request passes.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) documents: Arc<Documents>,
    pub(crate) files: Arc<SealedFiles>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) services: Arc<RelayServices>,
    /// The writes of Agent Volumes.
    pub(crate) volumes: Volumes,
    /// Other APIs, each below its mount.
    pub(crate) relays: Vec<Nullspace>,
    pub(crate) base: BaseUrl,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access: AccessLog,
    pub(crate) audit_record: Arc<AuditRecord>,
}

impl Pipeline {
    /// Answers one request of the public port. Its `body` is read for writes alone.
    pub(crate) async fn answer(&self, request: &IncomingRequest, body: AnyBody) -> Response {
        let request_id = account::request_id(&request.headers);
        let mut admission = self.limiter.admit(request.peer, &request.headers);
        if admission.is_unsettled() {
            admission = Box::pin(self.limiter.admit_settled(request.peer, &request.headers)).await;
        }
        let slot = self.enter(&admission);
        let id = request_id.to_str().unwrap_or_default();
        let context = FetchContext::foreground(id).of(&admission.client);
        let tls = admission.tls.unwrap_or(request.tls);
        let (route, mut response) = match (&slot, self.mounted(request.uri.path())) {
            (Ok(_), None) => self.answer_routed(request, tls, body, context).await,
            (Ok(_), Some(mounted)) => {
                (Mounted::LABEL, Box::pin(self.answer_mounted(mounted, request, tls, body, context)).await)
            }
            (Err(refusal), None) => ("none", respond::problem(refusal, asked(request, ["", ""]))),
            (Err(refusal), Some(_)) => (Mounted::LABEL, respond::nullspace(refusal, id)),
        };
        if let Ok(slot) = slot {
            response = response.map(|body| body.holding(slot));
        }
        let status = response.status();
        let policy = response.extensions_mut().remove::<PolicyMark>();
        let headers = response.headers_mut();
        let cache = respond::common(headers, &admission);
        let policy = policy.as_ref();
        self.account(request, &admission, Answered { route, status, request_id: id, cache, policy });
        headers.insert(REQUEST_ID, request_id);
        response
    }

    /// Stage 2. Lets a client in that has not asked too often, where neither it nor this proxy has too much under way.
    fn enter(&self, admission: &RateDecision) -> Result<InFlightSlot, Box<ErrorResponse>> {
        let entered = match &admission.verdict {
            Err(too_often) => Err(ErrorResponse::from(too_often)),
            Ok(_) => self.in_flight.request(&admission.client).map_err(ErrorResponse::from),
        };
        entered.map_err(|refusal| {
            if refusal.problem.status == StatusCode::TOO_MANY_REQUESTS {
                self.metrics.rate_limited(admission.class.as_str());
            }
            Box::new(refusal)
        })
    }

    /// Stages 3 to 7. Names the route, for metrics and the log.
    async fn answer_routed(
        &self,
        request: &IncomingRequest,
        tls: bool,
        body: AnyBody,
        context: FetchContext<'_>,
    ) -> (&'static str, Response) {
        let routed = route::parse(&request.method, request.uri.path(), request.uri.query());
        let base = self.base.of(&request.uri, &request.headers, (request.version, tls));
        let asked = asked(request, base.as_ref().map_or(["", ""], Base::parts));
        let context = context.held_only(only_if_cached(&request.headers));
        let access = self.documents.access_mark();
        // All but a document is boxed: the future of a hit is moved about, and as large as its largest branch.
        let response = match (&routed, &base) {
            (_, Err(error @ BaseError::Misdirected)) | (Ok(_), Err(error @ BaseError::NoHost)) => {
                respond::problem(&ErrorResponse::from(*error), asked)
            }
            (Err(error), _) => respond::problem(&ErrorResponse::from(error), asked),
            (Ok(ApiRoute::Change(change)), Ok(_)) => {
                Box::pin(self.change(change, request, body, asked, context)).await
            }
            (Ok(route), Ok(_)) if access.is_restricted() => {
                Box::pin(self.guarded(route, asked, context)).await
            }
            (Ok(route @ ApiRoute::Document(key)), Ok(_)) => {
                let response = self.document(key, asked, context).await;
                match self.documents.access_mark() == access {
                    true => response,
                    false => Box::pin(self.guarded(route, asked, context)).await,
                }
            }
            (Ok(route @ ApiRoute::File(key)), Ok(_)) => {
                let response = Box::pin(self.file(key, asked, context)).await;
                match self.documents.access_mark() == access {
                    true => response,
                    false => Box::pin(self.guarded(route, asked, context)).await,
                }
            }
        };
        (routed.as_ref().map_or("none", ApiRoute::label), response)
    }

    /// Stages 6 and 7 of a document.
    async fn document(
        &self,
        key: &DocumentKey,
        asked: ResponseContext<'_>,
        context: FetchContext<'_>,
    ) -> Response {
        let answer = self.documents.get(key, context).await;
        self.show_document(key, answer, asked, context)
    }

    fn show_document(
        &self,
        key: &DocumentKey,
        answer: Result<CachedAnswer, ReadFailure>,
        asked: ResponseContext<'_>,
        context: FetchContext<'_>,
    ) -> Response {
        match answer {
            Ok(answer) => {
                self.metrics.cache_lookup(key.resource().as_str(), answer.outcome.label());
                let client = context.client.unwrap_or(&Client::Unknown);
                match self.documents.begin_reading(key, &answer, client) {
                    Ok(reading) => {
                        let response = respond::document(&answer, reading, asked);
                        PolicyMark::on(PolicyMark::of_verdict(&answer.document.verdict), response)
                    }
                    Err(full) => respond::problem(&full.into(), asked),
                }
            }
            Err(failure) => self.refuse(key.resource().as_str(), &failure, asked),
        }
    }

    /// Stages 6 and 7 of a file.
    async fn file(&self, key: &FileKey, asked: ResponseContext<'_>, context: FetchContext<'_>) -> Response {
        let sent = self.sent(key, asked, context).await;
        self.show_file(key, sent, asked)
    }

    async fn sent(&self, key: &FileKey, asked: ResponseContext<'_>, context: FetchContext<'_>) -> SentFile {
        match self.send(key, asked, context).await {
            // The damaged file was replaced before anything of it was sent, so its replacement may be sent.
            Err(Unsent::Failed(ReadFailure::Replaced(_))) => self.send(key, asked, context).await,
            sent => sent,
        }
    }

    fn show_file(&self, key: &FileKey, sent: SentFile, asked: ResponseContext<'_>) -> Response {
        match sent {
            Ok((file, part, body)) => {
                self.metrics.cache_lookup(key.as_str(), file.outcome.label());
                let mark = PolicyMark::of_verdict(&file.gate.document.verdict);
                PolicyMark::on(mark, respond::file(&file, &part, body, asked))
            }
            Err(Unsent::Failed(failure)) => self.refuse(key.as_str(), &failure, asked),
            Err(Unsent::Crowded(crowded)) => respond::problem(&crowded.into(), asked),
        }
    }

    /// Opens a file and begins to read the requested part. A download's slot is taken only once there are bytes to send: a
    /// client that waits for the file, or gets its headers alone, takes none.
    async fn send(&self, key: &FileKey, asked: ResponseContext<'_>, context: FetchContext<'_>) -> SentFile {
        let permitted = self.files.open(key, context).await?;
        let part = respond::plan(&permitted, asked);
        let range = part.bytes(permitted.file.seal.length);
        if asked.head || range.is_empty() {
            return Ok((permitted, part, Body::empty()));
        }
        let slot = self.in_flight.download(context.client.unwrap_or(&Client::Unknown))?;
        let length = range.end - range.start;
        let bytes = self.files.send(&permitted, range, context).await?;
        Ok((permitted, part, Body::file(bytes, length).downloading(slot)))
    }

    /// Stage 7 of a failure. A refusal of the document that gates a file is answered as that document.
    fn refuse(&self, resource: &'static str, failure: &ReadFailure, asked: ResponseContext<'_>) -> Response {
        if let ReadFailure::Gated { gate, .. } = failure {
            self.metrics.cache_lookup(resource, gate.outcome.label());
            return respond::document(gate, None, asked);
        }
        let is_policy = matches!(failure, ReadFailure::Policy(_));
        self.metrics.cache_lookup(resource, if is_policy { "policy" } else { "failed" });
        let response = respond::problem(&ErrorResponse::from(failure), asked);
        match failure {
            ReadFailure::Policy(PolicyRefusal(finding)) => {
                PolicyMark::on(Some(PolicyMark::of(finding)), response)
            }
            _ => response,
        }
    }
}

/// What a response must know of the request it answers.
fn asked<'a>(request: &'a IncomingRequest, base: [&'a str; 2]) -> ResponseContext<'a> {
    ResponseContext {
        head: request.method == Method::HEAD,
        headers: &request.headers,
        base,
        path: request.uri.path(),
    }
}
