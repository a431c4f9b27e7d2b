//! Which releases an index that may not be kept removes.
//!
//! A kept index is compared with a release whenever the release is asked for. An index that is not kept is gone by then. So
//! exact metadata that it contradicts is removed at once from memory and store, if it could not be given beside the index
//! while the registry is unreachable (`sides::without_asking`). Otherwise it would come back in an outage, offline, or after
//! a restart. Owns that. Must not know which answers are not kept.

use std::sync::Arc;

use super::Judge;
use super::index::take_turns;
use super::sides::{compare, without_asking};
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Version, VolumeName};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;

impl Judge {
    /// Removes the releases of `name` that are older than `index`, which is not kept, and that it contradicts.
    pub(in crate::read) async fn overrule(&self, name: &VolumeName, index: &Document) {
        let Some(rows) = index.content.rows() else { return };
        let registry = index.meta.registry();
        let stored = self.held_of(&registry, name).await;
        for (at, (version, _)) in rows.by_version().enumerate() {
            take_turns(at).await;
            let key = DocumentKey::Release(name.clone(), version.clone());
            let release = match self.shelf.remembered(&key) {
                None if stored.has(&registry, &key) => self.shelf.held(&key).await,
                remembered => remembered,
            };
            if release.is_some_and(|release| speaks_against(index, (name, version), &release)) {
                self.shelf.forget(&registry, &key, index.reading.asked).await;
            }
        }
    }

    /// The status of `release` in the last index, if that was not kept and withdrew it. There was no other index since, so
    /// the release is removed, whichever of the two is newer.
    pub(super) async fn overruled(
        &self,
        name: &VolumeName,
        version: &Version,
        release: &Document,
    ) -> Option<Status> {
        let gives_bytes = release.content.release().is_some_and(|release| release.serves_bytes());
        let registry = release.meta.registry();
        let status = self.shelf.unkept.withdrawn(&registry, name, version).filter(|_| gives_bytes)?;
        let key = DocumentKey::Release(name.clone(), version.clone());
        self.shelf.forget(&registry, &key, release.reading.asked).await;
        Some(status)
    }
}

/// Whether `release` offers bytes and could not be given beside `index` while the registry is unreachable.
fn speaks_against(index: &Document, about: (&VolumeName, &Version), release: &Arc<Document>) -> bool {
    let gives_bytes = release.content.release().is_some_and(|release| release.serves_bytes());
    let difference = compare(about, Some(index), Some(release), None).filter(|_| gives_bytes);
    difference.is_some_and(|difference| {
        without_asking(&difference, Some(index), about.1, release, ReadFailure::Lost).is_err()
    })
}
