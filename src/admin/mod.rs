//! The admin port: is the process up, can it serve, what does it count, what does it know and why.
//!
//! The order of a request: its route (`route`), whether it is let in by its head alone (`door`), who was not
//! (`refusals`), then its answer, for which a body is read only where the route takes one. Owns the answers, and what
//! browsers may do with them: nothing. Never reachable on the public port. Must not change how requests are answered,
//! except through an action.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::info;

use crate::cache::Documents;
use crate::clock::Clock;
use crate::domain::problem::{Kind, Problem};
use crate::explain::explain;
use crate::reload::{Reload, ReloadError};
use crate::respond::{Asked, Body, Refusal, Response, misdirected, nosniff, problem, storage_failed};
use crate::route::RouteError;
use crate::store::Store;
use crate::telemetry::Metrics;

mod door;
mod refusals;
mod request;
mod route;
mod storage;
mod token;

use door::Refused;
pub use door::{Arrival, Door};
use refusals::Refusals;
use request::{Invalidate, Question};
use route::{Action, Route, View};
pub use token::AdminToken;
use token::Who;

/// Longest body that an admin request may have, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// Longest that it may take to come.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that are answered at once, besides probes, which the rest of the port's connections are left to.
const PLACES: usize = 192;

const READY: &str = "ready";
const JSON: &str = "application/json";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Nothing is loaded, nothing is framed, no link is bent.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/// What answers on the admin port.
#[derive(Debug)]
pub struct Admin {
    documents: Arc<Documents>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    door: Arc<Door>,
    refusals: Refusals,
    places: Semaphore,
    reload: Arc<Reload>,
}

/// An action that was done or refused: what it was about, and its answer.
type Done = (String, Response);

impl Admin {
    /// An admin port behind a `door`.
    #[must_use]
    pub fn new(
        documents: Arc<Documents>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        (door, clock): (Arc<Door>, Arc<dyn Clock>),
        reload: Arc<Reload>,
    ) -> Self {
        let refusals = Refusals::new(Arc::clone(&metrics), clock);
        Self { documents, store, metrics, door, refusals, places: Semaphore::new(PLACES), reload }
    }

    /// Answers one request of the admin port. `body` is polled for a route that takes one, and says `None` when that is
    /// longer than [`MAX_BODY`] or took longer than [`BODY_TIMEOUT`].
    pub async fn answer(&self, arrival: &Arrival<'_>, body: impl Future<Output = Option<Bytes>>) -> Response {
        let (path, headers) = (arrival.uri.path(), arrival.headers);
        let asked = Asked { head: arrival.method == Method::HEAD, headers, base: ["", ""], path };
        let route = Route::of(path);
        let mut response = match self.door.admit(arrival, &route) {
            Ok(who) => self.admitted(route, (who, arrival), body, asked).await,
            Err(refused) => {
                self.refusals.count(refused, arrival);
                problem(&refusal(refused, &route), asked)
            }
        };
        let headers = response.headers_mut();
        nosniff(headers);
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }

    async fn admitted(
        &self,
        route: Route,
        (who, arrival): (Who, &Arrival<'_>),
        body: impl Future<Output = Option<Bytes>>,
        asked: Asked<'_>,
    ) -> Response {
        // Held until the answer is made; who takes it slowly is the listener's affair.
        let place = if route.is_probe() { None } else { Some(self.places.try_acquire()) };
        if place.as_ref().is_some_and(Result::is_err) {
            let detail =
                "as many requests as the admin port answers at once are under way; try again shortly";
            return problem(&Problem::blank(503, "Service Unavailable", detail).into(), asked);
        }
        match route {
            Route::Livez => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            Route::Readyz => document(&json!({"status": READY}), asked),
            Route::View(View::Status) => document(&self.status(), asked),
            Route::View(View::Metrics) => self.metrics(asked),
            Route::View(View::Divergences) => self.divergences(asked).await,
            Route::View(View::Explain) => self.explain(arrival.uri.query().unwrap_or_default(), asked).await,
            Route::Act(action) => {
                let (what, response) = match &action {
                    Action::Invalidate => self.invalidate(body.await, asked).await,
                    Action::Reload => self.reload(asked).await,
                    Action::Resume(name) => self.resume(name, asked),
                };
                let (who, action, status) = (who.as_str(), action.as_str(), response.status().as_u16());
                let peer = arrival.peer.map(|peer| peer.to_string()).unwrap_or_default();
                info!(target: "scriptorium::admin", action, what, who, peer, status, "an operator acted");
                response
            }
            Route::Unknown => problem(&Refusal::from(&RouteError::NotFound), asked),
        }
    }

    fn metrics(&self, asked: Asked<'_>) -> Response {
        // Holds and budgets change by the mere passing of time.
        self.documents.live().upstreams.iter().for_each(|upstream| upstream.tell_standing());
        storage::tell(&*self.store, &self.metrics.store);
        reply("text/plain; version=0.0.4; charset=utf-8", self.metrics.render(), asked)
    }

    async fn divergences(&self, asked: Asked<'_>) -> Response {
        let open = self.documents.divergences().await;
        document(&json!({"items": open.iter().map(|open| &**open).collect::<Vec<_>>()}), asked)
    }

    async fn explain(&self, query: &str, asked: Asked<'_>) -> Response {
        let Question { volume, version } = match Question::parse(query) {
            Ok(question) => question,
            Err(error) => return invalid(&error, asked),
        };
        match explain(&self.documents, &self.store, &volume, &version).await {
            Ok(explanation) => document(&explanation, asked),
            Err(error) => problem(&storage_failed(&error), asked),
        }
    }

    async fn invalidate(&self, body: Option<Bytes>, asked: Asked<'_>) -> Done {
        let Invalidate { volumes, version } = match Invalidate::parse(body.as_deref()) {
            Ok(invalidate) => invalidate,
            Err(error) => return (String::new(), invalid(&error, asked)),
        };
        let version = version.as_ref();
        let what = version.map_or_else(|| volumes.to_string(), |version| format!("{volumes}@{version}"));
        let response = match self.documents.invalidate(&volumes, version).await {
            Ok(in_memory) => {
                // What is to be asked for again may be asked for.
                for upstream in self.documents.live().upstreams.concerned_by(&volumes) {
                    upstream.resume();
                }
                document(&json!({"volumes": volumes, "version": version, "in_memory": in_memory}), asked)
            }
            Err(error) => problem(&storage_failed(&error), asked),
        };
        (what, response)
    }

    /// Ends the pauses of one registry.
    fn resume(&self, name: &str, asked: Asked<'_>) -> Done {
        let response = match self.documents.live().upstreams.named(name) {
            Some(upstream) => {
                let resumed = upstream.resume();
                document(&json!({"upstream": upstream.name(), "resumed": resumed}), asked)
            }
            None => {
                let detail = "no upstream has this name; `/admin/v1/status` lists them";
                problem(&Problem::new(Kind::NotFound, detail).into(), asked)
            }
        };
        (name.to_owned(), response)
    }

    /// Reloads as SIGHUP does. A body is not read.
    async fn reload(&self, asked: Asked<'_>) -> Done {
        if announced(asked.headers) > MAX_BODY as u64 {
            let detail = format!("send no body; one of more than {MAX_BODY} bytes is not taken");
            return (String::new(), problem(&Problem::new(Kind::PayloadTooLarge, detail).into(), asked));
        }
        let reload = Arc::clone(&self.reload);
        let reloaded = tokio::task::spawn_blocking(move || reload.reload()).await;
        let what = match &reloaded {
            Ok(Ok(report)) => {
                format!("applied {}, after a restart {}", report.applied.len(), report.restart.len())
            }
            Ok(Err(_)) | Err(_) => "nothing applied".to_owned(),
        };
        let response = match reloaded {
            Ok(Ok(report)) => document(&report, asked),
            Ok(Err(error)) => problem(&not_reloaded(&error).into(), asked),
            Err(_) => {
                let detail =
                    "the reload died; the log says why, and a restart puts the configuration in force";
                problem(&Problem::blank(500, "Internal Server Error", detail).into(), asked)
            }
        };
        (what, response)
    }

    /// Ready as long as the process serves: an upstream that is away is what the cache is for, and a store
    /// that takes no writes still serves what it holds.
    fn status(&self) -> Value {
        let live = self.documents.live();
        let upstreams = live.upstreams.iter().map(|upstream| {
            let paused: serde_json::Map<_, _> =
                upstream.pauses().map(|(concern, left)| (concern.to_owned(), seconds(left).into())).collect();
            let failed = upstream.last_failure().map(|failure| {
                let at = failure.at.to_string();
                json!({"at": at, "cause": failure.cause, "why": failure.why, "causes": failure.causes})
            });
            json!({
                "name": upstream.name(),
                "up": upstream.is_up(),
                "paused_seconds": paused,
                "last_failure": failed,
            })
        });
        json!({
            "status": READY,
            "version": env!("CARGO_PKG_VERSION"),
            "offline": live.policy.offline,
            "storage": storage::standing(&*self.store),
            "upstreams": upstreams.collect::<Vec<_>>(),
        })
    }
}

/// Why somebody is not let in, with what to do instead.
fn refusal(refused: Refused, route: &Route) -> Refusal {
    match refused {
        Refused::Host => misdirected(
            "the admin port does not go by this name; ask it at its own address or at localhost, or add the name to \
             server.admin_hosts",
        ),
        Refused::Method if matches!(route, Route::Act(_)) => Refusal::post_only(),
        Refused::Method => Refusal::from(&RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
        Refused::Site => {
            let detail = "another site's page cannot act here; use the admin port itself, or a tool that is no browser";
            Problem::blank(403, "Forbidden", detail).into()
        }
        Refused::Token => {
            let detail = "send the admin token as `Authorization: Bearer …`";
            Problem::new(Kind::AuthenticationRequired, detail).into()
        }
        Refused::Content => {
            let detail = "send JSON, with `Content-Type: application/json` (`curl --json`), or no body where none is needed";
            Problem::blank(415, "Unsupported Media Type", detail).into()
        }
    }
}

/// The bytes of a body that a request says it has.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// Whole seconds, begun ones included.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn invalid(error: &request::Invalid, asked: Asked<'_>) -> Response {
    problem(&Problem::new(Kind::ValidationFailed, error.to_string()).into(), asked)
}

/// Every error with its key and place, for programs; none echoes a value.
fn not_reloaded(error: &ReloadError) -> Problem {
    match error {
        ReloadError::NothingToReread => Problem::blank(409, "Conflict", error.to_string()),
        ReloadError::Refused(errors) => {
            let detail = "the configuration is refused as a whole and the running one stays; put right what `errors` lists";
            let mut problem = Problem::new(Kind::ValidationFailed, detail);
            let errors = errors.0.iter().map(|error| {
                json!({"key": error.key, "place": error.origin.to_string(), "message": error.message})
            });
            problem.extra.insert("errors".to_owned(), errors.collect());
            problem
        }
    }
}

fn document(value: &impl Serialize, asked: Asked<'_>) -> Response {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    reply(JSON, text + "\n", asked)
}

fn reply(content_type: &'static str, text: String, asked: Asked<'_>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !asked.head {
        *response.body_mut() = Body::whole(text);
    }
    response
}
