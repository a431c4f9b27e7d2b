//! The releases of which a store holds something: exact metadata, an archive, or a pin.
//!
//! Owns what counts as held, and when it was last used, as far as the store tells. Must not know what is done with them. A value
//! that cannot be read is told and left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};

use super::document;
use crate::clock::Timestamp;
use crate::consistency::Pins;
use crate::domain::{DocumentKey, Integrity, Purl, Resource, Version, VolumeName};
use crate::store::{KeyPrefix, StorageKey, Store, StoreError, sealed};

/// Values that are read at once.
const AT_ONCE: usize = 16;

/// What a store holds of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StoredRelease {
    /// When its exact metadata was last fetched or confirmed; `None` if there is none.
    pub(crate) last_used: Option<Timestamp>,
    /// Whether its archive is here.
    pub(crate) has_archive: bool,
    /// The integrity that its archive or a pin names.
    pub(crate) integrity: Option<Integrity>,
}

impl StoredRelease {
    /// Whether more is here than a pin.
    pub(crate) fn is_held(&self) -> bool {
        self.last_used.is_some() || self.has_archive
    }
}

/// Every release, by name and version.
pub(crate) type ReleasesInStore = BTreeMap<(VolumeName, Version), StoredRelease>;

/// Lists the releases in `store`. What cannot be read goes to `unreadable`, in words.
///
/// # Errors
/// When the store cannot be listed.
pub(crate) async fn releases(
    store: &Arc<dyn Store>,
    unreadable: impl FnMut(String),
) -> Result<ReleasesInStore, StoreError> {
    let mut found = ReleasesInStore::new();
    gather(store, |_| true, usize::MAX, &mut found, unreadable).await?;
    Ok(found)
}

/// Adds to `found` what `store` holds of releases whose names are `wanted`, and ends when there are more than `most`.
/// Answers with whether that was all. What was found stays there if this is dropped. The quickest to read come first.
///
/// # Errors
/// When the store cannot be listed.
pub(crate) async fn gather(
    store: &Arc<dyn Store>,
    wanted: impl Fn(&VolumeName) -> bool,
    most: usize,
    found: &mut ReleasesInStore,
    mut unreadable: impl FnMut(String),
) -> Result<bool, StoreError> {
    let pins = Pins::new(Arc::clone(store));
    let mut all = pins.all();
    while let Some(pin) = all.next().await {
        match pin {
            Ok(pin) if wanted(&pin.volume) => {
                let stored = found.entry((pin.volume, pin.version)).or_default();
                stored.integrity = stored.integrity.or(Some(pin.integrity));
            }
            Ok(_) => {}
            Err(error) => unreadable(error.to_string()),
        }
        if found.len() > most {
            return Ok(false);
        }
    }
    let listed = store.list(KeyPrefix::Archives).map_ok(|(key, _)| of_archive(store, key));
    let mut read = std::pin::pin!(listed.try_buffer_unordered(AT_ONCE));
    while let Some(archive) = read.try_next().await? {
        if let Some((release, integrity)) = archive.filter(|(release, _)| wanted(&release.name)) {
            let stored = found.entry((release.name, release.version)).or_default();
            (stored.has_archive, stored.integrity) = (true, Some(integrity));
        }
        if found.len() > most {
            return Ok(false);
        }
    }
    let listed = store.list(KeyPrefix::Documents).try_filter_map(async |(key, _)| {
        Ok(matches!(key, StorageKey::OfRelease { resource: Resource::Release, .. }).then_some(key))
    });
    let mut read = std::pin::pin!(listed.map_ok(|key| of_metadata(store, key)).try_buffer_unordered(AT_ONCE));
    while let Some(metadata) = read.try_next().await? {
        match metadata {
            Ok(Some((release, fetched_at))) if wanted(&release.name) => {
                let stored = found.entry((release.name, release.version)).or_default();
                stored.last_used = stored.last_used.max(Some(fetched_at));
            }
            Ok(_) => {}
            Err(why) => unreadable(why),
        }
        if found.len() > most {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `store` holds the archive with this integrity.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn has_archive(store: &Arc<dyn Store>, integrity: Integrity) -> Result<bool, StoreError> {
    Ok(of_archive(store, StorageKey::Archive(integrity)).await?.is_some())
}

/// The release of exact metadata and when it was last confirmed, or why it cannot be read.
async fn of_metadata(
    store: &Arc<dyn Store>,
    key: StorageKey,
) -> Result<Result<Option<(Purl, Timestamp)>, String>, StoreError> {
    let Some(stored) = store.read(&key).await? else { return Ok(Ok(None)) };
    Ok(match document::judge_apart(&key, stored).await {
        Ok((DocumentKey::Release(name, version), document)) if document.content.release().is_some() => {
            Ok(Some((Purl { name, version }, document.meta.fetched_at)))
        }
        Ok(_) => Ok(None),
        Err(finding) => {
            Err(format!("{}: expected {}, found {}", finding.path, finding.expected, finding.found))
        }
    })
}

/// The release of a sealed archive. A damaged one counts as none.
async fn of_archive(
    store: &Arc<dyn Store>,
    key: StorageKey,
) -> Result<Option<(Purl, Integrity)>, StoreError> {
    let StorageKey::Archive(integrity) = key else { return Ok(None) };
    let seal = match sealed::open(&**store, &key).await {
        Ok(seal) => seal,
        Err(StoreError::Corrupt(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(seal.and_then(|seal| Some((seal.identity.parse().ok()?, integrity))))
}
