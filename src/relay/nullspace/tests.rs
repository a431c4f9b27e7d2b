//! A client, this proxy and a registry without sockets; everything that the API's description says is tried here.

mod bundles;
mod passing;
mod tars;
mod uploads;
mod wholes;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream;
use http::{HeaderMap, Method};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::Mutex;

use super::*;
use crate::archive::Limits;
use crate::cache::documents::Live;
use crate::cache::{Bounds, Documents, SealedFiles};
use crate::config::{self, OnDivergence};
use crate::relay::{Content, Refused as Unrelayed, any_body};
use crate::store::{ObjectStorage, Store};
use crate::telemetry::Metrics;
use crate::upstream::testing::{Asked, HOME, Registry, Step};
use crate::upstream::{Errand, Upstreams};

/// The proxy between them.
struct Desk {
    registry: Registry,
    store: Arc<dyn Store>,
    nullspace: Mutex<Arc<Nullspace>>,
}

/// A request of a client's.
struct Ask {
    method: Method,
    path: String,
    query: Option<&'static str>,
    headers: HeaderMap,
    body: Vec<u8>,
    /// What is announced of the body; its length where nothing else is said.
    announced: Option<Option<u64>>,
}

impl Ask {
    fn new(method: &str, path: impl Into<String>) -> Self {
        let (path, method) = (path.into(), method.parse().unwrap());
        let ask =
            Self { method, path, query: None, headers: HeaderMap::new(), body: vec![], announced: None };
        ask.with("authorization", "Bearer key")
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn announcing(mut self, length: Option<u64>) -> Self {
        self.announced = Some(length);
        self
    }
}

/// What came back: the status, or how the refusal begins; and the content.
type Got = (u16, String);

impl Desk {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let (registry, store) = (Registry::of(steps), Arc::new(ObjectStorage::memory().unwrap()));
        let nullspace = Mutex::new(Self::start(&registry, store.clone()));
        Self { registry, store, nullspace }
    }

    fn start(registry: &Registry, store: Arc<dyn Store>) -> Arc<Nullspace> {
        let upstream = registry.upstream_with(|config| config.retries = 1);
        let live = Live {
            policy: config::Cache::default(),
            on_divergence: OnDivergence::Quarantine,
            max_document: 1 << 12,
            upstreams: Upstreams::new(vec![]),
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = registry.clock.clone();
        let documents = Arc::new(Documents::new(store.clone(), live, clock.clone(), metrics.clone()));
        let archive =
            Bounds { max_archive: 1 << 20, limits: Limits { max_unpacked: 1 << 20, max_entries: 5 } };
        let files = Arc::new(SealedFiles::new(documents.clone(), store.clone(), archive, metrics.clone()));
        let bodies = (1 << 18, Duration::from_secs(5));
        let ground = Arc::new(Ground::new(store, documents, files, clock, metrics, bodies));
        Arc::new(Nullspace::new(ground, "/nullspace".to_owned(), upstream))
    }

    /// Ends the process, as far as memory goes, and starts another one.
    async fn restart(&self) {
        *self.nullspace.lock().await = Self::start(&self.registry, self.store.clone());
    }

    fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.registry.then(steps);
    }

    async fn answer(&self, ask: &Ask) -> Result<Answer, Unrelayed> {
        let nullspace = Arc::clone(&*self.nullspace.lock().await);
        let pieces: Vec<_> =
            ask.body.chunks(1000).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = StreamBody::new(stream::iter::<Vec<Result<_, Infallible>>>(pieces));
        let announced = ask.announced.unwrap_or(Some(ask.body.len() as u64));
        let body = ClientBody::new(any_body(body), announced, Duration::from_secs(5));
        let request = Request {
            method: &ask.method,
            path: &ask.path,
            query: ask.query,
            headers: &ask.headers,
            base: "http://here",
            errand: Errand::foreground("id-1"),
        };
        nullspace.answer(request, body).await
    }

    async fn ask(&self, ask: &Ask) -> Result<Got, Unrelayed> {
        let answer = self.answer(ask).await?;
        let content = match answer.content {
            Content::Whole(bytes) => bytes,
            Content::Coming { pieces, .. } => pieces.try_collect::<Vec<_>>().await?.concat().into(),
        };
        Ok((answer.status.as_u16(), String::from_utf8(content.to_vec()).unwrap()))
    }

    /// The status, which a registry must have given.
    async fn status(&self, ask: &Ask) -> u16 {
        self.ask(ask).await.map(|(status, _)| status).unwrap()
    }

    /// Why it was refused here.
    async fn refusal(&self, ask: &Ask) -> String {
        let refused = self.answer(ask).await.map(|answer| answer.status).unwrap_err();
        assert!(!format!("{refused:?}").contains("Bearer"));
        refused.to_string()
    }

    /// What the registry was asked since the last time, and with which body.
    fn asked(&self) -> Vec<(String, Bytes)> {
        let line = |asked: Asked| {
            let path = asked.url.strip_prefix(HOME).unwrap().to_owned();
            (format!("{} {path}", asked.method), asked.body)
        };
        self.registry.asked().into_iter().map(line).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|(line, _)| line).collect()
    }
}

/// An answer of the registry's whose body is made for it.
fn says(status: u16, body: impl Into<String>) -> Step {
    Step::Answer(status, &[], vec![Ok(body.into().leak())])
}

#[test]
fn only_what_is_below_the_mount_is() {
    let desk = Desk::new([]);
    let nullspace = Arc::clone(&*desk.nullspace.try_lock().unwrap());
    for (path, below) in [
        ("/nullspace/v1/x", Some("/v1/x")),
        ("/nullspace/", Some("/")),
        ("/nullspace", None),
        ("/nullspaces/v1", None),
        ("/v1/x", None),
    ] {
        assert_eq!(nullspace.below(path), below, "{path}");
    }
}
