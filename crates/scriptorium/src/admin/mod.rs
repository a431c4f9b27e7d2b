//! The admin port: whether the process is up and can serve, its metrics, and what it knows about a release and why.
//!
//! A request is routed (`route`) and admitted or refused by its head alone (`door`); refusals are counted and logged
//! (`refusals`). Its body is read only where the route takes one. Owns the answers, and that browsers may not use
//! them. Never reachable on the public port. Must not change how requests are answered, except through an action.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::info;

use crate::advisories::AdvisoryKeeper;
use crate::audit_record::{AuditAction, AuditEntry, AuditRecord};
use crate::bundles::{ImportAge, KeptImports};
use crate::clock::Clock;
use crate::domain::problem::{Problem, ProblemKind};
use crate::explain::explain;
use crate::mirror::Mirrors;
use crate::read::Documents;
use crate::reload::{Reload, ReloadError};
use crate::respond::{
    Body, ErrorResponse, Response, ResponseContext, misdirected, nosniff, problem, storage_failed,
};
use crate::route::RouteError;
use crate::store::{ProxyStore, Store};
use crate::telemetry::Metrics;

mod door;
mod imports;
mod mirrors;
mod refusals;
mod request;
mod route;
mod storage;
mod token;

use door::AdminRefusal;
pub(crate) use door::{AdminRequest, Door};
use refusals::RefusalLog;
use request::{ExplainQuery, Invalidate};
use route::{AdminAction, AdminRoute, AdminView};
use token::AdminCaller;
pub(crate) use token::AdminToken;

/// Most bytes of an admin request's body.
pub(crate) const MAX_BODY: usize = 16 * 1024;
/// How long a body may take to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that are answered at once, besides probes. The port's other connections are left for probes.
const AT_ONCE: usize = 192;

const READY: &str = "ready";
const JSON: &str = "application/json";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A browser loads nothing, frames nothing, and rewrites no link.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Answers the requests of the admin port.
#[derive(Debug)]
pub(crate) struct Admin {
    documents: Arc<Documents>,
    store: Arc<ProxyStore>,
    metrics: Arc<Metrics>,
    door: Arc<Door>,
    refusals: RefusalLog,
    slots: Semaphore,
    reload: Arc<Reload>,
    imported: Arc<ImportAge>,
    kept: Arc<KeptImports>,
    advisories: Arc<AdvisoryKeeper>,
    mirrors: Arc<Mirrors>,
    audit_record: Arc<AuditRecord>,
}

/// What brings releases in ahead of requests.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) mirrors: Arc<Mirrors>,
    pub(crate) imported: Arc<ImportAge>,
    pub(crate) kept: Arc<KeptImports>,
    pub(crate) advisories: Arc<AdvisoryKeeper>,
}

/// Where the admin port reports what was asked of it.
#[derive(Debug)]
pub(crate) struct AdminReports {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) audit_record: Arc<AuditRecord>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// An action that was done or refused.
struct ActionOutcome {
    /// The subject of the action, for the log.
    about: String,
    response: Response,
}

impl Admin {
    pub(crate) fn new(
        documents: Arc<Documents>,
        store: Arc<ProxyStore>,
        door: Arc<Door>,
        reload: Arc<Reload>,
        deliveries: Deliveries,
        reports: AdminReports,
    ) -> Self {
        let Deliveries { mirrors, imported, kept, advisories } = deliveries;
        let AdminReports { metrics, audit_record, clock } = reports;
        let refusals = RefusalLog::new(Arc::clone(&metrics), clock);
        let slots = Semaphore::new(AT_ONCE);
        Self {
            documents,
            store,
            metrics,
            door,
            refusals,
            slots,
            reload,
            imported,
            kept,
            advisories,
            mirrors,
            audit_record,
        }
    }

    /// Answers one request. `body` is polled for a route that takes one, and is `None` if it is longer than
    /// [`MAX_BODY`] or took longer than [`BODY_TIMEOUT`].
    pub(crate) async fn answer(
        &self,
        arrival: &AdminRequest<'_>,
        body: impl Future<Output = Option<Bytes>>,
    ) -> Response {
        let (path, headers) = (arrival.uri.path(), arrival.headers);
        let asked = ResponseContext { head: arrival.method == Method::HEAD, headers, base: ["", ""], path };
        let route = AdminRoute::of(path);
        let mut response = match self.door.admit(arrival, &route) {
            Ok(caller) => self.admitted(route, caller, arrival, body, asked).await,
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
        route: AdminRoute,
        caller: AdminCaller,
        arrival: &AdminRequest<'_>,
        body: impl Future<Output = Option<Bytes>>,
        asked: ResponseContext<'_>,
    ) -> Response {
        // The slot is held until the answer is made; sending it is the listener's task.
        let place = if route.is_probe() { None } else { Some(self.slots.try_acquire()) };
        if place.as_ref().is_some_and(Result::is_err) {
            let detail = "the admin port answers as many requests at once as it may; try again shortly";
            return problem(&Problem::blank(503, "Service Unavailable", detail).into(), asked);
        }
        match route {
            AdminRoute::Livez => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            AdminRoute::Readyz => document(&imports::ready(READY, self.overdue()), asked),
            AdminRoute::View(AdminView::Status) => document(&self.status(), asked),
            AdminRoute::View(AdminView::Metrics) => self.metrics(asked),
            AdminRoute::View(AdminView::Divergences) => self.divergences(asked).await,
            AdminRoute::View(AdminView::Mirrors) => mirrors::list(&self.mirrors, asked).await,
            AdminRoute::View(AdminView::Explain) => {
                self.explain(arrival.uri.query().unwrap_or_default(), asked).await
            }
            AdminRoute::Act(action) => {
                let from = arrival.peer.map(|peer| peer.ip());
                let entry = AuditEntry::new(AuditAction::Named(action.as_str()), &caller.actor(), from);
                let pending = self.audit_record.pending(entry.logged());
                let ActionOutcome { about, response } = match &action {
                    AdminAction::Invalidate => self.invalidate(body.await, asked).await,
                    AdminAction::Reload => self.reload(asked).await,
                    AdminAction::Reread => self.reread(asked).await,
                    AdminAction::Resume(name) => self.resume(name, asked),
                    AdminAction::Mirror(name, kind) => mirrors::start(&self.mirrors, name, *kind, asked),
                };
                let (who, action, status) = (caller.as_str(), action.as_str(), response.status().as_u16());
                let peer = arrival.peer.map(|peer| peer.to_string()).unwrap_or_default();
                info!(target: "scriptorium::admin", action, what = about, who, peer, status, "an operator acted");
                pending.about(about).ended(status).await;
                response
            }
            AdminRoute::Unknown => problem(&ErrorResponse::from(&RouteError::NotFound), asked),
        }
    }

    fn metrics(&self, asked: ResponseContext<'_>) -> Response {
        // Pauses and budgets change as time passes.
        self.documents.live().upstreams.iter().for_each(|upstream| upstream.tell_standing());
        storage::tell(&self.store, &self.metrics.store);
        reply("text/plain; version=0.0.4; charset=utf-8", self.metrics.render(), asked)
    }

    async fn divergences(&self, asked: ResponseContext<'_>) -> Response {
        let open = self.documents.divergences().await;
        document(&json!({"items": open.iter().map(|open| &**open).collect::<Vec<_>>()}), asked)
    }

    async fn explain(&self, query: &str, asked: ResponseContext<'_>) -> Response {
        let ExplainQuery { volume, version } = match ExplainQuery::parse(query) {
            Ok(question) => question,
            Err(error) => return invalid(&error, asked),
        };
        let store: Arc<dyn Store> = self.store.clone();
        match explain(&self.documents, &store, &volume, &version).await {
            Ok(explanation) => document(&explanation, asked),
            Err(error) => problem(&storage_failed(&error), asked),
        }
    }

    async fn invalidate(&self, body: Option<Bytes>, asked: ResponseContext<'_>) -> ActionOutcome {
        let Invalidate { volumes, version } = match Invalidate::parse(body.as_deref()) {
            Ok(invalidate) => invalidate,
            Err(error) => return ActionOutcome { about: String::new(), response: invalid(&error, asked) },
        };
        let version = version.as_ref();
        let about = version.map_or_else(|| volumes.to_string(), |version| format!("{volumes}@{version}"));
        let response = match self.documents.invalidate(&volumes, version).await {
            Ok(in_memory) => {
                // The next read asks the registry, so pauses end.
                for upstream in self.documents.live().upstreams.concerned_by(&volumes) {
                    upstream.resume();
                }
                document(&json!({"volumes": volumes, "version": version, "in_memory": in_memory}), asked)
            }
            Err(error) => problem(&storage_failed(&error), asked),
        };
        ActionOutcome { about, response }
    }

    fn resume(&self, name: &str, asked: ResponseContext<'_>) -> ActionOutcome {
        let response = match self.documents.live().upstreams.named(name) {
            Some(upstream) => {
                let resumed = upstream.resume();
                document(&json!({"upstream": upstream.name(), "resumed": resumed}), asked)
            }
            None => {
                let detail = "no upstream has this name; `/admin/v1/status` lists them";
                problem(&Problem::new(ProblemKind::NotFound, detail).into(), asked)
            }
        };
        ActionOutcome { about: name.to_owned(), response }
    }

    /// Reloads as SIGHUP does. No body is read.
    async fn reload(&self, asked: ResponseContext<'_>) -> ActionOutcome {
        if announced(asked.headers) > MAX_BODY as u64 {
            let detail = format!("send no body; one of more than {MAX_BODY} bytes is not taken");
            let response = problem(&Problem::new(ProblemKind::PayloadTooLarge, detail).into(), asked);
            return ActionOutcome { about: String::new(), response };
        }
        let reload = Arc::clone(&self.reload);
        let reloaded = tokio::task::spawn_blocking(move || reload.reload()).await;
        let about = match &reloaded {
            Ok(Ok(report)) => report.to_string(),
            Ok(Err(refused)) => refused.summary(),
            Err(_) => "it died, nothing is known to be applied".to_owned(),
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
        ActionOutcome { about, response }
    }

    /// Ready as long as the process serves: the cache is there for when a registry is not, and a store that refuses
    /// writes still serves what it holds.
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
            "storage": storage::standing(&self.store),
            "bundles": self.overdue(),
            "advisory_faults": self.documents.policy().advisory_faults(),
            "upstreams": upstreams.collect::<Vec<_>>(),
        })
    }
}

/// The answer to a refused request, with what to do instead.
fn refusal(refused: AdminRefusal, route: &AdminRoute) -> ErrorResponse {
    match refused {
        AdminRefusal::Host => misdirected(
            "the admin port does not go by this name; ask it at its own address or at localhost, or add the name to \
             server.admin_hosts",
        ),
        AdminRefusal::Method if matches!(route, AdminRoute::Act(_)) => ErrorResponse::post_only(),
        AdminRefusal::Method => ErrorResponse::from(&RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
        AdminRefusal::Site => {
            let detail = "another site's page cannot act here; use the admin port itself, or a tool that is no browser";
            Problem::blank(403, "Forbidden", detail).into()
        }
        AdminRefusal::Token => {
            let detail = "send the admin token as `Authorization: Bearer …`";
            Problem::new(ProblemKind::AuthenticationRequired, detail).into()
        }
        AdminRefusal::Content => {
            let detail = "send JSON, with `Content-Type: application/json` (`curl --json`), or no body where none is needed";
            Problem::blank(415, "Unsupported Media Type", detail).into()
        }
    }
}

/// The length of the body that a request announces.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn invalid(error: &request::Invalid, asked: ResponseContext<'_>) -> Response {
    problem(&Problem::new(ProblemKind::ValidationFailed, error.to_string()).into(), asked)
}

/// Every error with its key and place. No value is repeated.
fn not_reloaded(error: &ReloadError) -> Problem {
    match error {
        ReloadError::NothingToReread => Problem::blank(409, "Conflict", error.to_string()),
        ReloadError::Refused(errors) => {
            let detail = "the configuration is refused as a whole and the running one stays; put right what `errors` lists";
            let mut problem = Problem::new(ProblemKind::ValidationFailed, detail);
            let errors = errors.0.iter().map(|error| {
                json!({"key": error.key, "place": error.origin.to_string(), "message": error.message})
            });
            problem.extra.insert("errors".to_owned(), errors.collect());
            problem
        }
    }
}

fn document(value: &impl Serialize, asked: ResponseContext<'_>) -> Response {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    reply(JSON, text + "\n", asked)
}

fn reply(content_type: &'static str, text: String, asked: ResponseContext<'_>) -> Response {
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
