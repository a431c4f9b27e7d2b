//! The way of a request, in order. Read this first.
//!
//! ```text
//!  1. identify   the client's request id, or a new one                              (here)
//!  2. limit      whose bucket, and has it room; is there a place for one more      (limit)
//!  3. route      method and path become a question that cannot be malformed         (route)
//!  4. base       where the client reaches this proxy, for links, or 421              (base)
//!  5. answer     a document: memory, store or upstream, by the freshness rules      (cache::documents)
//!                an archive: the release's record, then the sealed file             (cache::archives)
//!                an artifact: the trust detail, then the sealed file                (cache::trust_artifacts)
//!                a write: checked here, then the registry's own answer              (relay)
//!  6. respond    status, headers, body; every failure through one table             (respond)
//!  7. account    one metric and one log record                                      (here)
//! ```
//! Owns that order and nothing else: each stage's rules live in its room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::{StreamExt, stream};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use crate::base::{Base, BaseError, BaseUrl};
use crate::cache::directives::only_if_cached;
use crate::cache::sealed_files::Held;
use crate::cache::{Documents, Errand, Failure, SealedFiles};
use crate::clock::Clock;
use crate::domain::DocumentKey;
use crate::limit::places::{Crowded, Place, Places};
use crate::limit::{Admission, Client, Limiter};
use crate::relay::{AnyBody, Ground, Nullspace, Volumes};
use crate::respond::{self, Asked, Body, Part, Refusal, Response};
use crate::route::{self, Request};
use crate::telemetry::{Access, AccessLog, Metrics, Who};

mod writes;

use writes::Mounted;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What is said where neither the cache nor an upstream was asked for anything.
const NOT_ASKED: HeaderValue = HeaderValue::from_static("scriptorium; detail=\"not-asked\"");

/// Pieces of a file read ahead of the client.
const READ_AHEAD: usize = 2;

/// What a request is, before anything has looked at it.
#[derive(Debug)]
pub struct Arrival {
    /// The method.
    pub method: Method,
    /// Path and query; for HTTP/2 the authority too.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Why nothing of a file is sent.
enum Unopened {
    /// It cannot be had.
    Failed(Failure),
    /// It can, and there is no place for one more download.
    Crowded(Crowded),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Crowded> for Unopened {
    fn from(crowded: Crowded) -> Self {
        Self::Crowded(crowded)
    }
}

/// The stages a request passes.
#[derive(Debug)]
pub struct Pipeline {
    /// Documents of every upstream.
    pub documents: Arc<Documents>,
    /// Archives and trust artifacts of every upstream.
    pub files: Arc<SealedFiles>,
    /// How often each client may ask.
    pub limiter: Arc<Limiter>,
    /// How many requests may be under way.
    pub places: Arc<Places>,
    /// What writes stand on.
    pub ground: Arc<Ground>,
    /// The writes of Agent Volumes.
    pub volumes: Volumes,
    /// Other APIs, each below its mount.
    pub relays: Vec<Nullspace>,
    /// Where clients reach this proxy.
    pub base: BaseUrl,
    /// Time, for durations.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is written down.
    pub access: AccessLog,
}

impl Pipeline {
    /// Answers one request of the public port. Its `body` is read for writes alone.
    pub async fn answer(&self, arrival: &Arrival, body: AnyBody) -> Response {
        let request_id = request_id(&arrival.headers);
        let admission = self.limiter.admit(arrival.peer, &arrival.headers);
        let tls = admission.tls.unwrap_or(arrival.tls);
        let mounted = self.mounted(arrival.uri.path());
        let id = request_id.to_str().unwrap_or_default();
        let errand = Errand::foreground(id).of(&admission.client);
        let entered = self.enter(&admission);
        let (label, mut response) = match (&entered, mounted) {
            (Ok(_), None) => self.admitted(arrival, tls, body, errand).await,
            (Ok(_), Some(mounted)) => {
                let relayed = self.relay(mounted, (arrival, tls), self.body(body), errand);
                (Mounted::LABEL, Box::pin(relayed).await)
            }
            (Err(refusal), None) => ("none", respond::problem(refusal, asked(arrival, ["", ""]))),
            (Err(refusal), Some(_)) => (Mounted::LABEL, respond::nullspace(refusal, id)),
        };
        if let Ok(place) = entered {
            response = response.map(|body| body.holding(place));
        }
        let status = response.status();
        let headers = response.headers_mut();
        respond::nosniff(headers);
        respond::rate_limit(headers, &admission);
        let cache = headers.entry(CACHE_STATUS).or_insert(NOT_ASKED);
        let elapsed = self.clock.monotonic().saturating_sub(admission.at);
        self.account(arrival, &admission, label, (status, id, cache), elapsed);
        headers.insert(REQUEST_ID, request_id);
        response
    }

    /// Lets a client in that has not asked too often, where it and this proxy are not too busy.
    fn enter(&self, admission: &Admission) -> Result<Place, Box<Refusal>> {
        let entered = match &admission.verdict {
            Err(too_often) => Err(Refusal::from(too_often)),
            Ok(_) => self.places.enter(&admission.client).map_err(Refusal::from),
        };
        entered.map_err(|refusal| {
            if refusal.problem.status == StatusCode::TOO_MANY_REQUESTS {
                self.metrics.rate_limited(admission.class.as_str());
            }
            Box::new(refusal)
        })
    }

    /// Answers a request that was let in, and names its route.
    async fn admitted(
        &self,
        arrival: &Arrival,
        tls: bool,
        body: AnyBody,
        errand: Errand<'_>,
    ) -> (&'static str, Response) {
        let routed = route::parse(&arrival.method, arrival.uri.path(), arrival.uri.query());
        let label = routed.as_ref().map_or("none", Request::label);
        let base = self.base.of(&arrival.uri, &arrival.headers, (arrival.version, tls));
        let asked = asked(arrival, base.as_ref().map_or(["", ""], Base::parts));
        let errand = errand.held_only(only_if_cached(&arrival.headers));
        // All but a document is boxed: the future of a hit is moved about, and as large as its largest branch.
        let response = match (&routed, &base) {
            (_, Err(error @ BaseError::Misdirected)) | (Ok(_), Err(error @ BaseError::NoHost)) => {
                respond::problem(&Refusal::from(*error), asked)
            }
            (Err(error), _) => respond::problem(&Refusal::from(error), asked),
            (Ok(Request::Document(key)), Ok(_)) => self.document(key, &asked, errand).await,
            (Ok(Request::Archive(name, version)), Ok(_)) => {
                let hold = || self.files.archive(name, version, errand);
                Box::pin(self.file(label, hold, asked, errand)).await
            }
            (Ok(Request::TrustArtifact(name, version, digest)), Ok(_)) => {
                let hold = || self.files.trust_artifact(name, version, digest, errand);
                Box::pin(self.file(label, hold, asked, errand)).await
            }
            (Ok(Request::Change(change)), Ok(_)) => {
                Box::pin(self.change(change, (arrival, self.body(body)), asked, errand)).await
            }
        };
        (label, response)
    }

    async fn document(&self, key: &DocumentKey, asked: &Asked<'_>, errand: Errand<'_>) -> Response {
        match self.documents.get(key, errand).await {
            Ok(answer) => {
                self.metrics.cache_lookup(key.resource().as_str(), answer.outcome.label());
                let client = errand.client.unwrap_or(&Client::Unknown);
                match self.documents.begin_reading(key, &answer, client) {
                    Ok(reading) => respond::document(&answer, reading, *asked),
                    Err(full) => respond::problem(&full.into(), *asked),
                }
            }
            Err(failure) => self.refuse(key.resource().as_str(), &failure, *asked),
        }
    }

    /// Answers with the file that `hold` finds.
    async fn file<F: Future<Output = Result<Held, Failure>>>(
        &self,
        resource: &'static str,
        hold: impl Fn() -> F,
        asked: Asked<'_>,
        errand: Errand<'_>,
    ) -> Response {
        let opened = match self.open(hold(), asked, errand).await {
            // Nothing of the damaged file was sent yet, so what took its place may be sent instead.
            Err(Unopened::Failed(Failure::Replaced(_))) => self.open(hold(), asked, errand).await,
            opened => opened,
        };
        match opened {
            Ok((held, part, body)) => {
                self.metrics.cache_lookup(resource, held.outcome.label());
                respond::file(&held, &part, body, asked)
            }
            Err(Unopened::Failed(failure)) => self.refuse(resource, &failure, asked),
            Err(Unopened::Crowded(crowded)) => respond::problem(&crowded.into(), asked),
        }
    }

    /// Reads the first piece of what is asked of a file, before any header is sent. The body holds the place of its
    /// download, which nobody takes who waits for the file or is sent nothing of it.
    async fn open(
        &self,
        held: impl Future<Output = Result<Held, Failure>>,
        asked: Asked<'_>,
        errand: Errand<'_>,
    ) -> Result<(Held, Part, Body), Unopened> {
        let held = held.await?;
        let part = respond::plan(&held, asked);
        let bytes = part.bytes(held.file.seal.length);
        let left = bytes.end - bytes.start;
        let mut steps = self.files.steps(bytes).peekable();
        let Some(first) = steps.next_if(|_| !asked.head) else { return Ok((held, part, Body::empty())) };
        let place = self.places.download(errand.client.unwrap_or(&Client::Unknown))?;
        let first = self.files.read(&held.file, first, errand).await?;
        if steps.peek().is_none() {
            return Ok((held, part, Body::whole(first).downloading(place)));
        }
        let sent = Arc::new((Arc::clone(&self.files), Arc::clone(&held.file), errand.kept()));
        let rest = stream::iter(steps).map(move |step| {
            let sent = Arc::clone(&sent);
            async move {
                let (files, file, errand) = &*sent;
                files.read(file, step, errand.lend()).await.map_err(std::io::Error::other)
            }
        });
        let pieces = stream::iter([Ok(first)]).chain(rest.buffered(READ_AHEAD)).boxed();
        Ok((held, part, Body::pieces(Some(left), pieces).downloading(place)))
    }

    fn refuse(&self, resource: &'static str, failure: &Failure, asked: Asked<'_>) -> Response {
        if let Failure::Gated { gate, .. } = failure {
            self.metrics.cache_lookup(resource, gate.outcome.label());
            return respond::document(gate, None, asked);
        }
        self.metrics.cache_lookup(resource, "failed");
        respond::problem(&Refusal::from(failure), asked)
    }

    fn account(
        &self,
        arrival: &Arrival,
        admission: &Admission,
        route: &'static str,
        (status, request_id, cache): (StatusCode, &str, &HeaderValue),
        elapsed: Duration,
    ) {
        let (status, class) = (status.as_u16(), admission.class.as_str());
        self.metrics.request(route, class, status, elapsed);
        let client = match &admission.client {
            Client::Address(address) => Who::Address(*address),
            Client::Token(name) => Who::Name(name),
            Client::Unknown => Who::Name("unknown"),
        };
        let access = Access {
            request_id,
            peer: arrival.peer,
            class,
            client,
            method: arrival.method.as_str(),
            path: written(arrival.uri.path()),
            status,
            cache: cache.to_str().ok(),
            took: elapsed,
        };
        self.access.write(&access, self.clock.now());
    }
}

/// A path as it may be written down: who knows the place of an upload needs only its token to use it.
fn written(path: &str) -> &str {
    const PLACES: &str = "/uploads/";
    if path.starts_with(PLACES) { PLACES } else { path }
}

/// What a response must know of the request it answers.
fn asked<'a>(arrival: &'a Arrival, base: [&'a str; 2]) -> Asked<'a> {
    Asked { head: arrival.method == Method::HEAD, headers: &arrival.headers, base, path: arrival.uri.path() }
}

/// The client's request id when it is 1 to 128 visible ASCII characters, a random one otherwise.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    });
    given.cloned().unwrap_or_else(|| {
        let mut id = [0; 32];
        HEXLOWER.encode_mut(&fastrand::u128(..).to_be_bytes(), &mut id);
        HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("none"))
    })
}
