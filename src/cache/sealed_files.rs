//! Sealed files: what a gate permits is sent from the store, or brought in by one verified fetch.
//!
//! Owns their seals in memory, their one fetch each, and what becomes of a damaged one. Must not know what
//! permits a file (`archives`, `trust_artifacts`) nor HTTP: ranges and headers are `respond`'s.

use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::{error, warn};

use super::documents::{Answer, Documents};
use super::failure::Failure;
use super::flight::Flights;
use super::ingest::{Bounds, IngestError, ingest};
use super::outcome::Outcome;
use super::wanted::{Mismatch, Wanted};
use crate::archive::ArchiveError;
use crate::domain::DocumentKey;
use crate::store::sealed::{self, Seal};
use crate::store::{StorageKey, Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::{Errand, Payload};

/// Files being brought in at once; each may hold a spill and a download's queue in memory.
const INGESTS: usize = 8;
/// Seals kept in memory: the checksums of 10,000 archives of a few megabytes are about a megabyte.
const SEALS: u64 = 10_000;

/// A file that may be sent.
#[derive(Debug, Clone)]
pub struct Held {
    /// The file.
    pub file: SealedFile,
    /// What it is sent as.
    pub media: Media,
    /// The document that permits it, which says how old the permission is.
    pub gate: Answer,
    /// How it came about.
    pub outcome: Outcome,
}

/// A stored file whose bytes prove themselves as they are read.
#[derive(Debug, Clone)]
pub struct SealedFile {
    /// What was sealed.
    pub seal: Arc<Seal>,
    payload: Payload,
    place: StorageKey,
}

/// What a file is sent as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// An archive, verified to be one.
    Gzip,
    /// Whatever a registry says it is; not to be believed.
    Declared(String),
}

/// What a gate permits, and where it would come from.
pub(super) struct Permit {
    pub(super) wanted: Wanted,
    pub(super) media: Media,
    /// Absolute, or relative to `from`.
    pub(super) locator: String,
    /// The document that says all this.
    pub(super) from: DocumentKey,
    pub(super) gate: Answer,
}

/// One fetch: a registry's failure to deliver a content is not another registry's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fetch {
    upstream: String,
    wanted: Wanted,
}

/// What the fetch of a file comes to.
type Fill = Result<Arc<Seal>, Failure>;

/// The archives and trust artifacts of every upstream.
#[derive(Debug)]
pub struct SealedFiles {
    pub(super) documents: Arc<Documents>,
    store: Arc<dyn Store>,
    seals: moka::sync::Cache<StorageKey, Arc<Seal>>,
    flights: Arc<Flights<Fetch, Fill>>,
    ingests: Semaphore,
    bounds: ArcSwap<Bounds>,
    metrics: Arc<Metrics>,
}

impl SealedFiles {
    /// Files kept in `store`, gated by `documents`.
    #[must_use]
    pub fn new(
        documents: Arc<Documents>,
        store: Arc<dyn Store>,
        bounds: Bounds,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            documents,
            store,
            seals: moka::sync::Cache::new(SEALS),
            flights: Arc::default(),
            ingests: Semaphore::new(INGESTS),
            bounds: ArcSwap::from_pointee(bounds),
            metrics,
        }
    }

    /// Bounds what is brought in from now on; what is held stays, and a download under way ends as it began.
    pub fn reload(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
    }

    /// The file that `permit` is for, fetched where it is not held.
    pub(super) async fn hold(self: &Arc<Self>, permit: Permit, errand: Errand<'_>) -> Result<Held, Failure> {
        let wanted = &permit.wanted;
        let (seal, outcome) = match self.sealed(wanted).await? {
            Some(seal) => (seal, hit(&permit.gate)),
            None if self.documents.live().policy.offline => return Err(Failure::Offline),
            None => self.fetch(&permit, errand).await?,
        };
        wanted.compare(&seal).map_err(inconsistent)?;
        let file = SealedFile { seal, payload: wanted.payload(), place: wanted.place() };
        Ok(Held { file, media: permit.media, gate: permit.gate, outcome })
    }

    /// Bytes of a sealed file, verified as they are read. One whose bytes changed since it was sealed is
    /// set aside, so that the next request fetches it anew.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read or are not what was sealed.
    pub async fn read(&self, file: &SealedFile, range: Range<u64>) -> Result<Bytes, StoreError> {
        let SealedFile { seal, payload, place } = file;
        let read = seal.read(&*self.store, place, range).await;
        match &read {
            Err(StoreError::Corrupt { what }) if !self.replaced(file).await => {
                self.set_aside(*payload, place, what).await;
            }
            Err(_) => self.seals.invalidate(place),
            Ok(_) => {}
        }
        read
    }

    /// Whether another, whole file of the same content took the place of the one that was sealed so.
    async fn replaced(&self, file: &SealedFile) -> bool {
        let current = sealed::open(&*self.store, &file.place).await;
        matches!(current, Ok(Some(current)) if current.raw != file.seal.raw)
    }

    async fn sealed(&self, wanted: &Wanted) -> Result<Option<Arc<Seal>>, Failure> {
        let place = wanted.place();
        if let Some(seal) = self.seals.get(&place) {
            return Ok(Some(seal));
        }
        match sealed::open(&*self.store, &place).await {
            Ok(Some(seal)) if wanted.is_under(&seal) => Ok(Some(self.remember(place, seal))),
            Ok(Some(_)) => {
                self.set_aside(wanted.payload(), &place, "the seal is that of another content").await;
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(StoreError::Corrupt { what }) => {
                self.set_aside(wanted.payload(), &place, &what).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remember(&self, place: StorageKey, seal: Seal) -> Arc<Seal> {
        let seal = Arc::new(seal);
        self.seals.insert(place, Arc::clone(&seal));
        seal
    }

    async fn set_aside(&self, payload: Payload, place: &StorageKey, what: &str) {
        self.seals.invalidate(place);
        self.metrics.integrity_failure(match payload {
            Payload::Archive => "stored-archive",
            Payload::TrustArtifact => "stored-trust-artifact",
        });
        let path = place.path();
        error!(path, what, "a stored file is corrupt and is set aside");
        if let Err(error) = self.store.set_aside(place, what).await {
            error!(%error, path, "cannot set a corrupt file aside");
        }
    }

    /// Joins the one fetch of a file, or starts it.
    async fn fetch(
        self: &Arc<Self>,
        permit: &Permit,
        errand: Errand<'_>,
    ) -> Result<(Arc<Seal>, Outcome), Failure> {
        let upstream = permit.gate.document.meta.upstream.clone();
        let fetch = Fetch { upstream, wanted: permit.wanted.clone() };
        let joined = self.flights.join(&fetch, || {
            let (files, fetch, errand) = (Arc::clone(self), fetch.clone(), errand.kept());
            let (locator, from) = (permit.locator.clone(), permit.from.clone());
            async move { files.fill(&fetch, &locator, &from, errand.lend()).await }
        });
        let (seal, collapsed) = joined.await.map_err(|_| Failure::Lost)?;
        Ok((seal?, Outcome::Forwarded { stale: false, status: 200, stored: true, collapsed }))
    }

    /// The one fetch of a file: downloads until the transport holds, verifies, commits.
    async fn fill(&self, fetch: &Fetch, locator: &str, from: &DocumentKey, errand: Errand<'_>) -> Fill {
        let Fetch { upstream, wanted } = fetch;
        if let Some(seal) = self.sealed(wanted).await? {
            return Ok(seal);
        }
        let _turn = self.ingests.acquire().await.map_err(|_| Failure::Lost)?;
        let Some(upstream) = self.documents.live().upstreams.named(upstream).cloned() else {
            return Err(from.volume().cloned().map_or(Failure::Malformed, Failure::NoUpstream));
        };
        let (payload, from) = (wanted.payload(), from.to_string());
        let name = upstream.name();
        let mut attempt = 0;
        loop {
            let download = upstream.download(payload, locator, &from, errand).await?;
            match ingest(&self.store, download, wanted, &self.bounds.load_full()).await {
                Ok(seal) => return Ok(self.remember(wanted.place(), seal)),
                Err(error) if error.is_transport() && attempt < upstream.retries() => {
                    warn!(what = payload.as_str(), file = %wanted, upstream = name, request_id = errand.id, %error, "damaged on its way");
                    upstream.pause_before_retry(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    let stage = stage(&error);
                    self.metrics.integrity_failure(stage);
                    error!(what = payload.as_str(), file = %wanted, upstream = name, request_id = errand.id, stage, %error, "refused");
                    return Err(error.into());
                }
            }
        }
    }
}

/// A held file is as fresh as its permission, which may itself just have been fetched.
fn hit(gate: &Answer) -> Outcome {
    match gate.outcome {
        Outcome::Hit { .. } => gate.outcome,
        _ => Outcome::Hit { ttl: gate.ttl, stale: None },
    }
}

fn inconsistent(mismatch: Mismatch) -> Failure {
    Failure::Inconsistent(mismatch.to_string())
}

/// The metric's label for what a file failed at.
fn stage(error: &IngestError) -> &'static str {
    match error {
        IngestError::Download(_) | IngestError::Lost => "download",
        IngestError::Store(_) => "store",
        IngestError::TooLarge { .. } => "size",
        IngestError::Mismatch(Mismatch::Digest { .. } | Mismatch::Size { .. }) => "trust-artifact",
        IngestError::Mismatch(Mismatch::Release { .. }) => "identity",
        IngestError::Archive(error) => match error {
            ArchiveError::Source(_) | ArchiveError::Gzip(_) => "download",
            ArchiveError::Scratch(_) => "store",
            ArchiveError::TooLarge(_) => "size",
            ArchiveError::Profile(_) => "profile",
            ArchiveError::Digest { .. } => "digest",
            ArchiveError::Manifest(_) => "manifest",
            ArchiveError::Identity { .. } => "identity",
            ArchiveError::Escalation { .. } => "escalation",
        },
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Download(error) => Self::CouldNotAsk(error),
            IngestError::TooLarge { limit } => Self::TooLarge { limit },
            IngestError::Mismatch(mismatch) => inconsistent(mismatch),
            IngestError::Archive(error) => Self::Archive(Arc::new(error)),
            IngestError::Store(error) => error.into(),
            IngestError::Lost => Self::Lost,
        }
    }
}
