//! The admin port: is the process up, can it serve, what does it count, what does it know and why.
//!
//! Owns the admin routes and who may see them. Never reachable on the public port. Must not change how
//! requests are answered, except through an invalidation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cache::Documents;
use crate::domain::problem::{Kind, Problem};
use crate::explain::explain;
use crate::reload::{Reload, ReloadError};
use crate::respond::{Asked, Body, Refusal, Response, problem, storage_failed};
use crate::route::RouteError;
use crate::store::Store;
use crate::telemetry::Metrics;

mod request;
mod storage;
mod token;

use request::{Invalidate, Question};
pub use token::AdminToken;

/// Longest body that an admin request may have, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// Longest that it may take to come.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";

/// What answers on the admin port.
#[derive(Debug)]
pub struct Admin {
    documents: Arc<Documents>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    token: Arc<AdminToken>,
    reload: Arc<Reload>,
}

impl Admin {
    /// An admin port; where a `token` is wanted, everything but the probes needs it.
    #[must_use]
    pub fn new(
        documents: Arc<Documents>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        token: Arc<AdminToken>,
        reload: Arc<Reload>,
    ) -> Self {
        Self { documents, store, metrics, token, reload }
    }

    /// Answers one request of the admin port. `body` is `None` when it is longer than [`MAX_BODY`] or
    /// took longer than [`BODY_TIMEOUT`].
    pub async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Response {
        let asked = Asked { head: method == Method::HEAD, headers, base: ["", ""], path };
        let resumed = request::resumed(path);
        let reads = resumed.is_none() && !matches!(path, "/admin/v1/invalidate" | "/admin/v1/reload");
        if reads && method != Method::GET && method != Method::HEAD {
            return problem(&Refusal::from(&RouteError::MethodNotAllowed { allow: "GET, HEAD" }), asked);
        }
        let probe = matches!(path, "/livez" | "/readyz");
        if !probe && !self.token.admits(headers) {
            let detail = "send the admin token as `Authorization: Bearer …`";
            return problem(&Problem::new(Kind::AuthenticationRequired, detail).into(), asked);
        }
        if let Some(name) = resumed {
            let resume = (method == Method::POST).then(|| self.resume(&name, asked));
            return resume.unwrap_or_else(|| problem(&Refusal::post_only(), asked));
        }
        match path {
            "/livez" => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            "/readyz" | "/admin/v1/status" => document(&self.status(), asked),
            "/metrics" => self.metrics(asked),
            "/admin/v1/divergences" => self.divergences(asked).await,
            "/admin/v1/explain" => self.explain(query.unwrap_or_default(), asked).await,
            "/admin/v1/invalidate" if method == Method::POST => self.invalidate(body, asked).await,
            "/admin/v1/reload" if method == Method::POST => self.reload(body, asked).await,
            "/admin/v1/invalidate" | "/admin/v1/reload" => problem(&Refusal::post_only(), asked),
            _ => problem(&Refusal::from(&RouteError::NotFound), asked),
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

    async fn invalidate(&self, body: Option<Bytes>, asked: Asked<'_>) -> Response {
        let Invalidate { volumes, version } = match Invalidate::parse(body.as_deref()) {
            Ok(invalidate) => invalidate,
            Err(error) => return invalid(&error, asked),
        };
        match self.documents.invalidate(&volumes, version.as_ref()).await {
            Ok(in_memory) => {
                // What is to be asked for again may be asked for.
                for upstream in self.documents.live().upstreams.concerned_by(&volumes) {
                    upstream.resume();
                }
                let version = version.as_ref();
                document(&json!({"volumes": volumes, "version": version, "in_memory": in_memory}), asked)
            }
            Err(error) => problem(&storage_failed(&error), asked),
        }
    }

    /// Ends the pauses of one registry.
    fn resume(&self, name: &str, asked: Asked<'_>) -> Response {
        match self.documents.live().upstreams.named(name) {
            Some(upstream) => {
                let resumed = upstream.resume();
                document(&json!({"upstream": upstream.name(), "resumed": resumed}), asked)
            }
            None => {
                let detail = "no upstream has this name; `/admin/v1/status` lists them";
                problem(&Problem::new(Kind::NotFound, detail).into(), asked)
            }
        }
    }

    /// Reloads as SIGHUP does. What the body says is ignored.
    async fn reload(&self, body: Option<Bytes>, asked: Asked<'_>) -> Response {
        if body.is_none() {
            let detail = format!("send no body; one of more than {MAX_BODY} bytes is not read");
            return problem(&Problem::new(Kind::PayloadTooLarge, detail).into(), asked);
        }
        let reload = Arc::clone(&self.reload);
        match tokio::task::spawn_blocking(move || reload.reload()).await {
            Ok(Ok(report)) => document(&report, asked),
            Ok(Err(error)) => problem(&not_reloaded(&error).into(), asked),
            Err(_) => {
                let detail =
                    "the reload died; the log says why, and a restart puts the configuration in force";
                problem(&Problem::blank(500, "Internal Server Error", detail).into(), asked)
            }
        }
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
            "status": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "offline": live.policy.offline,
            "storage": storage::standing(&*self.store),
            "upstreams": upstreams.collect::<Vec<_>>(),
        })
    }
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
