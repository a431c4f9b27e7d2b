//! The admin port: whether the process is up and can serve, its metrics, and what it knows about a release and why.
//!
//! A request is routed (`route`) and admitted or refused by its head alone (`door`); refusals are counted and logged
//! (`refusals`). Its body is read only where the route takes one. Programs get documents and send JSON; people get pages
//! (`dashboard`) and send `forms`; both come to the same `actions`. Owns the answers, and that pages of other sites may not
//! use them. Never reachable on the public port. Must not change how requests are answered, except through an action.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::advisories::AdvisoryKeeper;
use crate::audit_record::AuditRecord;
use crate::bundles::{ImportAge, KeptImports};
use crate::clock::Clock;
use crate::cluster::ClusterNode;
use crate::domain::problem::{Problem, ProblemKind};
use crate::explain::explain;
use crate::mirror::Mirrors;
use crate::read::Documents;
use crate::reload::Reload;
use crate::respond::{
    Body, ErrorResponse, Response, ResponseContext, misdirected, nosniff, problem, storage_failed,
};
use crate::route::RouteError;
use crate::store::{ProxyStore, Store};
use crate::telemetry::Metrics;

mod actions;
mod cluster;
mod dashboard;
mod door;
mod forms;
mod imports;
mod mirrors;
mod notices;
mod refusals;
mod request;
mod route;
mod sessions;
mod storage;
mod token;

use actions::{invalid, without_body};
pub(crate) use dashboard::minute;
use door::AdminRefusal;
pub(crate) use door::{AdminRequest, Door};
use notices::Notices;
use refusals::RefusalLog;
use request::{ExplainQuery, Invalidate};
use route::{AdminAction, AdminAsset, AdminRoute, AdminView};
use token::AdminCaller;
pub(crate) use token::{AdminRole, AdminToken, AdminTokens};

/// Most bytes of an admin request's body.
pub(crate) const MAX_BODY: usize = 16 * 1024;
/// How long a body may take to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that are answered at once, besides probes. The port's other connections are left for probes.
const AT_ONCE: usize = 192;

const READY: &str = "ready";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A browser loads nothing but our style and icon, runs nothing, sends forms only here, and shows none of it in a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

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
    clock: Arc<dyn Clock>,
    notices: Notices,
    /// One search of the store at a time.
    searching: Semaphore,
    cluster: Option<Arc<ClusterNode>>,
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
    pub(crate) cluster: Option<Arc<ClusterNode>>,
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
        let AdminReports { metrics, audit_record, clock, cluster } = reports;
        let refusals = RefusalLog::new(Arc::clone(&metrics), Arc::clone(&clock));
        let (slots, searching) = (Semaphore::new(AT_ONCE), Semaphore::new(1));
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
            clock,
            notices: Notices::default(),
            searching,
            cluster,
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
        let mut response = match self.door.admit(arrival, &route, self.clock.monotonic()) {
            Ok(caller) => self.admitted(route, &caller, arrival, body, asked).await,
            Err(refused) => self.refused(refused, &route, arrival, asked),
        };
        let is_challenge = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        if is_challenge {
            // Pages too: no browser asks for a bearer token by itself (RFC 9110, section 11.6.1).
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        nosniff(headers);
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }

    async fn admitted(
        &self,
        route: AdminRoute,
        caller: &AdminCaller,
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
        let query = arrival.uri.query().unwrap_or_default();
        match route {
            AdminRoute::Livez => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            AdminRoute::Readyz => document(&self.ready(), asked),
            AdminRoute::View(view) => self.view(view, query, asked).await,
            AdminRoute::Act(action) => self.act(&action, caller, arrival, body, asked).await,
            AdminRoute::Page(page) => {
                let (status, text) = self.page(&page, caller, query).await;
                forms::answered(status, text, asked)
            }
            AdminRoute::Asset(AdminAsset::Style) => {
                reply("text/css; charset=utf-8", dashboard::STYLE.to_owned(), asked)
            }
            AdminRoute::Asset(AdminAsset::Icon) => reply("image/svg+xml", dashboard::ICON.to_owned(), asked),
            AdminRoute::Form(form) => self.fill_in(form, caller, arrival, body).await,
            AdminRoute::Login if arrival.method == Method::POST => self.log_in(arrival, body, asked).await,
            AdminRoute::Login => forms::see_other("/"),
            AdminRoute::Logout => self.log_out(arrival),
            AdminRoute::Unknown => problem(&ErrorResponse::from(&RouteError::NotFound), asked),
        }
    }

    /// The answer to a request that is not admitted. People get a page, as far as they came to this port on purpose.
    fn refused(
        &self,
        refused: AdminRefusal,
        route: &AdminRoute,
        arrival: &AdminRequest<'_>,
        asked: ResponseContext<'_>,
    ) -> Response {
        let by_person =
            route.is_for_people() && !matches!(refused, AdminRefusal::Host | AdminRefusal::Method);
        let is_visit =
            by_person && refused == AdminRefusal::Token && !arrival.headers.contains_key(AUTHORIZATION);
        if is_visit {
            return forms::answered(StatusCode::UNAUTHORIZED, dashboard::login(None), asked);
        }
        self.refusals.count(refused, arrival);
        let refusal = refusal(refused, route);
        match by_person {
            true => {
                let status = StatusCode::from_u16(refusal.problem.status).unwrap_or(StatusCode::FORBIDDEN);
                forms::answered(status, dashboard::refused(&refusal.problem), asked)
            }
            false => problem(&refusal, asked),
        }
    }

    async fn view(&self, view: AdminView, query: &str, asked: ResponseContext<'_>) -> Response {
        match view {
            AdminView::Status => document(&self.status(), asked),
            AdminView::Metrics => self.metrics(asked),
            AdminView::Divergences => self.divergences(asked).await,
            AdminView::Mirrors => mirrors::list(&self.mirrors, asked).await,
            AdminView::Explain => self.explain(query, asked).await,
        }
    }

    /// Does what a program asks for.
    async fn act(
        &self,
        action: &AdminAction,
        caller: &AdminCaller,
        arrival: &AdminRequest<'_>,
        body: impl Future<Output = Option<Bytes>>,
        asked: ResponseContext<'_>,
    ) -> Response {
        let work = async {
            match action {
                AdminAction::Invalidate => self.invalidate(Invalidate::parse(body.await.as_deref())).await,
                AdminAction::Reload => match without_body(arrival.headers) {
                    Some(refused) => refused,
                    None => self.reload().await,
                },
                AdminAction::Reread => self.reread().await,
                AdminAction::Resume(name) => self.resume(name),
                AdminAction::Mirror(name, kind) => self.run(name, *kind),
            }
        };
        self.recorded(action.as_str(), caller, arrival, work).await.response(asked)
    }

    fn metrics(&self, asked: ResponseContext<'_>) -> Response {
        // Pauses and budgets change as time passes.
        self.documents.live().upstreams.iter().for_each(|upstream| upstream.tell_standing());
        storage::tell(&self.store, &self.metrics.store);
        if let Some((confirmed, max_age)) = self.imported.bounds() {
            self.metrics.imports.stands(confirmed, max_age);
        }
        reply("text/plain; version=0.0.4; charset=utf-8", self.metrics.render(), asked)
    }

    async fn divergences(&self, asked: ResponseContext<'_>) -> Response {
        let open = self.documents.divergences().await;
        document(&json!({"items": open.iter().map(|open| &**open).collect::<Vec<_>>()}), asked)
    }

    async fn explain(&self, query: &str, asked: ResponseContext<'_>) -> Response {
        let ExplainQuery { volume, version } = match ExplainQuery::parse(query) {
            Ok(question) => question,
            Err(error) => return problem(&invalid(&error), asked),
        };
        let store: Arc<dyn Store> = self.store.clone();
        match explain(&self.documents, &store, &volume, &version).await {
            Ok(explanation) => document(&explanation, asked),
            Err(error) => problem(&storage_failed(&error), asked),
        }
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
                "budget": upstream.budget_left().map(|budget| {
                    json!({"left": budget.requests, "wait_seconds": budget.wait_seconds()})
                }),
                "last_failure": failed,
            })
        });
        let mut status = json!({
            "status": READY,
            "version": env!("CARGO_PKG_VERSION"),
            "offline": live.policy.offline,
            "storage": storage::standing(&self.store),
            "bundles": self.overdue(),
            "advisory_faults": self.documents.policy().advisory_faults(),
            "upstreams": upstreams.collect::<Vec<_>>(),
        });
        self.add_cluster_with_cause(&mut status);
        status
    }
}

/// The answer to a refused request, with what to do instead.
fn refusal(refused: AdminRefusal, route: &AdminRoute) -> ErrorResponse {
    match refused {
        AdminRefusal::Host => misdirected(
            "the admin port does not go by this name; ask it at its own address or at localhost, or add the name to \
             server.admin_hosts",
        ),
        AdminRefusal::Method if route.acts() || *route == AdminRoute::Logout => ErrorResponse::post_only(),
        AdminRefusal::Method => ErrorResponse::from(&RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
        AdminRefusal::Site => {
            let detail = "another site's page cannot act here; use the admin port itself, or a tool that is no browser";
            Problem::blank(403, "Forbidden", detail).into()
        }
        AdminRefusal::Token => {
            let detail = "send the admin token as `Authorization: Bearer …`";
            Problem::new(ProblemKind::AuthenticationRequired, detail).into()
        }
        AdminRefusal::Role => {
            let detail = "this token may only read; an action needs one with the role \"operate\"";
            Problem::new(ProblemKind::AuthorizationFailed, detail).into()
        }
        AdminRefusal::Content if route.is_form() => {
            let detail = "use the form on the page of this port, or `/admin/v1/` with JSON";
            Problem::blank(415, "Unsupported Media Type", detail).into()
        }
        AdminRefusal::Content => {
            let detail = "send JSON, with `Content-Type: application/json` (`curl --json`), or no body where none is needed";
            Problem::blank(415, "Unsupported Media Type", detail).into()
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
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
