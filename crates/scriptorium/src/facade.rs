//! What benches and fuzz targets may do: whole steps of the proxy, without its parts.
//!
//! Everything else of the crate is closed, so that the compiler reports code that nothing uses. Owns the wiring of these
//! steps. The proxy itself must not use it.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;

use crate::app::App;
use crate::clock::SystemClock;
use crate::clock::Timestamp;
use crate::config::{Config, ConfigErrors, Overrides};
use crate::consistency::{ExactAnswer, reconcile};
use crate::domain::check::{DocumentSource, check};
use crate::domain::link::Template;
use crate::domain::{DocumentKey, Facts, Integrity, Release, Resource, Rows, Sha256, Version, VolumeName};
use crate::limit::{Client, Limiter};
use crate::listen::{Peer, RequestHandler};
use crate::pipeline::{IncomingRequest, Pipeline};
use crate::relay::any_body;
use crate::respond::Body;
use crate::route::{ApiRoute, parse};
use crate::store::ledger::Ledger;
use crate::store::{FileStore, ObjectStorage, StorageKey, ValueStore};
use crate::telemetry::{AccessLog, RecordGuard, logging};

/// Why a step failed.
pub type StepError = Box<dyn std::error::Error + Send + Sync>;

/// A valid configuration.
#[derive(Debug, PartialEq)]
pub struct LoadedConfig(Config);

impl LoadedConfig {
    /// The configuration in `text`, without flags and environment; or the message of each error.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<String>> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new()?;
            file.write_all(text).map(|()| file)
        };
        let file = write().map_err(|error: io::Error| vec![error.to_string()])?;
        let loaded = Config::load(Some(file.path()), std::iter::empty(), Overrides::default(), Timestamp(0));
        let messages = |errors: ConfigErrors| errors.0.into_iter().map(|error| error.message).collect();
        loaded.map(|loaded| Self(loaded.config)).map_err(messages)
    }

    /// The configuration as `config check` prints it.
    pub fn print(&self) -> String {
        self.0.to_toml()
    }

    /// The rate limits. A call counts one request and answers the address that it counts for, if it has no token.
    pub fn limiter(&self) -> impl Fn(Option<SocketAddr>, &HeaderMap) -> Option<IpAddr> + use<> {
        let limiter = Limiter::new(&(&self.0).into(), Arc::new(SystemClock::default()), None);
        move |peer, headers| match limiter.admit(peer, headers).client {
            Client::Address(address) => Some(address),
            Client::Token(_) | Client::Unknown => None,
        }
    }
}

/// A proxy as in production, without ports.
pub struct PortlessProxy {
    pipeline: Arc<Pipeline>,
    /// The rest of the log is written when this is dropped.
    _log: Option<RecordGuard>,
}

/// A request that has arrived.
pub struct ArrivedRequest(IncomingRequest);

impl ArrivedRequest {
    /// `request`, from a client without TLS.
    pub fn new(request: Request<()>, peer: SocketAddr) -> Self {
        let (parts, ()) = request.into_parts();
        let (method, uri, version, headers) = (parts.method, parts.uri, parts.version, parts.headers);
        Self(IncomingRequest { method, uri, version, headers, peer: Some(peer), tls: false })
    }
}

impl PortlessProxy {
    /// The proxy, and the work that must run in the background. It logs to standard error if it `logs`. Not to be called on a
    /// runtime.
    pub fn new(
        config: &LoadedConfig,
        logs: bool,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), StepError> {
        let LoadedConfig(config) = config;
        let (log, access) = match logs {
            true => logging(&config.log, &config.telemetry).map(|(log, access)| (Some(log), access))?,
            false => (None, AccessLog::default()),
        };
        let (pipeline, background) = App::new(config, access, false, None)?.without_ports();
        Ok((Self { pipeline, _log: log }, background))
    }

    /// How it works with other proxies: `together` or `alone`, if there are any.
    pub fn cluster(&self) -> Option<&'static str> {
        self.pipeline.documents.cluster().map(|node| node.state())
    }

    /// Answers a request without a body.
    pub async fn answer(
        &self,
        request: &ArrivedRequest,
    ) -> Response<impl http_body::Body<Data = Bytes, Error = io::Error> + Unpin + use<>> {
        Pipeline::answer(&self.pipeline, &request.0, any_body(Body::empty())).await
    }

    /// Answers a request that hyper reads from a connection without TLS.
    pub fn answer_connection(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<impl http_body::Body<Data = Bytes, Error = io::Error> + use<>>> {
        RequestHandler::answer(&*self.pipeline, request, Peer { address: Some(peer), tls: false })
    }
}

/// A route that a client can ask for.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadRoute(ApiRoute);

impl ReadRoute {
    /// The route of `GET target`.
    pub fn of(target: &str) -> Option<Self> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        parse(&Method::GET, path, query).ok().map(Self)
    }

    /// The canonical spelling, if it is the route of a document.
    pub fn document(&self) -> Option<String> {
        let ApiRoute::Document(key) = &self.0 else { return None };
        Some(key.to_string())
    }

    /// Checks `body` as the answer of the registry at `origin`.
    pub fn check(&self, body: &Bytes, origin: &str) -> Option<CheckedDocument> {
        let ApiRoute::Document(key) = &self.0 else { return None };
        let checked = check(key, body, DocumentSource { origin, at: None }).ok()?;
        Some(CheckedDocument(checked.template))
    }
}

/// A document that was accepted.
#[derive(Debug)]
pub struct CheckedDocument(Template);

impl CheckedDocument {
    /// The document as clients of the proxy at `base` get it.
    pub fn render(&self, base: &str) -> Bytes {
        self.0.render(base)
    }

    /// The registry's bytes.
    pub fn original(&self) -> &Bytes {
        self.0.original()
    }
}

/// An index and the exact metadata of its releases. Each release is pinned at its integrity.
pub struct VolumeAnswers {
    name: VolumeName,
    rows: Rows,
    releases: Vec<(Version, Release)>,
}

impl VolumeAnswers {
    /// Reads the answers about the volume `name`: its index, and the exact metadata of versions.
    pub fn read(name: &str, index: &Bytes, exact: &[(String, Bytes)]) -> Option<Self> {
        let name: VolumeName = name.parse().ok()?;
        let release = |(version, body): &(String, Bytes)| {
            let version: Version = version.parse().ok()?;
            let key = DocumentKey::Release(name.clone(), version.clone());
            let Facts::Release(release) = check(&key, body, "").ok()?.facts else { return None };
            Some((version, release))
        };
        let releases = exact.iter().map(release).collect::<Option<_>>()?;
        let rows = rows(&name, index)?;
        Some(Self { name, rows, releases })
    }

    /// Reads an index of the volume.
    pub fn read_index(&self, index: &Bytes) -> Option<impl Sized + use<>> {
        rows(&self.name, index)
    }

    /// The number of releases whose answers differ.
    pub fn differences(&self) -> usize {
        let differs = |(version, release): &&(Version, Release)| {
            let exact = Some(ExactAnswer::Found(release));
            reconcile((&self.name, version), Some(self.rows.of(version)), exact, release.integrity).is_some()
        };
        self.releases.iter().filter(differs).count()
    }
}

fn rows(name: &VolumeName, index: &Bytes) -> Option<Rows> {
    let facts = check(&DocumentKey::Index(name.clone()), index, "https://registry.example").ok()?.facts;
    if let Facts::Index(rows) = facts { Some(rows) } else { None }
}

/// A store on disk. Names are digests.
pub struct DiskStore(ObjectStorage);

impl DiskStore {
    /// The store in `folder`. Its finished writes outlive a power cut if it is `durable`.
    pub fn open(folder: &Path, durable: bool) -> Result<Self, StepError> {
        Ok(Self(ObjectStorage::local(folder, durable)?))
    }

    /// Writes a document, which the disk has within a second.
    pub async fn write_document(&self, name: [u8; 32], bytes: Bytes) -> Result<(), StepError> {
        let key = StorageKey::Document { resource: Resource::Index, name: Sha256::new(name) };
        Ok(self.0.write_behind(&key, bytes).await?)
    }

    /// Writes a refusal, which the disk has at the end.
    pub async fn write_refusal(&self, name: [u8; 32], bytes: Bytes) -> Result<(), StepError> {
        let key = StorageKey::Document { resource: Resource::Release, name: Sha256::new(name) };
        Ok(self.0.write(&key, bytes).await?)
    }

    /// Creates a pin. Answers whether there was none.
    pub async fn create_pin(&self, name: [u8; 32], bytes: Bytes) -> Result<bool, StepError> {
        let key = StorageKey::Pin { volume: Sha256::of(b"volume"), release: Sha256::new(name) };
        Ok(self.0.create(&key, bytes).await?)
    }

    /// Stages an archive of so many pieces, commits it and removes it. Answers how long staging and commit take.
    pub async fn write_archive(
        &self,
        name: [u8; 32],
        piece: &[u8],
        pieces: usize,
    ) -> Result<[Duration; 2], StepError> {
        let key = StorageKey::Archive(Integrity::new(Sha256::new(name)));
        let started = Instant::now();
        let mut staged = self.0.stage()?;
        for _ in 0..pieces {
            staged.write_all(piece)?;
        }
        let (staging, started) = (started.elapsed(), Instant::now());
        self.0.commit(&key, staged).await.map_err(|uncommitted| uncommitted.error)?;
        let commit = started.elapsed();
        self.0.remove(&key).await?;
        Ok([staging, commit])
    }
}

/// The store's eviction, of archives that are known by a number.
pub struct Eviction {
    ledger: Ledger,
    keys: Vec<StorageKey>,
    ceiling: u64,
}

impl Eviction {
    /// The eviction below a `ceiling`, of so many `archives`. None is stored yet.
    pub fn new(archives: usize, ceiling: u64) -> Self {
        let key = |number: usize| StorageKey::Archive(Integrity::new(Sha256::of(&number.to_le_bytes())));
        let (ledger, keys) = (Ledger::new(Rng::with_seed(1)), (0..archives).map(key).collect());
        Self { ledger, keys, ceiling }
    }

    /// Uses an archive of a size. One that is not stored is stored, and others are evicted. Answers whether it was stored.
    pub fn hit(&mut self, archive: usize, size: u64) -> bool {
        let Some(key) = self.keys.get(archive) else { return false };
        let is_stored = self.ledger.size_of(key).is_some();
        if is_stored {
            self.ledger.touch(key);
        } else {
            self.ledger.insert(key.clone(), size);
        }
        while self.ledger.total() > self.ceiling {
            let Some((victim, _)) = self.ledger.victim() else { break };
            self.ledger.remove(&victim);
        }
        is_stored
    }

    /// Uses a stored archive.
    pub fn touch(&mut self, archive: usize) {
        self.ledger.touch(&self.keys[archive]);
    }

    /// Keeps an archive from being evicted, and no longer.
    pub fn hold_and_release(&mut self, archive: usize) {
        self.ledger.hold(&self.keys[archive]);
        self.ledger.release(&self.keys[archive]);
    }

    /// Evicts an archive, and stores it again.
    pub fn evict_and_store(&mut self) {
        if let Some((victim, size)) = self.ledger.victim() {
            self.ledger.remove(&victim);
            self.ledger.insert(victim, size);
        }
    }
}
