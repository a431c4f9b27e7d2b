//! Archives that were refused for their content.
//!
//! A refusal belongs to a registry, a release and an integrity. It ends when the integrity changes, when the release is
//! invalidated, or when it is published through this proxy. An archive that is too large is not listed, since the limits are
//! this proxy's and may change. The list is one stored record, so that a restart does not fetch these archives again. Owns
//! this list and its bound. Must not know how an archive is verified, nor what a client is told.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};

use super::divergences::{About, Divergence, Testimony};
use super::reconcile::{ClaimSource, DifferenceKind};
use crate::clock::{Timestamp, rfc3339};
use crate::domain::problem::ProblemKind;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::{Damage, StorageKey, Store, StoreError, record};

/// At most so many refusals are remembered. The oldest is dropped first; its archive is fetched and refused again.
const MOST: usize = 1024;

/// Why an archive was refused; a closed set. Transport errors are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ArchiveVerdict {
    /// Its tree is not the one that the integrity names.
    Digest,
    /// It holds what no archive may.
    Profile,
    /// Its manifest is missing or invalid.
    Manifest,
    /// Its manifest is that of another release.
    Identity,
    /// It claims more than its volume may.
    Escalation,
}

impl ArchiveVerdict {
    /// The problem that clients get.
    #[must_use]
    pub(crate) fn problem(self) -> ProblemKind {
        match self {
            Self::Identity => ProblemKind::IdentityMismatch,
            Self::Escalation => ProblemKind::AuthorizationFailed,
            Self::Digest | Self::Profile | Self::Manifest => ProblemKind::InconsistentRegistryState,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveRefusal {
    pub(crate) registry: Registry,
    pub(crate) volume: VolumeName,
    pub(crate) version: Version,
    /// The integrity under which it was offered.
    pub(crate) integrity: Integrity,
    pub(crate) verdict: ArchiveVerdict,
    /// The reason in a sentence; clients read it.
    pub(crate) why: String,
    /// What Git delivered, if that was another tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<Box<OtherTree>>,
    #[serde(with = "rfc3339")]
    pub(crate) since: Timestamp,
}

/// A commit with another tree than that of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherTree {
    /// The reference that names it.
    pub(crate) reference: String,
    pub(crate) commit: String,
    /// The integrity of its tree.
    pub(crate) integrity: Integrity,
}

impl ArchiveRefusal {
    /// The refusal as a divergence, where the registry names a reference of a repository: the two contradict each other.
    #[must_use]
    pub(crate) fn divergence(&self) -> Option<Divergence> {
        let OtherTree { reference, commit, integrity } = self.delivered.as_deref()?;
        let named = format!("integrity {}", self.integrity);
        let found = format!("integrity {integrity}, of commit {commit} that {reference} names");
        let claims = [(ClaimSource::Exact, named), (ClaimSource::Repository, found)];
        let upstream = self.registry.name();
        let testimony = |(source, says)| Testimony {
            source,
            says,
            fetched_at: None,
            upstream: Some(upstream.to_owned()),
        };
        Some(Divergence {
            volume: self.volume.clone(),
            version: self.version.clone(),
            about: About::Release,
            kind: DifferenceKind::Delivery,
            claims: claims.map(testimony),
            since: self.since,
            checked_at: self.since,
        })
    }

    fn is_of(&self, registry: &Registry, volume: &VolumeName) -> bool {
        self.registry == *registry && self.volume == *volume
    }
}

#[derive(Debug)]
pub(crate) struct ArchiveRefusals {
    store: Arc<dyn Store>,
    loaded: OnceCell<()>,
    /// The oldest first.
    list: RwLock<Vec<Arc<ArchiveRefusal>>>,
    writing: Mutex<()>,
}

impl ArchiveRefusals {
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, loaded: OnceCell::new(), list: RwLock::default(), writing: Mutex::default() }
    }

    /// Reads the stored list, once. A damaged list is reported to `damaged` and set aside: its archives are fetched and
    /// refused again.
    ///
    /// # Errors
    /// When it cannot be read; the next call tries again.
    pub(crate) async fn load(&self, damaged: impl Fn(&Damage)) -> Result<(), StoreError> {
        let load = async || {
            let mut earlier = self.listed(damaged).await?;
            let mut list = self.list.write();
            earlier.append(&mut list);
            *list = earlier;
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    /// Takes over the list that another process stored, as a restart would.
    ///
    /// # Errors
    /// When it cannot be read; then all stays as it was.
    pub(crate) async fn reread(&self, damaged: impl Fn(&Damage)) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let listed = self.listed(damaged).await?;
        *self.list.write() = listed;
        Ok(())
    }

    async fn listed(&self, damaged: impl Fn(&Damage)) -> Result<Vec<Arc<ArchiveRefusal>>, StoreError> {
        let place = StorageKey::Refusals;
        let Some(stored) = self.store.read(&place).await? else { return Ok(Vec::new()) };
        match record::decode::<Vec<ArchiveRefusal>>(&stored) {
            Ok(earlier) => Ok(earlier.into_iter().map(Arc::new).collect()),
            Err(error) => {
                let damage = Damage::of(&place, "the archives that were refused", error.to_string());
                damaged(&damage);
                self.store.set_aside(&place, &damage).await?;
                Ok(Vec::new())
            }
        }
    }

    /// All of them, the oldest first.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<ArchiveRefusal>> {
        self.list.read().clone()
    }

    /// The refused archive of `release` at `registry`, under whatever integrity.
    #[must_use]
    pub(crate) fn of(&self, registry: &Registry, release: &Purl) -> Option<Arc<ArchiveRefusal>> {
        self.of_volume(registry, &release.name).into_iter().find(|refusal| refusal.version == release.version)
    }

    /// The refusals of a volume's releases.
    #[must_use]
    pub(crate) fn of_volume(&self, registry: &Registry, volume: &VolumeName) -> Vec<Arc<ArchiveRefusal>> {
        let list = self.list.read();
        list.iter().filter(|refusal| refusal.is_of(registry, volume)).cloned().collect()
    }

    /// Adds a refusal in place of an earlier one of its release.
    ///
    /// # Errors
    /// When it cannot be written; it stands until a restart.
    pub(crate) async fn add(&self, refusal: ArchiveRefusal) -> Result<(), StoreError> {
        let refusal = Arc::new(refusal);
        self.change(|list| {
            list.retain(|held| {
                !held.is_of(&refusal.registry, &refusal.volume) || held.version != refusal.version
            });
            let surplus = (list.len() + 1).saturating_sub(MOST);
            list.drain(..surplus);
            list.push(Arc::clone(&refusal));
        })
        .await
    }

    /// Forgets the refusals that `ends` picks. Answers with them.
    ///
    /// # Errors
    /// When that cannot be written; they are forgotten until a restart.
    pub(crate) async fn forget(
        &self,
        ends: impl Fn(&ArchiveRefusal) -> bool + Sync,
    ) -> Result<Vec<Arc<ArchiveRefusal>>, StoreError> {
        let some = {
            let list = self.list.read();
            list.iter().any(|refusal| ends(refusal))
        };
        if !some {
            return Ok(Vec::new());
        }
        let mut ended = Vec::new();
        let written =
            self.change(|list| ended = list.extract_if(.., |refusal| ends(refusal)).collect()).await;
        written.map(|()| ended)
    }

    /// Makes a change here and in the store, to which other processes add as well.
    async fn change(
        &self,
        mut change: impl FnMut(&mut Vec<Arc<ArchiveRefusal>>) + Send,
    ) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let mut held = self.list.read().clone();
        let mut renew = |stored: Option<Bytes>| {
            let stored = stored.and_then(|stored| record::decode::<Vec<ArchiveRefusal>>(&stored).ok());
            if let Some(stored) = stored {
                held = stored.into_iter().map(Arc::new).collect();
            }
            change(&mut held);
            Some(record::encode(&held.iter().map(|refusal| &**refusal).collect::<Vec<_>>()))
        };
        let written = self.store.update(&StorageKey::Refusals, &mut renew).await;
        if written.is_err() {
            held = self.list.read().clone();
            change(&mut held);
        }
        *self.list.write() = held;
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Sha256;
    use crate::store::ObjectStorage;

    fn registry(origin: &str) -> Registry {
        Registry::new("public", origin)
    }

    fn purl(number: usize) -> Purl {
        format!("pkg:volume/x@{number}.0.0").parse().unwrap()
    }

    fn refusal(number: usize, verdict: ArchiveVerdict) -> ArchiveRefusal {
        let Purl { name: volume, version } = purl(number);
        let integrity = Integrity::new(Sha256::of(b"x"));
        let (registry, since) = (registry("https://up"), Timestamp(7_000));
        ArchiveRefusal {
            registry,
            volume,
            version,
            integrity,
            verdict,
            why: "why".into(),
            delivered: None,
            since,
        }
    }

    fn refusals(store: &Arc<dyn Store>) -> ArchiveRefusals {
        ArchiveRefusals::new(Arc::clone(store))
    }

    #[tokio::test]
    async fn they_survive_a_restart_and_count_for_their_registry_alone() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let before = refusals(&store);
        before.add(refusal(1, ArchiveVerdict::Digest)).await.unwrap();
        before.add(refusal(1, ArchiveVerdict::Escalation)).await.unwrap();
        before.add(refusal(2, ArchiveVerdict::Profile)).await.unwrap();
        let after = refusals(&store);
        after.load(|_| panic!("whole")).await.unwrap();
        assert_eq!(after.of(&registry("https://up"), &purl(1)).unwrap().verdict, ArchiveVerdict::Escalation);
        assert_eq!(after.of_volume(&registry("https://up"), &purl(1).name).len(), 2, "one a release");
        assert!(after.of(&registry("https://elsewhere"), &purl(1)).is_none());
        assert_eq!(after.forget(|refusal| refusal.version == purl(1).version).await.unwrap().len(), 1);
        assert!(after.forget(|refusal| refusal.version == purl(1).version).await.unwrap().is_empty());
        let again = refusals(&store);
        again.load(|_| panic!("whole")).await.unwrap();
        assert!(again.of(&registry("https://up"), &purl(1)).is_none());
        assert!(again.of(&registry("https://up"), &purl(2)).is_some());
    }

    #[tokio::test]
    async fn two_processes_add_and_forget_in_one_list() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let (one, other) = (refusals(&store), refusals(&store));
        one.add(refusal(1, ArchiveVerdict::Digest)).await.unwrap();
        other.add(refusal(2, ArchiveVerdict::Profile)).await.unwrap();
        assert_eq!(other.of_volume(&registry("https://up"), &purl(1).name).len(), 2);
        assert_eq!(other.forget(|refusal| refusal.version == purl(1).version).await.unwrap().len(), 1);
        one.add(refusal(3, ArchiveVerdict::Profile)).await.unwrap();
        assert!(one.of(&registry("https://up"), &purl(1)).is_none(), "the other's change counts");
        one.reread(|_| panic!("whole")).await.unwrap();
        let versions: Vec<_> = one.list.read().iter().map(|refusal| refusal.version.to_string()).collect();
        assert_eq!(versions, ["2.0.0", "3.0.0"]);
    }

    #[tokio::test]
    async fn they_are_bounded_and_the_oldest_goes() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let refusals = refusals(&store);
        for number in 0..=MOST {
            refusals.add(refusal(number, ArchiveVerdict::Profile)).await.unwrap();
        }
        assert_eq!(refusals.of_volume(&registry("https://up"), &purl(0).name).len(), MOST);
        assert!(refusals.of(&registry("https://up"), &purl(0)).is_none());
        assert!(refusals.of(&registry("https://up"), &purl(MOST)).is_some());
    }

    #[tokio::test]
    async fn a_damaged_record_is_set_aside() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        store.write(&StorageKey::Refusals, "garbage".into()).await.unwrap();
        let (refusals, told) = (refusals(&store), std::sync::atomic::AtomicBool::new(false));
        refusals.load(|_| told.store(true, std::sync::atomic::Ordering::Relaxed)).await.unwrap();
        assert!(told.into_inner());
        assert_eq!(store.read(&StorageKey::Refusals).await.unwrap(), None);
    }
}
