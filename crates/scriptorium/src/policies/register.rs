//! The register of evidence: in memory over the store.
//!
//! The evidence of a volume is one record. It is read once and kept in memory. Several proxies on a bucket add to the same record, so what
//! one writes is joined with what the others wrote. Whoever judges sees it joined with the pins of
//! its releases; whoever only adds does not pay for these. It is written when it grows, and it *follows*: what a power cut takes
//! of it makes releases younger, never older. A damaged record is set aside and begun anew. Owns that, and how much is in
//! memory. Must not know rules, nor where evidence comes from.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use bytes::Bytes;
use tracing::error;

use super::evidence::{ReleaseEvidence, VolumeEvidence};
use crate::clock::Timestamp;
use crate::consistency::Pins;
use crate::domain::{Integrity, Registry, Version, VolumeName};
use crate::long_work::{LongWork, NotWorked};
use crate::store::{Damage, StorageKey, Store, StoreError, record};
use crate::telemetry::Metrics;

/// Releases whose evidence is in memory, at most; one of which much is known counts as several.
const MOST: u64 = 1_000_000;
/// Looking at a release takes as long as working on so many bytes of a document.
const A_RELEASE: usize = 256;
/// Locks that the writers of all volumes share.
const LOCKS: usize = 64;

type Subject = (Registry, VolumeName);

/// One more piece of evidence, about a release with an integrity.
pub(crate) type FoundEvidence = (Version, Integrity, ReleaseEvidence);

/// What is known of releases, by registry and volume.
pub(crate) struct EvidenceRegister {
    store: Arc<dyn Store>,
    pins: Pins,
    metrics: Arc<Metrics>,
    long_work: Arc<LongWork>,
    memory: moka::sync::Cache<Subject, HeldEvidence, RandomState>,
    /// How often memory was forgotten.
    readings: AtomicU64,
    /// Locked while evidence about a volume is read from the store or changed.
    changing: [tokio::sync::Mutex<()>; LOCKS],
    hasher: RandomState,
}

/// What memory holds of a volume.
#[derive(Debug, Clone)]
struct HeldEvidence {
    evidence: Arc<VolumeEvidence>,
    /// Whether the pins of its releases are in it.
    has_pins: bool,
}

impl EvidenceRegister {
    /// A register in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, long_work: Arc<LongWork>) -> Self {
        let weigh =
            |_: &Subject, held: &HeldEvidence| u32::try_from(held.evidence.weight() + 1).unwrap_or(u32::MAX);
        let hasher = RandomState::new();
        let memory =
            moka::sync::Cache::builder().max_capacity(MOST).weigher(weigh).build_with_hasher(hasher.clone());
        let pins = Pins::new(Arc::clone(&store));
        let (readings, changing) = (AtomicU64::new(0), std::array::from_fn(|_| Default::default()));
        Self { store, pins, metrics, long_work, memory, readings, changing, hasher }
    }

    /// What is known of the releases of a volume.
    ///
    /// # Errors
    /// When the store cannot be read; then nothing may be concluded.
    pub(crate) async fn of(
        &self,
        registry: &Registry,
        name: &VolumeName,
    ) -> Result<Arc<VolumeEvidence>, StoreError> {
        let subject = (registry.clone(), name.clone());
        if let Some(held) = self.memory.get(&subject).filter(|held| held.has_pins) {
            return Ok(held.evidence);
        }
        let _alone = self.lock(&subject).await;
        let held = self.held(&subject).await?;
        if held.has_pins {
            return Ok(held.evidence);
        }
        let mut evidence = VolumeEvidence::clone(&held.evidence);
        for (_, pin) in self.pins.of_volume(name).await?.pins {
            if pin.binds(registry) && pin.volume == *name {
                evidence.add(&pin.version, &pin.integrity, ReleaseEvidence::seen(pin.since));
            }
        }
        let evidence = Arc::new(evidence);
        self.memory.insert(subject, HeldEvidence { evidence: Arc::clone(&evidence), has_pins: true });
        Ok(evidence)
    }

    /// When an index or exact metadata first showed a release; none if it was never seen or that cannot be read.
    pub(crate) async fn first_seen(
        &self,
        registry: &Registry,
        name: &VolumeName,
        version: &Version,
        integrity: &Integrity,
    ) -> Option<Timestamp> {
        let subject = (registry.clone(), name.clone());
        let held = match self.memory.get(&subject) {
            Some(held) => held,
            None => {
                let _alone = self.lock(&subject).await;
                self.held(&subject).await.ok()?
            }
        };
        held.evidence.of(version, integrity).map(|evidence| evidence.first_seen)
    }

    /// Adds evidence about releases of a volume. True if anything was new. Evidence that cannot be written counts until the
    /// process ends.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn add(
        &self,
        registry: &Registry,
        name: &VolumeName,
        found: Vec<FoundEvidence>,
    ) -> Result<bool, StoreError> {
        let (subject, many, found) = ((registry.clone(), name.clone()), found.len(), Arc::new(found));
        if let Some(held) = self.memory.get(&subject) {
            let found = Arc::clone(&found);
            if self.work(many, move || held.evidence.includes_all(&found)).await? {
                return Ok(false);
            }
        }
        let _alone = self.lock(&subject).await;
        let HeldEvidence { evidence, has_pins } = self.held(&subject).await?;
        let joined = move || {
            let mut joined = VolumeEvidence::clone(&evidence);
            let mut news = false;
            for (version, integrity, new) in &*found {
                news |= joined.add(version, integrity, new.clone());
            }
            news.then(|| (record::encode(&joined), joined))
        };
        let Some((stored, joined)) = self.work(many, joined).await? else { return Ok(false) };
        let ours = Arc::new(joined);
        let held = HeldEvidence { evidence: Arc::clone(&ours), has_pins };
        self.memory.insert(subject.clone(), held);
        let mut all = None;
        let mut join = |theirs: Option<Bytes>| {
            let joined = with_theirs(&ours, theirs.as_ref());
            let stored = joined.as_ref().map_or_else(|| stored.clone(), record::encode);
            all = joined;
            Some(stored)
        };
        if let Err(error) = self.store.join_behind(&place(registry, name), stored.clone(), &mut join).await {
            error!(%error, volume = %name, "cannot store yet when releases were first seen");
        } else if let Some(all) = all {
            self.memory.insert(subject, HeldEvidence { evidence: Arc::new(all), has_pins });
        }
        Ok(true)
    }

    /// Forgets what is in memory; it is read again. For what another process stored.
    pub(crate) fn forget(&self) {
        self.memory.invalidate_all();
        self.readings.fetch_add(1, Ordering::Relaxed);
    }

    /// How often memory was forgotten, so that what else rests on it is looked at again.
    pub(crate) fn readings(&self) -> u64 {
        self.readings.load(Ordering::Relaxed)
    }

    /// Does `work` on so many releases.
    async fn work<T: Send + 'static>(
        &self,
        many: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let worked = self.long_work.patiently(many.saturating_mul(A_RELEASE), work).await;
        worked.ok_or_else(|| io::Error::other(NotWorked::Lost).into())
    }

    async fn lock(&self, subject: &Subject) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing[self.hasher.hash_one(subject) as usize % LOCKS].lock().await
    }

    /// What memory holds, else what the store holds. Called under the lock.
    async fn held(&self, subject: &Subject) -> Result<HeldEvidence, StoreError> {
        if let Some(held) = self.memory.get(subject) {
            return Ok(held);
        }
        let (registry, name) = subject;
        let evidence = Arc::new(self.stored(registry, name).await?);
        let held = HeldEvidence { evidence, has_pins: false };
        self.memory.insert(subject.clone(), held.clone());
        Ok(held)
    }

    async fn stored(&self, registry: &Registry, name: &VolumeName) -> Result<VolumeEvidence, StoreError> {
        let place = place(registry, name);
        let none = || VolumeEvidence::none(name.clone());
        let Some(stored) = self.store.read(&place).await? else { return Ok(none()) };
        let found = match record::decode::<VolumeEvidence>(&stored) {
            Ok(evidence) if evidence.volume() == name => return Ok(evidence),
            Ok(evidence) => format!("the evidence about {}", evidence.volume()),
            Err(error) => error.to_string(),
        };
        let damage = Damage::of(&place, "evidence as it was written", found);
        self.metrics.integrity_failure("stored-record");
        let Damage { path, expected, found } = &damage;
        error!(path, expected, found, volume = %name, "evidence is damaged; releases count as first seen by their pins, or now");
        self.store.set_aside(&place, &damage).await?;
        Ok(none())
    }
}

/// Our evidence about a volume with what another process stored of it meanwhile, if that says more.
fn with_theirs(ours: &VolumeEvidence, theirs: Option<&Bytes>) -> Option<VolumeEvidence> {
    let theirs = record::decode::<VolumeEvidence>(theirs?).ok()?;
    let mut all = VolumeEvidence::clone(ours);
    if theirs.volume() == ours.volume() {
        all.add_all(&theirs);
    }
    (all != *ours).then_some(all)
}

fn place(registry: &Registry, name: &VolumeName) -> StorageKey {
    StorageKey::Evidence(registry.digest_of(name.as_str()))
}

impl std::fmt::Debug for EvidenceRegister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvidenceRegister").field("held", &self.memory.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
