//! The record of a mirror: what its syncs selected and brought, and what was missing.
//!
//! A sync that ends with nothing missing is *complete*, and its selection replaces all that was kept before. Any other sync
//! adds to it: what an earlier sync brought is kept until a complete one selects otherwise. Owns the stored form, and which
//! stored values belong to a mirror. Must not know how a selection is made or brought in.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::enumeration::SearchRemark;
use super::notices::RegistryNotices;
use crate::clock::Timestamp;
use crate::domain::LifecycleState;
use crate::domain::{DocumentKey, Integrity, Registry, Sha256, Version, VolumeName};
use crate::read::place::place;
use crate::store::record::{RecordError, decode, encode};
use crate::store::{KeyPrefix, StorageKey, StorageKeys, Store, StoreError};

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorRecordError {
    #[error("the record of the mirror cannot be read or written")]
    Store(#[from] StoreError),
    /// The next sync writes it anew.
    #[error("the record of the mirror is damaged: {0}; run `mirror sync`")]
    Damaged(#[from] RecordError),
}

/// A release that a mirror has or wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirroredRelease {
    pub(crate) volume: VolumeName,
    pub(crate) version: Version,
    /// As exact metadata says, or else the row; some rows and some states have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) integrity: Option<Integrity>,
    pub(crate) state: LifecycleState,
    /// Whether its archive belongs to the mirror: its state serves bytes, and this proxy brings it.
    pub(crate) wants_files: bool,
    /// Whether it is not to be taken any more, and stays for what its documents say of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_passed_over: bool,
    /// Its place in [`MirrorRecord::registries`].
    pub(crate) registry: usize,
    /// The length of its archive; none while that is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<u64>,
    /// Whether its trust summary and detail are here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) trust: bool,
    /// When its registry said that it has no trust views, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) untrusted: Option<Timestamp>,
    /// The digests and lengths of the trust artifacts that are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) artifacts: Vec<(Sha256, u64)>,
}

/// Something that should be in a mirror and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirrorLack {
    #[serde(flatten)]
    pub(crate) subject: LackSubject,
    pub(crate) reason: String,
}

/// Whom a lack concerns: a root as it is written, or `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LackSubject {
    Root(String),
    Release(String),
}

/// What is recorded of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirrorRecord {
    pub(crate) name: String,
    /// When the last complete sync ended; none if no sync was complete yet.
    pub(crate) last_success: Option<Timestamp>,
    /// When the last sync ended.
    pub(crate) last_sync: Timestamp,
    /// The registries that the releases belong to.
    pub(crate) registries: Vec<Registry>,
    /// What the last sync selected, by name and version.
    pub(crate) selected: Vec<MirroredRelease>,
    /// What earlier syncs selected and the last one did not, back to the last complete one.
    pub(crate) kept: Vec<MirroredRelease>,
    /// What was missing when the last sync ended.
    pub(crate) missing: Vec<MirrorLack>,
    /// How many more things were missing than are listed.
    pub(crate) untold: usize,
    /// The lengths of selected archives that are not here, as far as registries said them.
    #[serde(default)]
    pub(crate) open_lengths: Vec<(Integrity, u64)>,
    /// What the registries say about no volume.
    #[serde(default)]
    pub(crate) notices: Vec<RegistryNotices>,
    /// What was odd about searches when the last sync looked.
    #[serde(default)]
    pub(crate) remarks: Vec<SearchRemark>,
}

impl MirrorRecord {
    /// The record of a mirror that has nothing yet.
    pub(crate) fn empty(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            last_success: None,
            last_sync: now,
            registries: Vec::new(),
            selected: Vec::new(),
            kept: Vec::new(),
            missing: Vec::new(),
            untold: 0,
            open_lengths: Vec::new(),
            notices: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Everything that belongs to the mirror.
    pub(crate) fn releases(&self) -> impl Iterator<Item = &MirroredRelease> {
        self.selected.iter().chain(&self.kept)
    }

    /// How many releases belong to the mirror. One of which only documents are selected may be kept with its files as well.
    pub(crate) fn count(&self) -> usize {
        let names: HashSet<_> = self.kept.iter().map(|kept| (&kept.volume, &kept.version)).collect();
        let again = |release: &&MirroredRelease| names.contains(&(&release.volume, &release.version));
        let twice = if names.is_empty() { 0 } else { self.selected.iter().filter(again).count() };
        self.selected.len() + names.len() - twice
    }

    /// The place of `registry`, which is added if it is new.
    pub(crate) fn index_of(&mut self, registry: &Registry) -> usize {
        let known = self.registries.iter().position(|known| known == registry);
        known.unwrap_or_else(|| {
            self.registries.push(registry.clone());
            self.registries.len() - 1
        })
    }

    /// The notices of the registry at this place.
    pub(crate) fn notices_of(&mut self, registry: usize) -> &mut RegistryNotices {
        let at = self.notices.iter().position(|known| known.registry == registry);
        let at = at.unwrap_or_else(|| {
            self.notices.push(RegistryNotices { registry, ..RegistryNotices::default() });
            self.notices.len() - 1
        });
        &mut self.notices[at]
    }

    /// The registry that a release belongs to.
    pub(crate) fn registry_of(&self, release: &MirroredRelease) -> Option<&Registry> {
        self.registries.get(release.registry)
    }

    /// The bytes of the files of everything selected, each file once.
    pub(crate) fn bytes(&self) -> u64 {
        self.file_lengths().sum()
    }

    /// The same of everything that belongs to the mirror.
    pub(crate) fn all_bytes(&self) -> u64 {
        lengths_of(self.releases()).sum()
    }

    /// The lengths of the files of everything selected, each file once.
    pub(crate) fn file_lengths(&self) -> impl Iterator<Item = u64> {
        lengths_of(self.selected.iter())
    }

    /// The lengths of archives that a sync saw or asked for.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (Integrity, u64)> {
        let seen = self.releases().filter_map(|release| release.integrity.zip(release.archive));
        seen.chain(self.open_lengths.iter().copied())
    }

    /// The keys of everything that belongs to the mirror: files, also those that are still to come, indexes, exact metadata,
    /// trust views and notices.
    pub(crate) fn keys(&self) -> StorageKeys {
        let mut keys = Self::keys_of(&self.registries, self.releases());
        for notices in &self.notices {
            let registry = self.registries.get(notices.registry);
            registry.into_iter().flat_map(|of| notices.places(of)).for_each(|place| keys.insert(&place));
        }
        keys
    }

    /// The same of what is selected alone.
    pub(crate) fn selected_keys(&self) -> StorageKeys {
        Self::keys_of(&self.registries, self.selected.iter())
    }

    fn keys_of<'a>(
        registries: &[Registry],
        releases: impl Iterator<Item = &'a MirroredRelease>,
    ) -> StorageKeys {
        // Most releases have an archive and exact metadata.
        let mut keys = StorageKeys::with_room_for(releases.size_hint().0.saturating_mul(2));
        for release in releases {
            if let Some(integrity) = release.integrity.filter(|_| release.wants_files) {
                keys.insert(&StorageKey::Archive(integrity));
            }
            for (digest, _) in &release.artifacts {
                keys.insert(&StorageKey::TrustArtifact(*digest));
            }
            let Some(registry) = registries.get(release.registry) else { continue };
            let (name, version) = (&release.volume, &release.version);
            keys.insert(&place(registry, &DocumentKey::Index(name.clone())));
            keys.insert(&place(registry, &DocumentKey::Release(name.clone(), version.clone())));
            if release.trust {
                keys.insert(&place(registry, &DocumentKey::TrustSummary(name.clone(), version.clone())));
                keys.insert(&place(registry, &DocumentKey::TrustDetail(name.clone(), version.clone())));
            }
        }
        keys
    }
}

/// The lengths of the files of releases, each file once.
fn lengths_of<'a>(releases: impl Iterator<Item = &'a MirroredRelease>) -> impl Iterator<Item = u64> {
    let mut seen = HashSet::new();
    let files = releases.flat_map(MirroredRelease::files);
    files.filter(move |(file, _)| seen.insert(*file)).map(|(_, bytes)| bytes)
}

impl MirroredRelease {
    /// `name@version`.
    pub(crate) fn id(&self) -> String {
        format!("{}@{}", self.volume, self.version)
    }

    /// Its files that are here, each by whether it is an archive and by its digest, with their lengths.
    fn files(&self) -> impl Iterator<Item = ((bool, &Sha256), u64)> {
        let archive = self.integrity.as_ref().zip(self.archive).filter(|_| self.wants_files);
        let archive = archive.map(|(integrity, bytes)| ((true, integrity.digest()), bytes));
        archive.into_iter().chain(self.artifacts.iter().map(|(digest, bytes)| ((false, digest), *bytes)))
    }
}

fn key(name: &str) -> StorageKey {
    StorageKey::Mirror(Sha256::of(name.as_bytes()))
}

/// The record of the mirror `name`, if it was ever synced.
///
/// # Errors
/// [`MirrorRecordError`] when it cannot be read, or is not what was written.
pub(crate) async fn load(store: &dyn Store, name: &str) -> Result<Option<MirrorRecord>, MirrorRecordError> {
    let Some(stored) = store.read(&key(name)).await? else { return Ok(None) };
    Ok(Some(decode(&stored)?))
}

/// Writes a record *first*.
///
/// # Errors
/// When the store does not take it.
pub(crate) async fn save(store: &dyn Store, record: &MirrorRecord) -> Result<(), StoreError> {
    store.write(&key(&record.name), encode(record)).await
}

/// The keys of everything that belongs to the mirrors `names`, or to every mirror with a record. A record that cannot be
/// used keeps nothing; it is told to `damaged`.
pub(crate) async fn kept_keys(
    store: &Arc<dyn Store>,
    names: Option<&[String]>,
    mut damaged: impl FnMut(MirrorRecordError),
) -> StorageKeys {
    let mut kept = StorageKeys::default();
    let mut keep = |loaded: Result<Option<MirrorRecord>, MirrorRecordError>| match loaded {
        Ok(record) => record.iter().for_each(|record| kept.add(&record.keys())),
        Err(error) => damaged(error),
    };
    if let Some(names) = names {
        for name in names {
            keep(load(&**store, name).await);
        }
        return kept;
    }
    let mut listed = pin!(store.list(KeyPrefix::Mirrors));
    while let Some(listed) = listed.next().await {
        let loaded = match listed {
            Ok((key, _)) => match store.read(&key).await {
                Ok(Some(stored)) => decode(&stored).map(Some).map_err(MirrorRecordError::from),
                Ok(None) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
        keep(loaded);
    }
    kept
}

#[cfg(test)]
mod tests;
