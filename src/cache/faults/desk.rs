//! A registry without sockets that sends ranges, or lies about them, and a proxy over any store that asks it.
//!
//! Owns what is published and how it is read back. Must not know what is promised.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::archive::fixture::{Tar, TestFile, integrity_of};
use crate::archive::{ArchiveError, Expected, Limits};
use crate::cache::documents::Live;
use crate::cache::sealed_files::Held;
use crate::cache::{Bounds, Documents, Errand, Failure, SealedFiles, verify_arriving};
use crate::clock::Clock;
use crate::config::{self, OnDivergence};
use crate::domain::{DocumentKey, Integrity, Purl, Sha256, Version, VolumeName};
use crate::intake::{IntakeError, Received, take_in};
use crate::store::sealed::steps;
use crate::store::{StorageKey, Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::testing::{HOME, REFUSED, upstream_over};
use crate::upstream::{Outgoing, Response, Transport, TransportError, Upstreams};

const CDN: &str = "https://cdn.example";
pub(super) const ARCHIVE: &str = "/a.tar.gz";
pub(super) const ARTIFACT: &str = "/artifact";

fn errand() -> Errand<'static> {
    Errand::foreground("id-1")
}

/// Bytes that gzip cannot shrink.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn packed(tar: &[u8], level: u32) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(level));
    packer.write_all(tar).unwrap();
    packer.finish().unwrap()
}

/// Everything that is published of one release.
pub(super) struct Release {
    pub(super) name: VolumeName,
    pub(super) version: Version,
    pub(super) integrity: Integrity,
    pub(super) archive: Bytes,
    /// The same tree, compressed otherwise.
    pub(super) repacked: Bytes,
    pub(super) artifact: Bytes,
}

impl Release {
    /// One whose archive holds so many bytes of noise, and one trust artifact.
    pub(super) fn new(noisy: usize, artifact: Vec<u8>) -> Self {
        let manifest = "[volume]\nname = \"x\"\nversion = \"1.0.0\"\n";
        // Out of order, so that the archive is read a second time.
        let files: [TestFile; 3] = [
            ("volume.toml".into(), false, manifest.into()),
            ("noise.bin".into(), false, noise(1, noisy)),
            ("README.md".into(), false, b"read me".to_vec()),
        ];
        let tar =
            files.iter().fold(Tar::default(), |tar, (path, _, content)| tar.file(path, content)).ended();
        let (name, version) = ("x".parse().unwrap(), "1.0.0".parse().unwrap());
        let integrity = integrity_of(&files);
        let (archive, repacked) = (packed(&tar, 1).into(), packed(&tar, 0).into());
        Self { name, version, integrity, archive, repacked, artifact: artifact.into() }
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

    /// The body of every answer, by its path.
    fn answers(&self) -> HashMap<String, Bytes> {
        let (purl, integrity) = (self.purl().to_string(), self.integrity.to_string());
        let (exact, available) = (self.exact().to_string(), json!({ "state": "available" }));
        let row = json!({
            "version": "1.0.0", "status": available, "release": { "url": exact }, "integrity": integrity,
        });
        let release = json!({
            "name": "x", "version": "1.0.0", "purl": purl, "integrity": integrity, "status": available,
            "dist": { "source": "cdn", "mediaType": "application/gzip", "url": format!("{CDN}{ARCHIVE}") },
        });
        let attachment = json!({
            "id": "one", "category": "sbom", "format": { "family": "any", "mediaType": "text/plain" },
            "artifactDigest": format!("sha256:{}", self.digest().hex()), "artifactSize": self.artifact.len(),
            "locator": { "url": format!("{CDN}{ARTIFACT}") }, "status": { "state": "active" },
        });
        let detail = json!({
            "subject": { "purl": purl, "integrity": integrity }, "revision": { "revision": "1" },
            "attachments": [attachment],
        });
        HashMap::from([
            (self.index().to_string(), json!({ "items": [row] }).to_string().into()),
            (exact, release.to_string().into()),
            (
                DocumentKey::TrustDetail(self.name.clone(), self.version.clone()).to_string(),
                detail.to_string().into(),
            ),
            (ARCHIVE.to_owned(), self.archive.clone()),
            (ARTIFACT.to_owned(), self.artifact.clone()),
        ])
    }
}

/// What becomes of a `Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranging {
    /// The whole comes.
    Ignored,
    Honoured,
    /// The part is named rightly and its bytes are others.
    Wrong,
    /// The part beside the one that was asked for, named so.
    Elsewhere,
}

/// A registry and its archive host.
pub(super) struct Registry {
    answers: Mutex<HashMap<String, Bytes>>,
    ranging: Ranging,
    up: AtomicBool,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

impl Registry {
    pub(super) fn of(release: &Release, ranging: Ranging) -> Arc<Self> {
        let asked = Mutex::default();
        Arc::new(Self { answers: Mutex::new(release.answers()), ranging, up: AtomicBool::new(true), asked })
    }

    pub(super) fn cut_off(&self) {
        self.up.store(false, Ordering::SeqCst);
    }

    /// What is said of a document.
    pub(super) fn says(&self, key: &DocumentKey) -> Bytes {
        self.answers.lock().unwrap()[&key.to_string()].clone()
    }

    /// Publishes a release in place of everything.
    pub(super) fn publish(&self, release: &Release) {
        *self.answers.lock().unwrap() = release.answers();
    }

    /// Publishes other bytes at `path` from now on.
    pub(super) fn replace(&self, path: &str, body: Bytes) {
        self.answers.lock().unwrap().insert(path.to_owned(), body);
    }

    /// The `Range` of every question for `path` since the last call, in order; none for one about the whole.
    pub(super) fn asked(&self, path: &str) -> Vec<Option<String>> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().filter(|(of, _)| of == path).map(|(_, range)| range).collect()
    }

    fn part(&self, range: &str, whole: &Bytes) -> Option<Response> {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let Range { start, end } = first.parse::<usize>().unwrap()..last.parse::<usize>().unwrap() + 1;
        let (start, end, mask) = match self.ranging {
            Ranging::Ignored => return None,
            Ranging::Honoured => (start, end, 0),
            Ranging::Wrong => (start, end, 0x55),
            Ranging::Elsewhere if start == 0 => (1, (end + 1).min(whole.len()), 0),
            Ranging::Elsewhere => (start - 1, end - 1, 0),
        };
        let stated = format!("bytes {start}-{}/{}", end.saturating_sub(1), whole.len());
        let headers = HeaderMap::from_iter([(CONTENT_RANGE, stated.parse().unwrap())]);
        let bytes: Vec<u8> = whole[start..end].iter().map(|byte| byte ^ mask).collect();
        Some(response(206, headers, bytes.into()))
    }
}

#[async_trait]
impl Transport for Registry {
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
        let url = request.url.as_str();
        let path = url.strip_prefix(HOME).or_else(|| url.strip_prefix(CDN)).unwrap();
        let range = request.headers.get(RANGE).map(|range| range.to_str().unwrap().to_owned());
        self.asked.lock().unwrap().push((path.to_owned(), range.clone()));
        if !self.up.load(Ordering::SeqCst) {
            return Err(REFUSED);
        }
        let Some(body) = self.answers.lock().unwrap().get(path).cloned() else {
            return Ok(response(404, HeaderMap::new(), Bytes::new()));
        };
        let part = range.and_then(|range| self.part(&range, &body));
        Ok(part.unwrap_or_else(|| response(200, HeaderMap::new(), body)))
    }
}

fn response(status: u16, headers: HeaderMap, body: Bytes) -> Response {
    let pieces: Vec<_> = (0..body.len()).step_by(50_000).collect();
    let pieces = pieces.into_iter().map(move |at| Ok(body.slice(at..(at + 50_000).min(body.len()))));
    Response { status: StatusCode::from_u16(status).unwrap(), headers, body: stream::iter(pieces).boxed() }
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
        let upstreams = Upstreams::new(vec![(upstream_over(registry.clone(), clock.clone()), Vec::new())]);
        let (policy, on_divergence) = (config::Cache::default(), OnDivergence::Quarantine);
        let live = Live { policy, on_divergence, max_document: 1 << 20, upstreams };
        let metrics = Arc::new(Metrics::new().unwrap());
        let documents = Arc::new(Documents::new(store.clone(), live, clock, metrics.clone()));
        let limits = Limits { max_unpacked: 1 << 26, max_entries: 100 };
        let bounds = Bounds { max_archive: 1 << 26, limits };
        let files = Arc::new(SealedFiles::new(documents.clone(), store.clone(), bounds, metrics.clone()));
        Self { store, bounds, documents, files, metrics }
    }

    pub(super) async fn document(&self, key: &DocumentKey) -> Result<Bytes, Failure> {
        Ok(self.documents.get(key, errand()).await?.document.content.body().clone())
    }

    pub(super) async fn archive(&self, release: &Release) -> Result<Held, Failure> {
        self.files.archive(&release.name, &release.version, errand()).await
    }

    pub(super) async fn artifact(&self, release: &Release) -> Result<Held, Failure> {
        self.files.trust_artifact(&release.name, &release.version, &release.digest(), errand()).await
    }

    /// Takes `packed` in as a client's upload of `release`, and keeps it as what it turned out to be.
    pub(super) async fn publish(&self, release: &Release, packed: &Bytes) -> Result<(), StoreError> {
        let (name, version, limits) = (release.name.clone(), release.version.clone(), self.bounds.limits);
        let pieces: Vec<_> = packed.chunks(70_000).map(Bytes::copy_from_slice).map(Ok).collect();
        let body = stream::iter::<Vec<Result<Bytes, Infallible>>>(pieces).boxed();
        let taken = take_in(&self.store, body, self.bounds.max_archive, move |arriving| {
            let expected = Expected { name: &name, version: &version, integrity: None };
            verify_arriving(arriving, &expected, &limits)
        });
        let (sealing, verified) = match taken.await {
            Err(IntakeError::Store(error)) => return Err(error),
            Err(IntakeError::Inspected(ArchiveError::Scratch(error))) => return Err(error.into()),
            taken => taken.map_err(|error| error.to_string()).unwrap(),
        };
        let purl = release.purl();
        let received = Received::new(sealing, *verified.integrity.digest(), &purl.to_string()).await?;
        self.seed(&purl, &verified.integrity, received).await;
        Ok(())
    }

    pub(super) async fn seed(&self, release: &Purl, integrity: &Integrity, received: Received) {
        self.files.seed(release, integrity, received).await;
    }

    /// The bytes of `range` as they would be sent.
    pub(super) async fn read(&self, held: &Held, range: Range<u64>) -> Result<Bytes, Failure> {
        let mut sent = BytesMut::new();
        for step in steps(range) {
            sent.extend_from_slice(&self.files.read(&held.file, step, errand()).await?);
        }
        Ok(sent.freeze())
    }

    pub(super) async fn read_all(&self, held: &Held) -> Result<Bytes, Failure> {
        self.read(held, 0..held.file.seal.length).await
    }

    /// Lets everything end that goes on behind the answers.
    pub(super) async fn idle(&self) {
        while Arc::strong_count(&self.documents) > 2 || Arc::strong_count(&self.files) > 1 {
            tokio::task::yield_now().await;
        }
    }

    /// How often files were mended, and `how`.
    pub(super) fn healed(&self, how: &str) -> u64 {
        let (rendered, series) = (self.metrics.render(), format!("store_healed_total{{how=\"{how}\"}} "));
        let value = rendered.lines().find_map(|line| line.split_once(&series).map(|(_, value)| value));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// Where the two files of a release lie.
pub(super) fn places(release: &Release) -> [StorageKey; 2] {
    [StorageKey::Archive(release.integrity), StorageKey::TrustArtifact(release.digest())]
}
