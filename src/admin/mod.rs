//! The admin port: is the process up, can it serve, what does it count, what does it know and why.
//!
//! Owns the admin routes and who may see them. Never reachable on the public port. Must not change how
//! requests are answered, except through an invalidation.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::cache::Documents;
use crate::domain::Sha256;
use crate::domain::problem::{Kind, Problem};
use crate::explain::explain;
use crate::respond::{Asked, Body, Refusal, Response, problem, storage_failed};
use crate::route::RouteError;
use crate::store::Store;
use crate::telemetry::Metrics;

mod request;

use request::{Invalidate, Question};

/// Longest body that an admin request may have, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

const JSON: &str = "application/json";

/// What answers on the admin port.
#[derive(Debug)]
pub struct Admin {
    documents: Arc<Documents>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    token: Option<Sha256>,
}

impl Admin {
    /// An admin port; where `token` is set, everything but the probes needs the bearer token it hashes.
    #[must_use]
    pub fn new(
        documents: Arc<Documents>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        token: Option<Sha256>,
    ) -> Self {
        Self { documents, store, metrics, token }
    }

    /// Answers one request of the admin port. `body` is `None` when it is longer than [`MAX_BODY`].
    pub async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Response {
        let asked = Asked { head: method == Method::HEAD, headers, base: "", path };
        let reads = !matches!(path, "/admin/v1/invalidate");
        if reads && method != Method::GET && method != Method::HEAD {
            return problem(&Refusal::from(&RouteError::MethodNotAllowed), asked);
        }
        let probe = matches!(path, "/livez" | "/readyz");
        if !probe && !self.admits(headers) {
            let detail = "send the admin token as `Authorization: Bearer …`";
            return problem(&Problem::new(Kind::AuthenticationRequired, detail).into(), asked);
        }
        match path {
            "/livez" => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            "/readyz" | "/admin/v1/status" => document(&self.status().await, asked),
            "/metrics" => reply("text/plain; version=0.0.4; charset=utf-8", self.metrics.render(), asked),
            "/admin/v1/divergences" => self.divergences(asked).await,
            "/admin/v1/explain" => self.explain(query.unwrap_or_default(), asked).await,
            "/admin/v1/invalidate" if method == Method::POST => self.invalidate(body, asked).await,
            "/admin/v1/invalidate" => problem(&Refusal::post_only(), asked),
            _ => problem(&Refusal::from(&RouteError::NotFound), asked),
        }
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
                let version = version.as_ref();
                document(&json!({"volumes": volumes, "version": version, "in_memory": in_memory}), asked)
            }
            Err(error) => problem(&storage_failed(&error), asked),
        }
    }

    /// Ready as long as the process serves: an upstream that is away is what the cache is for, and a store
    /// that takes no writes still serves what it holds.
    async fn status(&self) -> Value {
        let storage = match self.store.probe().await {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        let live = self.documents.live();
        let upstreams =
            live.upstreams.iter().map(|upstream| json!({"name": upstream.name(), "up": upstream.is_up()}));
        json!({
            "status": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "offline": live.policy.offline,
            "storage": storage,
            "upstreams": upstreams.collect::<Vec<_>>(),
        })
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        given.is_some_and(|token| Sha256::of(token).as_bytes().ct_eq(expected.as_bytes()).into())
    }
}

fn invalid(error: &request::Invalid, asked: Asked<'_>) -> Response {
    problem(&Problem::new(Kind::ValidationFailed, error.to_string()).into(), asked)
}

fn document(value: &impl Serialize, asked: Asked<'_>) -> Response {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    reply(JSON, text + "\n", asked)
}

fn reply(content_type: &'static str, text: String, asked: Asked<'_>) -> Response {
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !asked.head {
        *response.body_mut() = Body::Full(text.into());
    }
    response
}
