//! One flight fetches a file that is not stored.
//!
//! In order: a client's place in the registry's queue, one flight for all requests for the file, a download slot, the download, its verification and commit (`ingest`), and the pin of what was verified. A damaged transfer is
//! retried; a file that is gone from its address is looked for (`relocate`); an archive that did not pass is refused
//! from then on.
//!
//! Owns that order. Must not know what permits the file, nor how it is verified.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{error, warn};

use super::by_git::GitDelivery;
use super::elsewhere::SharedDownload;
use super::expected::{ExpectedFile, FileAddress, FileFetch, FileOrigin};
use super::hopeless::{HopelessDeliveries, HopelessDelivery};
use super::ingest::{Bounds, IngestError, IngestFacets, ingest};
use super::relocate::{DeadEnds, FileAddresses};
use super::sealed_file::{BroughtFile, Fill};
use super::slots::{DownloadSlot, DownloadSlots, NoSlot, SlotRequest};
use super::stored::StoredFiles;
use crate::consistency::PinnedCommit;
use crate::consistency::refusals::{ArchiveRefusal, ArchiveVerdict};
use crate::domain::Purl;
use crate::flight::{FlightLost, Flights};
use crate::read::{Documents, Outcome, ReadFailure};
use crate::repositories::Repositories;
use crate::upstream::{FetchContext, OwnedFetchContext, RECALLS, RegistryClient, RetryAllowance};

/// Longest wait for a slot.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A file that arrived, and the commit of which its archive was made.
type Arrival = Result<(BroughtFile, Option<PinnedCommit>), IngestError>;

/// Brings files in from their registries.
#[derive(Debug)]
pub(super) struct FileFetcher {
    pub(super) documents: Arc<Documents>,
    pub(super) stored: Arc<StoredFiles>,
    flights: Arc<Flights<FileFetch, Fill>>,
    slots: Arc<DownloadSlots>,
    dead_ends: DeadEnds,
    hopeless: HopelessDeliveries,
    pub(super) repositories: Repositories,
    pub(super) bounds: ArcSwap<Bounds>,
}

impl FileFetcher {
    pub(super) fn new(
        documents: Arc<Documents>,
        stored: Arc<StoredFiles>,
        repositories: Repositories,
        bounds: Bounds,
    ) -> Self {
        let slots = Arc::new(DownloadSlots::new(Arc::clone(&stored.metrics)));
        let (flights, dead_ends, hopeless) =
            (Arc::default(), DeadEnds::default(), HopelessDeliveries::default());
        let bounds = ArcSwap::from_pointee(bounds);
        Self { documents, stored, flights, slots, dead_ends, hopeless, repositories, bounds }
    }

    /// Bounds what begins from now on.
    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.bounds.store(Arc::new(bounds));
        self.hopeless.forget();
    }

    /// The file, by the one flight that brings it in.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        origin: &Arc<FileOrigin>,
        context: FetchContext<'_>,
    ) -> Result<(BroughtFile, Outcome), ReadFailure> {
        let registry = Arc::new(origin.fetch.registry.clone());
        let _waits = self.documents.wait_for(&registry, context)?;
        let joined = self.fly(origin, context, async |fetcher, origin, context| {
            // Another flight may have ended just before this one began.
            match fetcher.stored.seal(&origin.fetch.expected).await {
                Ok(Some(seal)) => Ok(BroughtFile::stored(seal)),
                Ok(None) | Err(_) => fetcher.download_once(&origin, context.borrowed()).await,
            }
        });
        let (brought, collapsed) = joined.await.map_err(|_| ReadFailure::Lost)?;
        let brought = brought?;
        let stored = brought.unstored.is_none();
        Ok((brought, Outcome::Forwarded { stale: false, status: 200, stored, collapsed }))
    }

    /// Joins the flight of a file, or starts it with `work`. A flight without a waiting request may end early.
    pub(super) async fn fly<F>(
        self: &Arc<Self>,
        origin: &Arc<FileOrigin>,
        context: FetchContext<'_>,
        work: impl Fn(Arc<Self>, Arc<FileOrigin>, OwnedFetchContext) -> F,
    ) -> Result<(Fill, bool), FlightLost>
    where
        F: Future<Output = Fill> + Send + 'static,
    {
        let flight = |waiters| {
            let (fetcher, origin) = (Arc::clone(self), Arc::clone(origin));
            let work = work(Arc::clone(self), Arc::clone(&origin), context.owned());
            async move {
                let done = fetcher.slots.unless_left(&origin.fetch, &waiters, work).await;
                done.unwrap_or(Err(ReadFailure::Lost))
            }
        };
        self.flights.join_seen(&origin.fetch, flight).await
    }

    /// Downloads the file, unless another proxy on the bucket does.
    async fn download_once(&self, origin: &FileOrigin, context: FetchContext<'_>) -> Fill {
        let Some(cluster) = self.documents.cluster() else { return self.download(origin, context).await };
        let limit = self.bounds.load().max_archive;
        let shared = SharedDownload::new(&origin.fetch, &self.documents, &self.stored, limit);
        cluster.fly(&shared, self.download(origin, context)).await
    }

    /// Downloads the file from its address, or from wherever its document says that it is by now.
    pub(super) async fn download(&self, origin: &FileOrigin, context: FetchContext<'_>) -> Fill {
        let mut addresses = FileAddresses::new(&self.documents, &self.dead_ends, origin);
        loop {
            match self.download_from(origin, addresses.current(), context).await {
                Err(failure) if failure.is_of_address() => addresses.next(failure, context).await?,
                filled => return filled,
            }
        }
    }

    /// Brings the file from `address` until the transport holds, verifies and commits.
    async fn download_from(
        &self,
        origin: &FileOrigin,
        address: &FileAddress,
        context: FetchContext<'_>,
    ) -> Fill {
        let expected = &origin.fetch.expected;
        let upstream = self.upstream(origin)?;
        let reading = self.documents.held(&origin.from).await.map_or(0, |held| held.reading.read);
        let hopeless = self.hopeless.known(&origin.fetch, (address, reading));
        if let Some(failed) = hopeless.filter(|failed| self.documents.still_refused(failed.at)) {
            return Err(failed.failure);
        }
        let slot = self.slot(origin, address, &upstream, context).await?;
        let (what, name, request_id) = (expected.payload().as_str(), upstream.name(), context.id);
        let (tries, mut recalls) = (RetryAllowance::new(upstream.retries()), 0..RECALLS);
        loop {
            match self.arrive(origin, address, &upstream, (context, &tries)).await? {
                Ok((brought, commit)) => {
                    // The slot is not given to another download any more: this one is done.
                    drop(slot);
                    self.pin(origin, commit).await;
                    return Ok(brought);
                }
                // Other proxies needed the download's permit back, which says nothing about the transfer.
                Err(error) if error.is_recalled() && recalls.next().is_some() => {}
                Err(error) if tries.again(error.facets().is_transfer) => {
                    warn!(what, file = %expected, upstream = name, request_id, %error, "a transfer was damaged and is retried");
                    upstream.pause_before_retry(tries.taken().saturating_sub(1)).await;
                }
                Err(error) => return Err(self.given_up(origin, (address, reading), error, context).await),
            }
        }
    }

    /// What a delivery that failed for good means for those who wait, and for the next ones.
    async fn given_up(
        &self,
        origin: &FileOrigin,
        (address, reading): (&FileAddress, u64),
        error: IngestError,
        context: FetchContext<'_>,
    ) -> ReadFailure {
        let FileFetch { registry, expected } = &origin.fetch;
        let IngestFacets { stage, verdict, is_hopeless, .. } = error.facets();
        if !matches!(&error, IngestError::Repository(error) if !error.is_of_answer()) {
            let (what, upstream, request_id) = (expected.payload().as_str(), registry.name(), context.id);
            self.stored.metrics.integrity_failure(stage);
            error!(what, file = %expected, upstream, request_id, stage, %error, "a file is refused");
        }
        if let Some(verdict) = verdict {
            let refused = self.refuse(&origin.fetch, verdict, &error).await;
            // The refusal says more than its error: both sides of the contradiction.
            if let Some(refusal) = refused.filter(|refusal| refusal.delivered.is_some()) {
                return ReadFailure::RefusedArchive(refusal);
            }
        }
        let failure = ReadFailure::from(error);
        if is_hopeless {
            let (address, at) = (address.clone(), self.documents.now());
            let failed = HopelessDelivery { address, reading, at, failure: failure.clone() };
            self.hopeless.remember(&origin.fetch, failed);
        }
        failure
    }

    /// One arrival of the file.
    ///
    /// # Errors
    /// Why nothing arrives at all.
    async fn arrive(
        &self,
        origin: &FileOrigin,
        address: &FileAddress,
        upstream: &Arc<RegistryClient>,
        (context, tries): (FetchContext<'_>, &RetryAllowance),
    ) -> Result<Arrival, ReadFailure> {
        let (expected, bounds) = (&origin.fetch.expected, self.bounds.load_full());
        match address {
            FileAddress::Url(locator) => {
                let (payload, from) = (expected.payload(), origin.from.to_string());
                let download = upstream.download_on(payload, locator, &from, context, tries).await?;
                let brought = ingest(&self.stored, download.into(), expected, &bounds).await;
                Ok(brought.map(|brought| (brought, None)))
            }
            FileAddress::Git { repository, reference } => {
                let repositories = &self.repositories;
                let delivery = GitDelivery { repositories, upstream, repository, reference };
                let brought = delivery.bring(&self.stored, expected, &bounds, context).await;
                Ok(brought.map(|(brought, commit)| (brought, Some(commit))))
            }
        }
    }

    /// Pins the verified integrity, and the commit that delivered it.
    async fn pin(&self, origin: &FileOrigin, commit: Option<PinnedCommit>) {
        if let ExpectedFile::Archive { release, integrity } = &origin.fetch.expected {
            self.documents.prove(&origin.fetch.registry, release, (integrity, commit)).await;
        }
    }

    /// Remembers a verdict on an archive, so that it is not downloaded again.
    async fn refuse(
        &self,
        fetch: &FileFetch,
        verdict: ArchiveVerdict,
        error: &IngestError,
    ) -> Option<Arc<ArchiveRefusal>> {
        let FileFetch { registry, expected: ExpectedFile::Archive { release, integrity } } = fetch else {
            return None;
        };
        let Purl { name: volume, version } = release.clone();
        let (registry, integrity, since) = (registry.clone(), *integrity, self.documents.now());
        let (why, delivered) = (error.to_string(), error.other_tree().cloned().map(Box::new));
        let refusal = ArchiveRefusal { registry, volume, version, integrity, verdict, why, delivered, since };
        self.documents.refuse_archive(refusal.clone()).await;
        Some(Arc::new(refusal))
    }

    /// A slot for a download from `address`, waited for as long as the registry itself would be.
    pub(super) async fn slot(
        &self,
        origin: &FileOrigin,
        address: &FileAddress,
        upstream: &RegistryClient,
        context: FetchContext<'_>,
    ) -> Result<DownloadSlot, ReadFailure> {
        let host = upstream.host_of(address.locator(), &origin.from.to_string());
        let repository = match address {
            FileAddress::Url(_) => None,
            FileAddress::Git { repository, .. } => Some(repository.clone()),
        };
        let (fetch, client) = (origin.fetch.clone(), context.client.cloned());
        let request = SlotRequest { fetch, host, repository, client };
        let slot = self.slots.take(request, upstream.patience().min(LONGEST_WAIT)).await;
        slot.map_err(|NoSlot| ReadFailure::NoSlot { registry: upstream.name().to_owned() })
    }

    pub(super) fn is_offline(&self) -> bool {
        self.documents.live().policy.offline
    }

    /// The registry that a file comes from, as long as what permits the file is routed to it.
    pub(super) fn upstream(&self, origin: &FileOrigin) -> Result<Arc<RegistryClient>, ReadFailure> {
        let upstream = self.documents.upstream_of(&origin.from)?;
        if **upstream.registry() == origin.fetch.registry { Ok(upstream) } else { Err(ReadFailure::Lost) }
    }
}
