//! Archives: gated on the release, served from a sealed file, brought in by one verified fetch.
//!
//! The release record decides first, however warm the archive is; the sealed file is found by the integrity
//! that record names, so an archive of another content can never be served in its place. Owns that order.
//! Must not know HTTP: ranges and headers are `respond`'s.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::{error, warn};

use super::document::Content;
use super::documents::{Answer, Documents};
use super::failure::Failure;
use super::flight::Flights;
use super::ingest::{IngestError, Wanted, ingest};
use super::outcome::Outcome;
use crate::archive::{ArchiveError, Limits};
use crate::domain::link::release_path;
use crate::domain::{Dist, DocumentKey, Integrity, Purl, Version, VolumeName};
use crate::store::sealed::{self, Seal};
use crate::store::{StorageKey, Store, StoreError};
use crate::telemetry::Metrics;

/// Archives being brought in at once; each may hold a spill and a download's queue in memory.
const INGESTS: usize = 8;
/// Seals kept in memory: the checksums of 10,000 archives of a few megabytes are about a megabyte.
const SEALS: u64 = 10_000;

/// An archive that may be sent.
#[derive(Debug, Clone)]
pub struct Held {
    /// What was sealed.
    pub seal: Arc<Seal>,
    /// The release's record, which says how old the permission to send is.
    pub gate: Answer,
    /// How the archive came about.
    pub outcome: Outcome,
}

/// Sizes that bound an archive.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Compressed bytes.
    pub max_archive: u64,
    /// What the verifier bounds.
    pub limits: Limits,
}

/// What the fetch of an archive comes to.
type Fill = Result<Arc<Seal>, Failure>;

/// The archives of every upstream.
#[derive(Debug)]
pub struct Archives {
    documents: Arc<Documents>,
    store: Arc<dyn Store>,
    seals: moka::sync::Cache<Integrity, Arc<Seal>>,
    flights: Arc<Flights<(Purl, Integrity), Fill>>,
    ingests: Semaphore,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

impl Archives {
    /// Archives kept in `store`, gated by `documents`.
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
            bounds,
            metrics,
        }
    }

    /// The archive of a release, if the release may be served now.
    ///
    /// # Errors
    /// [`Failure`] when it may not, cannot be had, or did not pass.
    pub async fn get(
        self: &Arc<Self>,
        name: &VolumeName,
        version: &Version,
        request_id: &str,
    ) -> Result<Held, Failure> {
        let gate =
            self.documents.get(&DocumentKey::Release(name.clone(), version.clone()), request_id).await?;
        let (integrity, url) = open_gate(&gate)?;
        let release = Purl::new(name, version);
        if let Some(seal) = self.sealed(integrity).await? {
            if seal.identity != release.to_string() {
                let found = &seal.identity;
                let text = format!("the archive with this integrity is that of {found}, not of {release}");
                return Err(Failure::Inconsistent(text));
            }
            let outcome = match gate.outcome {
                Outcome::Hit { .. } => gate.outcome,
                _ => Outcome::Hit { ttl: gate.ttl, stale: None },
            };
            return Ok(Held { seal, gate, outcome });
        }
        if self.documents.live().policy.offline {
            return Err(Failure::Offline);
        }
        let upstream = gate.document.meta.upstream.clone();
        let flight = (release, integrity);
        let joined = self.flights.join(&flight, || {
            let (archives, release, request_id) = (Arc::clone(self), flight.0.clone(), request_id.to_owned());
            let (url, upstream) = (url.clone(), upstream.clone());
            async move { archives.fill(release, integrity, &url, &upstream, &request_id).await }
        });
        let (seal, collapsed) = joined.await.map_err(|_| Failure::Lost)?;
        let outcome = Outcome::Forwarded { stale: false, status: 200, stored: true, collapsed };
        Ok(Held { seal: seal?, gate, outcome })
    }

    /// Bytes of a sealed archive, verified as they are read. One whose bytes changed since it was sealed is
    /// set aside, so that the next request fetches it anew.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read or are not what was sealed.
    pub async fn read(&self, seal: &Seal, range: Range<u64>) -> Result<Bytes, StoreError> {
        let read = seal.read(&*self.store, &StorageKey::Archive(seal.tree), range).await;
        match &read {
            Err(StoreError::Corrupt { what }) if !self.replaced(seal).await => {
                self.set_aside(seal.tree, what).await;
            }
            Err(_) => self.seals.invalidate(&seal.tree),
            Ok(_) => {}
        }
        read
    }

    /// Whether another, whole file of the same tree took the place of the one that was sealed so.
    async fn replaced(&self, seal: &Seal) -> bool {
        let current = sealed::open(&*self.store, &StorageKey::Archive(seal.tree)).await;
        matches!(current, Ok(Some(current)) if current.raw != seal.raw)
    }

    async fn sealed(&self, integrity: Integrity) -> Result<Option<Arc<Seal>>, Failure> {
        if let Some(seal) = self.seals.get(&integrity) {
            return Ok(Some(seal));
        }
        match sealed::open(&*self.store, &StorageKey::Archive(integrity)).await {
            Ok(Some(seal)) if seal.tree == integrity => Ok(Some(self.remember(seal))),
            Ok(Some(_)) => {
                self.set_aside(integrity, "the seal is that of another tree").await;
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(StoreError::Corrupt { what }) => {
                self.set_aside(integrity, &what).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remember(&self, seal: Seal) -> Arc<Seal> {
        let seal = Arc::new(seal);
        self.seals.insert(seal.tree, Arc::clone(&seal));
        seal
    }

    async fn set_aside(&self, integrity: Integrity, what: &str) {
        self.seals.invalidate(&integrity);
        self.metrics.integrity_failure("stored-archive");
        error!(%integrity, what, "a stored archive is corrupt and is set aside");
        if let Err(error) = self.store.set_aside(&StorageKey::Archive(integrity), what).await {
            error!(%error, %integrity, "cannot set a corrupt archive aside");
        }
    }

    /// The one fetch of an archive: downloads until the transport holds, verifies, commits.
    async fn fill(
        &self,
        release: Purl,
        integrity: Integrity,
        url: &str,
        upstream: &str,
        request_id: &str,
    ) -> Result<Arc<Seal>, Failure> {
        if let Some(seal) = self.sealed(integrity).await? {
            return Ok(seal);
        }
        let _turn = self.ingests.acquire().await.map_err(|_| Failure::Lost)?;
        let upstream = self.documents.live().upstreams.named(upstream).cloned();
        let upstream = upstream.ok_or_else(|| Failure::NoUpstream(release.name.clone()))?;
        let from = release_path(&release.name, &release.version);
        let Bounds { max_archive, limits } = self.bounds.clone();
        let wanted = Wanted { release, integrity, max_archive, limits };
        let mut attempt = 0;
        loop {
            let download = upstream.archive(url, &from, request_id).await?;
            match ingest(&self.store, download, &wanted).await {
                Ok(seal) => return Ok(self.remember(seal)),
                Err(error) if error.is_transport() && attempt < upstream.retries() => {
                    warn!(release = %wanted.release, upstream = upstream.name(), request_id, %error, "archive damaged on its way");
                    upstream.pause_before_retry(attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    let stage = stage(&error);
                    self.metrics.integrity_failure(stage);
                    error!(release = %wanted.release, upstream = upstream.name(), request_id, stage, %error, "archive refused");
                    return Err(error.into());
                }
            }
        }
    }
}

/// Whether the release may be served now, and where its bytes would come from.
fn open_gate(gate: &Answer) -> Result<(Integrity, String), Failure> {
    let release = match &*gate.document.content {
        Content::Refused { problem, .. } => {
            return Err(Failure::Gated { problem: Box::new(problem.clone()), gate: Box::new(gate.clone()) });
        }
        content @ Content::Found(_) => content.release().ok_or(Failure::Malformed)?,
    };
    if !release.serves_bytes() {
        return Err(Failure::Withdrawn(release.status.clone()));
    }
    match (&release.dist, release.integrity) {
        (Some(Dist::Cdn { url }), Some(integrity)) => Ok((integrity, url.clone())),
        (Some(Dist::Git), _) => Err(Failure::DeliveredByGit),
        _ => Err(Failure::Malformed),
    }
}

/// The metric's label for what an archive failed at.
fn stage(error: &IngestError) -> &'static str {
    match error {
        IngestError::Download(_) | IngestError::Lost => "download",
        IngestError::Store(_) => "store",
        IngestError::TooLarge { .. } => "size",
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
            IngestError::TooLarge { limit } => Self::ArchiveTooLarge { limit },
            IngestError::Archive(error) => Self::Archive(Arc::new(error)),
            IngestError::Store(error) => error.into(),
            IngestError::Lost => Self::Lost,
        }
    }
}
