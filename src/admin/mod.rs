//! The admin port: is the process up, can it serve, what does it count.
//!
//! Owns the admin routes and who may see them. Never reachable on the public port. Must not change how
//! requests are answered.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::cache::Documents;
use crate::domain::Sha256;
use crate::domain::problem::{Kind, Problem};
use crate::respond::{Asked, Body, Refusal, Response, problem};
use crate::route::RouteError;
use crate::store::Store;
use crate::telemetry::Metrics;

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

    /// Answers one request of the admin port.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let asked = Asked { head: method == Method::HEAD, headers, base: "", path };
        if method != Method::GET && method != Method::HEAD {
            return problem(&Refusal::from(&RouteError::MethodNotAllowed), asked);
        }
        let probe = matches!(path, "/livez" | "/readyz");
        if !probe && !self.admits(headers) {
            let detail = "send the admin token as `Authorization: Bearer …`";
            return problem(&Problem::new(Kind::AuthenticationRequired, detail).into(), asked);
        }
        match path {
            "/livez" => reply("text/plain; charset=utf-8", "ok\n".to_owned(), asked),
            "/readyz" | "/admin/v1/status" => {
                reply("application/json", format!("{}\n", self.status().await), asked)
            }
            "/metrics" => reply("text/plain; version=0.0.4; charset=utf-8", self.metrics.render(), asked),
            _ => problem(&Refusal::from(&RouteError::NotFound), asked),
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
