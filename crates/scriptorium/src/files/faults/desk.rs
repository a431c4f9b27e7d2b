//! A registry without sockets that honours ranges or answers them wrongly, and a proxy over any store that asks it.
//!
//! Owns what is published and how it is read back. Must not know what is promised.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bibliotheca::archive::{TarMember, gzip_at, tar};
use bibliotheca::wire::HeaderFields;
use bibliotheca::{
    PublishedArtifact, PublishedRelease, RangeSupport, ReceivedRequest, ScriptedRegistry, ScriptedReply,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::clock::Clock;
use crate::config::{self, OnDivergence};
use crate::domain::{DocumentKey, FileKey, Integrity, Purl, Sha256, Version, VolumeName};
use crate::files::{Bounds, PermittedFile, SealedFiles, verify_arriving};
use crate::intake::{IntakeError, Received, take_in};
use crate::read::documents::LiveSettings;
use crate::read::{Documents, ReadFailure};
use crate::repositories::Repositories;
use crate::store::sealed::steps;
use crate::store::{StorageKey, Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::testing::{HOME, REFUSED, ask, upstream_over};
use crate::upstream::{FetchContext, Outgoing, RegistryClients, RegistryResponse, Transport, TransportError};
use archive::{ArchiveError, ArchiveLimits, ExpectedRelease};

const CDN: &str = "https://cdn.example";
pub(super) const ARCHIVE: &str = "/a.tar.gz";
pub(super) const ARTIFACT: &str = "/artifact";

fn context() -> FetchContext<'static> {
    FetchContext::foreground("id-1")
}

/// Bytes that gzip cannot shrink.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// One release with its archive and its trust artifact.
pub(super) struct Release {
    pub(super) name: VolumeName,
    pub(super) version: Version,
    pub(super) integrity: Integrity,
    pub(super) archive: Bytes,
    /// The same tree with other compression.
    pub(super) repacked: Bytes,
    pub(super) artifact: Bytes,
    published: PublishedRelease,
}

impl Release {
    /// A release with this many bytes of noise in its archive, and one trust artifact.
    pub(super) fn new(noisy: usize, artifact: Vec<u8>) -> Self {
        let manifest = "[volume]\nname = \"x\"\nversion = \"1.0.0\"\n";
        // Out of order, so that the archive is read a second time.
        let entries = vec![
            TarMember::file("volume.toml", manifest),
            TarMember::file("noise.bin", noise(1, noisy)),
            TarMember::file("README.md", "read me"),
        ];
        let archive = gzip_at(1, &tar(&entries)).into();
        let mut published = PublishedRelease::of("x", "1.0.0", entries);
        let url = format!("{CDN}{ARCHIVE}");
        published.dist = Some(json!({ "source": "cdn", "mediaType": "application/gzip", "url": url }));
        Self {
            name: "x".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            integrity: published.integrity().parse().unwrap(),
            archive,
            repacked: published.archive().into(),
            artifact: artifact.into(),
            published,
        }
    }

    pub(super) fn purl(&self) -> Purl {
        Purl::new(&self.name, &self.version)
    }

    pub(super) fn digest(&self) -> Sha256 {
        Sha256::of(&self.artifact)
    }

    pub(super) fn index(&self) -> DocumentKey {
        DocumentKey::Index(self.name.clone())
    }

    pub(super) fn exact(&self) -> DocumentKey {
        DocumentKey::Release(self.name.clone(), self.version.clone())
    }

    /// Publishes it on `registry`, without entity tags.
    fn publish(&self, registry: &ScriptedRegistry, ranging: RangeSupport) {
        let release = &self.published;
        let format = json!({ "family": "any", "mediaType": "text/plain" });
        let artifact = PublishedArtifact::of("one", "sbom", format, self.artifact.to_vec());
        let mut attachment = artifact.attachment("");
        attachment["locator"]["url"] = format!("{CDN}{ARTIFACT}").into();
        let documents = [
            (release.index(), json!({ "items": [release.row("")] })),
            (release.exact(), release.metadata("")),
            (release.trust("detail"), release.attested(&[attachment])),
        ];
        for (target, document) in documents {
            registry.reply(&target, ScriptedReply::answer(200, &document));
        }
        let archive = ScriptedReply::archive(&*self.archive);
        registry.reply(ARCHIVE, archive.ranging(ranging));
        registry.reply(ARTIFACT, artifact.reply().ranging(ranging));
    }
}

/// A registry and its archive host, without sockets.
pub(super) struct Registry {
    registry: ScriptedRegistry,
    ranging: RangeSupport,
    up: AtomicBool,
}

impl Registry {
    pub(super) fn of(release: &Release, ranging: RangeSupport) -> Arc<Self> {
        let registry = Self { registry: ScriptedRegistry::at(""), ranging, up: AtomicBool::new(true) };
        registry.registry.otherwise(ScriptedReply::new(404, "text/plain", ""));
        registry.publish(release);
        Arc::new(registry)
    }

    pub(super) fn cut_off(&self) {
        self.up.store(false, Ordering::SeqCst);
    }

    pub(super) fn connect(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    /// Answers with `document` from now on.
    pub(super) fn say(&self, key: &DocumentKey, document: &serde_json::Value) {
        self.registry.reply(&key.to_string(), ScriptedReply::answer(200, document));
    }

    /// Refuses a document from now on.
    pub(super) fn refuse(&self, key: &DocumentKey) {
        let problem = ScriptedReply::problem(403, "authorization-failed", "Blocked", "It is blocked.");
        self.registry.reply(&key.to_string(), problem);
    }

    /// The document that it answers with.
    pub(super) fn says(&self, key: &DocumentKey) -> Bytes {
        let request = ReceivedRequest::new("GET", &key.to_string(), HeaderFields::default());
        Bytes::copy_from_slice(self.registry.ask(request).body())
    }

    /// Publishes a release in place of everything.
    pub(super) fn publish(&self, release: &Release) {
        release.publish(&self.registry, self.ranging);
    }

    /// Publishes other bytes of the archive from now on.
    pub(super) fn replace_archive(&self, archive: &[u8]) {
        self.registry.reply(ARCHIVE, ScriptedReply::archive(archive).ranging(self.ranging));
    }

    /// The `Range` of every request for `path` since the last call, in order; none of a request for the whole.
    pub(super) fn asked(&self, path: &str) -> Vec<Option<String>> {
        let asked = self.registry.take_seen().into_iter().filter(|request| request.target == path);
        asked.map(|request| request.header("range").map(str::to_owned)).collect()
    }
}

#[async_trait]
impl Transport for Registry {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
        let url = request.url.as_str();
        let path = url.strip_prefix(HOME).or_else(|| url.strip_prefix(CDN)).unwrap();
        let response = ask(&self.registry, path, &request);
        if self.up.load(Ordering::SeqCst) { Ok(response) } else { Err(REFUSED) }
    }
}

/// A proxy that has just been started.
pub(super) struct Proxy {
    store: Arc<dyn Store>,
    bounds: Bounds,
    documents: Arc<Documents>,
    files: Arc<SealedFiles>,
    pub(super) metrics: Arc<Metrics>,
}

impl Proxy {
    pub(super) fn over(store: Arc<dyn Store>, registry: &Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        let upstreams =
            RegistryClients::new(vec![(upstream_over(registry.clone(), clock.clone()), Vec::new())]);
        let (policy, on_divergence) = (config::Cache::default(), OnDivergence::Quarantine);
        let live = LiveSettings { policy, on_divergence, max_document: 1 << 20, upstreams };
        let metrics = Arc::new(Metrics::new().unwrap());
        let documents = Arc::new(Documents::new(store.clone(), live, clock, metrics.clone()));
        let limits = ArchiveLimits { max_unpacked: 1 << 26, max_entries: 100 };
        let bounds = Bounds { max_archive: 1 << 26, limits };
        let files = Arc::new(SealedFiles::new(
            documents.clone(),
            store.clone(),
            (bounds, Repositories::nowhere()),
            metrics.clone(),
        ));
        Self { store, bounds, documents, files, metrics }
    }

    pub(super) async fn document(&self, key: &DocumentKey) -> Result<Bytes, ReadFailure> {
        Ok(self.documents.get(key, context()).await?.document.content.body().clone())
    }

    pub(super) async fn archive(&self, release: &Release) -> Result<PermittedFile, ReadFailure> {
        self.files.open(&FileKey::Archive(release.name.clone(), release.version.clone()), context()).await
    }

    pub(super) async fn artifact(&self, release: &Release) -> Result<PermittedFile, ReadFailure> {
        let (name, version) = (release.name.clone(), release.version.clone());
        self.files.open(&FileKey::TrustArtifact(name, version, release.digest()), context()).await
    }

    /// Takes `packed` in as a client's upload of `release`, and keeps it as what it turned out to be.
    pub(super) async fn publish(&self, release: &Release, packed: &Bytes) -> Result<(), StoreError> {
        let (name, version, limits) = (release.name.clone(), release.version.clone(), self.bounds.limits);
        let pieces: Vec<_> = packed.chunks(70_000).map(Bytes::copy_from_slice).map(Ok).collect();
        let body = stream::iter::<Vec<Result<Bytes, Infallible>>>(pieces).boxed();
        let taken = take_in(&self.store, body, self.bounds.max_archive, move |arriving| {
            let expected = ExpectedRelease { name: &name, version: &version, integrity: None };
            verify_arriving(arriving, &expected, &limits)
        });
        let (sealing, verified) = match taken.await {
            Err(IntakeError::Store(error)) => return Err(error),
            Err(IntakeError::Inspected(ArchiveError::Scratch(error))) => return Err(error.into()),
            taken => taken.map_err(|error| error.to_string()).unwrap(),
        };
        let purl = release.purl();
        let received =
            Received::new(sealing, *verified.examined.integrity.digest(), &purl.to_string()).await?;
        self.seed(&purl, &verified.examined.integrity, received).await;
        Ok(())
    }

    pub(super) async fn seed(&self, release: &Purl, integrity: &Integrity, received: Received) {
        self.files.seed(release, integrity, received).await;
    }

    /// The bytes of `range` as they would be sent.
    pub(super) async fn read(&self, held: &PermittedFile, range: Range<u64>) -> Result<Bytes, ReadFailure> {
        let mut sent = BytesMut::new();
        for step in steps(range) {
            sent.extend_from_slice(&self.files.read(&held.file, step, context()).await?);
        }
        Ok(sent.freeze())
    }

    pub(super) async fn read_all(&self, held: &PermittedFile) -> Result<Bytes, ReadFailure> {
        self.read(held, 0..held.file.seal.length).await
    }

    /// Waits until all background work has ended.
    pub(super) async fn idle(&self) {
        while Arc::strong_count(&self.documents) > 3 || self.files.is_bringing() {
            tokio::task::yield_now().await;
        }
    }

    /// How often files were mended in the way `how`.
    pub(super) fn healed(&self, how: &str) -> u64 {
        let (rendered, series) = (self.metrics.render(), format!("store_healed_total{{how=\"{how}\"}} "));
        let value = rendered.lines().find_map(|line| line.split_once(&series).map(|(_, value)| value));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// The storage keys of the two files of a release.
pub(super) fn places(release: &Release) -> [StorageKey; 2] {
    [StorageKey::Archive(release.integrity), StorageKey::TrustArtifact(release.digest())]
}
