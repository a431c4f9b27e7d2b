//! The open divergences: contradictions of a registry with itself, with both values.
//!
//! The list is stored, so that a divergence still counts after a restart, also offline. Owns this list, its bound and the
//! text of a divergence. Must not know how one is found, nor what follows from it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::reconcile::{ClaimSource, DifferenceKind};
use crate::clock::{Timestamp, rfc3339};
use crate::domain::{DocumentKey, Registry, Version, VolumeName};
use crate::store::record::{self, RecordError};
use crate::store::{Damage, KeyPrefix, StorageKey, Store, StoreError};

/// At most so many divergences are remembered. Beyond that a release is still refused, each time it is compared.
const MOST: usize = 10_000;

/// Which answer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum About {
    /// Exact metadata and the archive.
    Release,
    TrustSummary,
    /// The trust detail and its artifacts.
    TrustDetail,
}

/// The claim of one source, its time and its registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Testimony {
    pub(crate) source: ClaimSource,
    pub(crate) says: String,
    /// When it was fetched or last confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub(crate) fetched_at: Option<Timestamp>,
    /// The upstream, by its name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<String>,
}

impl fmt::Display for Testimony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_str())?;
        if let Some(upstream) = &self.upstream {
            write!(f, " of {upstream}")?;
        }
        if let Some(at) = self.fetched_at {
            let verb = if self.source == ClaimSource::Pin { "pinned" } else { "fetched" };
            write!(f, ", {verb} {at},")?;
        }
        write!(f, " says {}", self.says)
    }
}

/// A contradiction that outlived a refresh of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Divergence {
    pub(crate) volume: VolumeName,
    pub(crate) version: Version,
    pub(crate) about: About,
    pub(crate) kind: DifferenceKind,
    pub(crate) claims: [Testimony; 2],
    /// When it was first found.
    #[serde(with = "rfc3339")]
    pub(crate) since: Timestamp,
    /// When it was last found.
    #[serde(with = "rfc3339")]
    pub(crate) checked_at: Timestamp,
}

impl Divergence {
    /// The key whose answer is refused.
    #[must_use]
    pub(crate) fn key(&self) -> DocumentKey {
        let (name, version) = (self.volume.clone(), self.version.clone());
        match self.about {
            About::Release => DocumentKey::Release(name, version),
            About::TrustSummary => DocumentKey::TrustSummary(name, version),
            About::TrustDetail => DocumentKey::TrustDetail(name, version),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.claims;
        write!(f, "{one}, but {other}")
    }
}

/// The stored form. A record of an earlier version names no registry and is dropped.
#[derive(Serialize, Deserialize)]
struct DivergenceRecord {
    registry: Registry,
    #[serde(flatten)]
    divergence: Divergence,
}

/// By registry and refused key.
type Open = HashMap<(Registry, DocumentKey), Arc<Divergence>>;

/// A divergence of one registry does not affect the answers of another.
#[derive(Debug)]
pub(crate) struct Divergences {
    store: Arc<dyn Store>,
    loaded: OnceCell<()>,
    open: RwLock<Open>,
}

impl Divergences {
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, loaded: OnceCell::new(), open: RwLock::default() }
    }

    /// Reads the stored divergences, once. A damaged record is reported to `damaged` and set aside; its divergence is found
    /// again at the next comparison. A record without a registry, of an earlier version, is removed.
    ///
    /// # Errors
    /// When the store cannot be listed; the next call tries again.
    pub(crate) async fn load(&self, damaged: impl Fn(&Damage)) -> Result<(), StoreError> {
        let load = async || {
            let listed = self.listed(&HashMap::new(), damaged).await?;
            let mut open = self.write();
            for (about, divergence) in listed {
                open.entry(about).or_insert(divergence);
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    /// Takes over what other processes stored and removed about `volumes`. Of other volumes it only takes over what was removed, and
    /// what is new.
    ///
    /// # Errors
    /// When the store cannot be listed; then all stays as it was.
    pub(crate) async fn reread(
        &self,
        volumes: impl Fn(&VolumeName) -> bool,
        damaged: impl Fn(&Damage),
    ) -> Result<(), StoreError> {
        let before = self.read().clone();
        let others = before.iter().filter(|(_, open)| !volumes(&open.volume));
        let known =
            others.map(|((registry, key), _)| (place(registry, key), (registry.clone(), key.clone())));
        let known: HashMap<_, _> = known.collect();
        let mut listed = self.listed(&known, damaged).await?;
        let mut open = self.write();
        // What this process opened and closed meanwhile counts.
        listed.retain(|about, _| open.contains_key(about) || !before.contains_key(about));
        listed.extend(open.drain().filter(|(about, _)| !before.contains_key(about)));
        *open = listed;
        Ok(())
    }

    /// What is stored. What is `known` is not read again.
    async fn listed(
        &self,
        known: &HashMap<StorageKey, (Registry, DocumentKey)>,
        damaged: impl Fn(&Damage),
    ) -> Result<Open, StoreError> {
        let (mut open, mut listed) = (Open::new(), self.store.list(KeyPrefix::Divergences));
        while let Some(listed) = listed.next().await {
            let (key, _) = listed?;
            if let Some((about, held)) = known.get(&key).and_then(|(registry, about)| {
                Some(((registry.clone(), about.clone()), self.of(registry, about)?))
            }) {
                open.insert(about, held);
                continue;
            }
            let Some(stored) = self.store.read(&key).await? else { continue };
            let found = match record::decode::<DivergenceRecord>(&stored) {
                Ok(DivergenceRecord { registry, divergence })
                    if place(&registry, &divergence.key()) == key =>
                {
                    open.insert((registry, divergence.key()), Arc::new(divergence));
                    continue;
                }
                Ok(DivergenceRecord { divergence, .. }) => format!("that of {}", divergence.key()),
                Err(RecordError::Other(_)) => {
                    self.store.remove(&key).await?;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let damage = Damage::of(&key, "a divergence as it was written", found);
            damaged(&damage);
            self.store.set_aside(&key, &damage).await?;
        }
        Ok(open)
    }

    /// The divergence for which the answer of `registry` to `key` is refused.
    #[must_use]
    pub(crate) fn of(&self, registry: &Registry, key: &DocumentKey) -> Option<Arc<Divergence>> {
        self.read().get(&(registry.clone(), key.clone())).cloned()
    }

    /// The divergences about releases of `volume` at `registry`.
    #[must_use]
    pub(crate) fn of_volume(&self, registry: &Registry, volume: &VolumeName) -> Vec<Arc<Divergence>> {
        let open = self.read();
        let of_volume = open.iter().filter(|((whose, _), open)| {
            open.about == About::Release && open.volume == *volume && whose == registry
        });
        of_volume.map(|(_, open)| Arc::clone(open)).collect()
    }

    /// Every open divergence that `counts`, by volume and version.
    #[must_use]
    pub(crate) fn all(&self, counts: impl Fn(&Registry, &DocumentKey) -> bool) -> Vec<Arc<Divergence>> {
        let open = self.read();
        let counting = open.iter().filter(|((registry, key), _)| counts(registry, key));
        let mut all: Vec<_> = counting.map(|(_, open)| Arc::clone(open)).collect();
        all.sort_by(|one, other| (&one.volume, &one.version).cmp(&(&other.volume, &other.version)));
        all
    }

    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.read().len()
    }

    /// Records what was `found` at `registry`; an earlier record of the same kind keeps its `since`, also where another process
    /// made it. Answers with the record and whether it says anything new.
    ///
    /// # Errors
    /// When it cannot be written; it is remembered all the same.
    pub(crate) async fn open(
        &self,
        registry: &Registry,
        mut found: Divergence,
    ) -> (Arc<Divergence>, Result<bool, StoreError>) {
        let key = found.key();
        let before = self.of(registry, &key).filter(|before| before.kind == found.kind);
        if let Some(before) = &before {
            found.since = before.since;
        }
        if self.count() >= MOST && self.of(registry, &key).is_none() {
            return (Arc::new(found), Ok(true));
        }
        let says = |divergence: &Divergence| divergence.claims.clone().map(|claim| claim.says);
        let news = before.is_none_or(|before| says(&before) != says(&found));
        // Stored before it is reported, so that a crash does not forget why a client was refused.
        let written = if news { self.keep(registry, &mut found).await } else { Ok(()) };
        let found = Arc::new(found);
        self.write().insert((registry.clone(), key), Arc::clone(&found));
        (found, written.map(|()| news))
    }

    /// Stores what was `found`. Of several processes that find the same, the first says since when.
    async fn keep(&self, registry: &Registry, found: &mut Divergence) -> Result<(), StoreError> {
        let place = place(registry, &found.key());
        let mut earliest = |stored: Option<Bytes>| {
            let held = stored.and_then(|stored| record::decode::<DivergenceRecord>(&stored).ok());
            let held = held.map(|held| held.divergence).filter(|held| held.kind == found.kind);
            found.since = held.map_or(found.since, |held| held.since.min(found.since));
            let record = DivergenceRecord { registry: registry.clone(), divergence: found.clone() };
            Some(record::encode(&record))
        };
        self.store.update(&place, &mut earliest).await
    }

    /// Removes the divergence of `registry` about `key`. False if there was none.
    ///
    /// # Errors
    /// When its record cannot be removed; it is closed until a restart.
    pub(crate) async fn close(&self, registry: &Registry, key: &DocumentKey) -> Result<bool, StoreError> {
        if self.write().remove(&(registry.clone(), key.clone())).is_none() {
            return Ok(false);
        }
        self.store.remove(&place(registry, key)).await.map(|()| true)
    }

    /// Makes every divergence that `concerned` picks due.
    pub(crate) fn doubt(&self, concerned: impl Fn(&Divergence) -> bool) {
        for open in self.write().values_mut().filter(|open| concerned(open)) {
            *open = Arc::new(Divergence { checked_at: Timestamp(0), ..Divergence::clone(open) });
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write()
    }
}

fn place(registry: &Registry, key: &DocumentKey) -> StorageKey {
    StorageKey::Divergence(registry.digest_of(&key.to_string()))
}

#[cfg(test)]
mod tests;
