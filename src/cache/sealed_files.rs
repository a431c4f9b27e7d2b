//! Sealed files: what a gate permits is sent from the store, or brought in by one verified fetch.
//!
//! Owns their seals in memory, their one fetch each, how much of them is on its way, and what becomes of a damaged one. Must not know what
//! permits a file (`archives`, `trust_artifacts`) nor HTTP: ranges and headers are `respond`'s.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{error, warn};

use super::documents::{Answer, Documents};
use super::failure::Failure;
use super::flight::{Flights, Waiters};
use super::ingest::{Bounds, Brought, IngestError, ingest};
use super::outcome::Outcome;
use super::pieces::Pieces;
use super::relocate::DeadEnds;
pub use super::sealed_file::SealedFile;
use super::sealed_file::{Fetch, Origin};
use super::turns::{Need, NoTurn, Turn, Turns};
use super::wanted::{Mismatch, Wanted};
use crate::archive::ArchiveError;
use crate::domain::DocumentKey;
use crate::store::sealed::{self, Seal};
use crate::store::{Damage, StorageKey, Store, StoreError};
use crate::telemetry::Metrics;
use crate::upstream::{Errand, Payload, Tries, Upstream};

/// Longest wait for a turn.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Seals kept in memory: the checksums of 10,000 archives of a few megabytes are about a megabyte.
const SEALS: u64 = 10_000;

/// Bytes of files on their way, each counted once whoever sends it, above which less is read at a time.
const AFLOAT: u64 = 32 << 20;
/// What is read then, of blocks that are longer.
pub(super) const LITTLE: u64 = 32 << 10;

/// A file that may be sent.
#[derive(Debug, Clone)]
pub struct Held {
    /// The file.
    pub file: Arc<SealedFile>,
    /// What it is sent as.
    pub media: Media,
    /// The document that permits it, which says how old the permission is.
    pub gate: Answer,
    /// How it came about.
    pub outcome: Outcome,
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

/// What the fetch of a file comes to.
pub(super) type Fill = Result<Brought, Failure>;

/// The archives and trust artifacts of every upstream.
#[derive(Debug)]
pub struct SealedFiles {
    pub(super) documents: Arc<Documents>,
    pub(super) store: Arc<dyn Store>,
    pub(super) seals: moka::sync::Cache<StorageKey, Arc<Seal>>,
    pub(super) flights: Arc<Flights<Fetch, Fill>>,
    pub(super) pieces: Pieces<Arc<StoreError>>,
    pub(super) dead_ends: DeadEnds,
    turns: Arc<Turns>,
    pub(super) bounds: ArcSwap<Bounds>,
    pub(super) metrics: Arc<Metrics>,
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
            pieces: Pieces::default(),
            dead_ends: DeadEnds::default(),
            turns: Arc::new(Turns::new(Arc::clone(&metrics))),
            bounds: ArcSwap::from_pointee(bounds),
            metrics,
        }
    }

    /// What bounds what is brought in.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        **self.bounds.load()
    }

    /// Bounds what is brought in from now on; what is held stays, and a download under way ends as it began.
    pub fn reload(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
    }

    /// Cuts `range` of a file into what is read at a time for one client. The more of files is on its way, the less that is,
    /// though more is read for it: whoever takes his time must not hold much.
    pub fn steps(self: &Arc<Self>, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send + use<> {
        let (files, mut at) = (Arc::clone(self), range.start);
        std::iter::from_fn(move || {
            let mut step = sealed::steps(at..range.end).next()?;
            if files.pieces.bytes() >= AFLOAT {
                step.end = step.end.min(step.start + LITTLE);
            }
            at = step.end;
            Some(step)
        })
    }

    /// The file that `permit` is for, fetched where it is not held.
    pub(super) async fn hold(self: &Arc<Self>, permit: Permit, errand: Errand<'_>) -> Result<Held, Failure> {
        let Permit { wanted, media, locator, from, gate } = permit;
        // Held before it is looked for, so that what is found stays.
        let hold = self.store.hold(&wanted.place());
        if hold.is_vacant() {
            self.seals.invalidate(&wanted.place());
        }
        let registry = gate.document.meta.registry();
        let origin = Arc::new(Origin { fetch: Fetch { registry, wanted }, locator, from });
        let wanted = &origin.fetch.wanted;
        let (brought, outcome) = match self.sealed(wanted).await {
            Ok(Some(seal)) => (Brought { seal, loose: None }, hit(&gate)),
            Ok(None) if self.is_offline() => return Err(Failure::Offline),
            Ok(None) if errand.held_only => return Err(Failure::HeldOnly),
            Err(error) if self.is_offline() || errand.held_only => return Err(error.into()),
            Ok(None) | Err(_) => self.fetch(&origin, errand).await?,
        };
        wanted.compare(&brought.seal).map_err(inconsistent)?;
        let file = Arc::new(SealedFile::new(brought, Arc::clone(&origin), hold));
        Ok(Held { file, media, gate, outcome })
    }

    pub(super) fn is_offline(&self) -> bool {
        self.documents.live().policy.offline
    }

    /// The seal of what is stored as `wanted`. What cannot be it is set aside, and no error.
    pub(super) async fn sealed(&self, wanted: &Wanted) -> Result<Option<Arc<Seal>>, StoreError> {
        let place = wanted.place();
        if let Some(seal) = self.seals.get(&place) {
            return Ok(Some(seal));
        }
        match sealed::open(&*self.store, &place).await {
            Ok(Some(seal)) if wanted.is_under(&seal) => Ok(Some(self.remember(place, Arc::new(seal)))),
            Ok(Some(seal)) => {
                let damage = Damage::of(&place, wanted.to_string(), format!("the content {}", seal.known_by));
                self.set_aside(wanted.payload(), &place, &damage).await;
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err(StoreError::Corrupt(damage)) => {
                self.set_aside(wanted.payload(), &place, &damage).await;
                Ok(None)
            }
            Err(error) => {
                error!(%error, file = %wanted, "a stored file cannot be read");
                Err(error)
            }
        }
    }

    fn remember(&self, place: StorageKey, seal: Arc<Seal>) -> Arc<Seal> {
        self.seals.insert(place, Arc::clone(&seal));
        seal
    }

    /// What is stored from now on, or sent to those who wait.
    pub(super) fn brought(&self, wanted: &Wanted, brought: Brought) -> Brought {
        if brought.loose.is_none() {
            self.remember(wanted.place(), Arc::clone(&brought.seal));
        }
        brought
    }

    pub(super) async fn set_aside(&self, payload: Payload, place: &StorageKey, damage: &Damage) {
        self.seals.invalidate(place);
        self.metrics.integrity_failure(match payload {
            Payload::Archive => "stored-archive",
            Payload::TrustArtifact => "stored-trust-artifact",
        });
        let Damage { path, expected, found } = damage;
        error!(path, expected, found, "a stored file is corrupt and is set aside");
        if let Err(error) = self.store.set_aside(place, damage).await {
            error!(%error, path, "cannot set a corrupt file aside");
        }
    }

    /// Joins the one fetch of a file, or starts it.
    async fn fetch(
        self: &Arc<Self>,
        origin: &Arc<Origin>,
        errand: Errand<'_>,
    ) -> Result<(Brought, Outcome), Failure> {
        let registry = Arc::new(origin.fetch.registry.clone());
        let _waits = self.documents.waits.enter(&registry, errand)?;
        let joined = self.flights.join_seen(&origin.fetch, |waiters| {
            let (files, origin, errand) = (Arc::clone(self), Arc::clone(origin), errand.kept());
            async move {
                let fill = async {
                    match files.sealed(&origin.fetch.wanted).await {
                        Ok(Some(seal)) => Ok(Brought { seal, loose: None }),
                        Ok(None) | Err(_) => files.fill(&origin, errand.lend()).await,
                    }
                };
                files.unless_left(&origin.fetch, &waiters, fill).await
            }
        });
        let (brought, collapsed) = joined.await.map_err(|_| Failure::Lost)?;
        let brought = brought?;
        let stored = brought.loose.is_none();
        Ok((brought, Outcome::Forwarded { stale: false, status: 200, stored, collapsed }))
    }

    /// Downloads from `locator` until the transport holds, verifies, commits.
    pub(super) async fn fill_from(&self, origin: &Origin, locator: &str, errand: Errand<'_>) -> Fill {
        let Origin { fetch: Fetch { wanted, .. }, from, .. } = origin;
        let upstream = self.upstream(origin)?;
        let turn = self.turn(origin, locator, &upstream, errand).await?;
        let (payload, from) = (wanted.payload(), from.to_string());
        let name = upstream.name();
        let tries = Tries::new(upstream.retries());
        loop {
            let download = upstream.download_on(payload, locator, &from, errand, &tries).await?;
            match ingest(&self.store, download, wanted, &self.bounds.load_full()).await {
                Ok(brought) => {
                    // What is here is not given up any more.
                    drop(turn);
                    self.prove(origin).await;
                    return Ok(self.brought(wanted, brought));
                }
                Err(error) if tries.again(error.is_transport()) => {
                    warn!(what = payload.as_str(), file = %wanted, upstream = name, request_id = errand.id, %error, "damaged on its way");
                    upstream.pause_before_retry(tries.taken().saturating_sub(1)).await;
                }
                Err(error) => {
                    let stage = stage(&error);
                    self.metrics.integrity_failure(stage);
                    error!(what = payload.as_str(), file = %wanted, upstream = name, request_id = errand.id, stage, %error, "refused");
                    self.documents.refuse(&origin.fetch, &error).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// What was verified is pinned for ever.
    async fn prove(&self, origin: &Origin) {
        if let Wanted::Archive { release, integrity } = &origin.fetch.wanted {
            self.documents.prove(&origin.fetch.registry, release, integrity).await;
        }
    }

    /// A turn for a file that is brought in from `locator`. Its registry's others are waited for as long as the
    /// registry itself would be.
    pub(super) async fn turn(
        &self,
        origin: &Origin,
        locator: &str,
        upstream: &Upstream,
        errand: Errand<'_>,
    ) -> Result<Turn, Failure> {
        let host = upstream.host_of(locator, &origin.from.to_string());
        let need = Need { fetch: origin.fetch.clone(), host, client: errand.client.cloned() };
        let turn = self.turns.take(need, upstream.patience().min(LONGEST_WAIT)).await;
        turn.map_err(|NoTurn| Failure::NoTurn { registry: upstream.name().to_owned() })
    }

    /// What a `fill` comes to; one that ends because nobody waits for it is told to nobody.
    pub(super) async fn unless_left(
        &self,
        fetch: &Fetch,
        waiters: &Waiters<Fetch, Fill>,
        fill: impl Future<Output = Fill>,
    ) -> Fill {
        self.turns.unless_left(fetch, waiters, fill).await.unwrap_or(Err(Failure::Lost))
    }

    /// The registry that a file comes from, as long as what permits the file is routed to it.
    pub(super) fn upstream(&self, origin: &Origin) -> Result<Arc<Upstream>, Failure> {
        let upstream = self.documents.upstream_of(&origin.from)?;
        if **upstream.registry() == origin.fetch.registry { Ok(upstream) } else { Err(Failure::Lost) }
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
            ArchiveError::Profile(_) | ArchiveError::Framing(_) => "profile",
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
            // That is this proxy's trouble, and says nothing of the archive.
            IngestError::Archive(ArchiveError::Scratch(error)) => StoreError::from(error).into(),
            IngestError::Archive(error) => Self::Archive(Arc::new(error)),
            IngestError::Store(error) => error.into(),
            IngestError::Lost => Self::Lost,
        }
    }
}
