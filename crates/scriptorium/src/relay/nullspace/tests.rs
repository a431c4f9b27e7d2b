//! The relay of this API, with a client and a scripted registry, without sockets.

mod bundles;
mod passing;
#[path = "../../../../nullspace/tests/bundles/sample.rs"]
#[allow(dead_code)]
mod sample;
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
use crate::config::{self, OnDivergence};
use crate::files::{Bounds, SealedFiles};
use crate::read::Documents;
use crate::read::documents::LiveSettings;
use crate::relay::{RelayedContent, any_body};
use crate::repositories::Repositories;
use crate::store::{ObjectStorage, Store};
use crate::telemetry::Metrics;
use crate::upstream::testing::{Asked, HOME, Registry, Step};
use crate::upstream::{FetchContext, RegistryClients};
use archive::ArchiveLimits;

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
    /// The announced length of the body. The default is its length.
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

/// The status and the content of an answer.
type Got = (u16, String);

impl Desk {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let (registry, store) = (Registry::of(steps), Arc::new(ObjectStorage::memory().unwrap()));
        let nullspace = Mutex::new(Self::start(&registry, store.clone()));
        Self { registry, store, nullspace }
    }

    fn start(registry: &Registry, store: Arc<dyn Store>) -> Arc<Nullspace> {
        let upstream = registry.upstream_with(|config| config.retries = 1);
        let live = LiveSettings {
            policy: config::Cache::default(),
            on_divergence: OnDivergence::Quarantine,
            max_document: 1 << 12,
            upstreams: RegistryClients::new(vec![]),
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = registry.clock.clone();
        let documents = Arc::new(Documents::new(store.clone(), live, clock.clone(), metrics.clone()));
        let archive =
            Bounds { max_archive: 1 << 20, limits: ArchiveLimits { max_unpacked: 1 << 20, max_entries: 5 } };
        let files = Arc::new(SealedFiles::new(
            documents.clone(),
            store.clone(),
            (archive, Repositories::nowhere()),
            metrics.clone(),
        ));
        let patience = Duration::from_secs(5);
        let services =
            Arc::new(RelayServices::new(store, documents, files, clock, metrics, 1 << 18, patience));
        Arc::new(Nullspace::new(services, "/nullspace".to_owned(), upstream))
    }

    /// Ends the process, as far as memory goes, and starts another one.
    async fn restart(&self) {
        *self.nullspace.lock().await = Self::start(&self.registry, self.store.clone());
    }

    fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.registry.then(steps);
    }

    async fn answer(&self, ask: &Ask) -> Result<RelayedAnswer, WriteRefusal> {
        let nullspace = Arc::clone(&*self.nullspace.lock().await);
        let pieces: Vec<_> =
            ask.body.chunks(1000).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = StreamBody::new(stream::iter::<Vec<Result<_, Infallible>>>(pieces));
        let announced = ask.announced.unwrap_or(Some(ask.body.len() as u64));
        let body = ClientBody::new(any_body(body), announced, Duration::from_secs(5));
        let request = RelayRequest {
            method: &ask.method,
            path: &ask.path,
            query: ask.query,
            headers: &ask.headers,
            base: "http://here",
            context: FetchContext::foreground("id-1"),
        };
        nullspace.answer(request, body).await
    }

    async fn ask(&self, ask: &Ask) -> Result<Got, WriteRefusal> {
        let answer = self.answer(ask).await?;
        let content = match answer.content {
            RelayedContent::Whole(bytes) => bytes,
            RelayedContent::Streamed { pieces, .. } => pieces.try_collect::<Vec<_>>().await?.concat().into(),
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

    /// The requests at the registry since the last call, and their bodies.
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
fn only_paths_below_the_mount_are_relayed() {
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
