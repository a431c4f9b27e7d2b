//! Archives that were refused for what they are: what a registry offers under an integrity, and must not be served.
//!
//! A refusal belongs to a registry, a release and an integrity. It stands until the integrity is another, somebody
//! invalidates, or the release is published through this proxy. An archive that is too large is not refused for what it
//! is: the limits are this proxy's. Kept in one record, so that a restart does not fetch all of them again. Owns this list
//! and its bound. Must not know how an archive is verified, nor what a client is told.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OnceCell};

use crate::clock::{Timestamp, rfc3339};
use crate::domain::problem::Kind;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::{Damage, StorageKey, Store, StoreError, record};

/// Most refusals that are remembered; the oldest goes first, and its archive is then fetched and refused once more.
const MOST: usize = 1024;

/// What an archive was refused for; a closed set. What happened to it on its way is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
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

impl Verdict {
    /// What is refused with it.
    #[must_use]
    pub fn problem(self) -> Kind {
        match self {
            Self::Identity => Kind::IdentityMismatch,
            Self::Escalation => Kind::AuthorizationFailed,
            Self::Digest | Self::Profile | Self::Manifest => Kind::InconsistentRegistryState,
        }
    }
}

/// One refused archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose archive.
    pub registry: Registry,
    /// The volume.
    pub volume: VolumeName,
    /// The release of it.
    pub version: Version,
    /// The content identity that it was offered under.
    pub integrity: Integrity,
    /// What for.
    pub verdict: Verdict,
    /// The same in a sentence, fit for clients.
    pub why: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

impl Refusal {
    fn is_of(&self, registry: &Registry, volume: &VolumeName) -> bool {
        self.registry == *registry && self.volume == *volume
    }
}

/// The refusals of one store.
#[derive(Debug)]
pub struct Refusals {
    store: Arc<dyn Store>,
    loaded: OnceCell<()>,
    /// The oldest first.
    list: RwLock<Vec<Arc<Refusal>>>,
    writing: Mutex<()>,
}

impl Refusals {
    /// Refusals kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, loaded: OnceCell::new(), list: RwLock::default(), writing: Mutex::default() }
    }

    /// Reads what an earlier process refused, once. A record that is damaged is told to `damaged` and set aside: its
    /// archives are fetched and refused again.
    ///
    /// # Errors
    /// When it cannot be read; the next call tries again.
    pub async fn load(&self, damaged: impl Fn(&Damage)) -> Result<(), StoreError> {
        let load = async || {
            let place = StorageKey::Refusals;
            let Some(stored) = self.store.read(&place).await? else { return Ok(()) };
            match record::decode::<Vec<Refusal>>(&stored) {
                Ok(earlier) => {
                    let mut earlier: Vec<_> = earlier.into_iter().map(Arc::new).collect();
                    let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
                    earlier.append(&mut list);
                    *list = earlier;
                }
                Err(error) => {
                    let damage = Damage::of(&place, "the archives that were refused", error.to_string());
                    damaged(&damage);
                    self.store.set_aside(&place, &damage).await?;
                }
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    /// The refusal of what `registry` offers as `release`, whatever integrity it is offered under.
    #[must_use]
    pub fn of(&self, registry: &Registry, release: &Purl) -> Option<Arc<Refusal>> {
        self.of_volume(registry, &release.name).into_iter().find(|refusal| refusal.version == release.version)
    }

    /// The refusals of a volume's releases.
    #[must_use]
    pub fn of_volume(&self, registry: &Registry, volume: &VolumeName) -> Vec<Arc<Refusal>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|refusal| refusal.is_of(registry, volume)).cloned().collect()
    }

    /// Adds a refusal in place of an earlier one of its release.
    ///
    /// # Errors
    /// When it cannot be written; it stands as long as this process lives.
    pub async fn add(&self, refusal: Refusal) -> Result<(), StoreError> {
        self.change(|list| {
            list.retain(|held| {
                !held.is_of(&refusal.registry, &refusal.volume) || held.version != refusal.version
            });
            let surplus = (list.len() + 1).saturating_sub(MOST);
            list.drain(..surplus);
            list.push(Arc::new(refusal));
        })
        .await
    }

    /// Forgets the refusals that `ends` picks. Answers with them.
    ///
    /// # Errors
    /// When that cannot be written; they are forgotten all the same.
    pub async fn forget(&self, ends: impl Fn(&Refusal) -> bool) -> Result<Vec<Arc<Refusal>>, StoreError> {
        let some = {
            let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
            list.iter().any(|refusal| ends(refusal))
        };
        if !some {
            return Ok(Vec::new());
        }
        let mut ended = Vec::new();
        let written = self.change(|list| ended.extend(list.extract_if(.., |refusal| ends(refusal)))).await;
        written.map(|()| ended)
    }

    async fn change(&self, change: impl FnOnce(&mut Vec<Arc<Refusal>>)) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let stored = {
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut list);
            record::encode(&list.iter().map(|refusal| &**refusal).collect::<Vec<_>>())
        };
        self.store.write(&StorageKey::Refusals, stored).await
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

    fn refusal(number: usize, verdict: Verdict) -> Refusal {
        let Purl { name: volume, version } = purl(number);
        let integrity = Integrity::new(Sha256::of(b"x"));
        let (registry, since) = (registry("https://up"), Timestamp(7_000));
        Refusal { registry, volume, version, integrity, verdict, why: "why".into(), since }
    }

    fn refusals(store: &Arc<dyn Store>) -> Refusals {
        Refusals::new(Arc::clone(store))
    }

    #[tokio::test]
    async fn they_survive_a_restart_and_count_for_their_registry_alone() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let before = refusals(&store);
        before.add(refusal(1, Verdict::Digest)).await.unwrap();
        before.add(refusal(1, Verdict::Escalation)).await.unwrap();
        before.add(refusal(2, Verdict::Profile)).await.unwrap();
        let after = refusals(&store);
        after.load(|_| panic!("whole")).await.unwrap();
        assert_eq!(after.of(&registry("https://up"), &purl(1)).unwrap().verdict, Verdict::Escalation);
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
    async fn they_are_bounded_and_the_oldest_goes() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let refusals = refusals(&store);
        for number in 0..=MOST {
            refusals.add(refusal(number, Verdict::Profile)).await.unwrap();
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
