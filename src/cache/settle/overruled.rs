//! What an index that may not be kept takes from the releases that are held.
//!
//! A kept index is held against a release whenever the release is asked for. One that is not kept is gone by then, so what
//! it speaks against goes at once, from memory and from the store: exact metadata that could not be given beside it while
//! nobody can be asked (`release::without_asking`). It would come back in an outage, after a restart or offline, as if
//! nothing had been said. Owns that. Must not know which answers are not kept.

use std::sync::Arc;

use super::index::take_turns;
use super::release::{compare, without_asking};
use crate::cache::document::Document;
use crate::cache::documents::Documents;
use crate::cache::failure::Failure;
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Version, VolumeName};

impl Documents {
    /// Forgets the releases of `name` that `index`, which is not kept, speaks against and that were asked for before it.
    pub(in crate::cache) async fn overrule(&self, name: &VolumeName, index: &Document) {
        let Some(rows) = index.content.rows() else { return };
        let registry = index.meta.registry();
        let stored = self.held_of(&registry, name).await;
        for (at, (version, _)) in rows.by_version().enumerate() {
            take_turns(at).await;
            let key = DocumentKey::Release(name.clone(), version.clone());
            let release = match self.remembered(&key) {
                None if stored.has(&registry, &key) => self.held(&key).await,
                remembered => remembered,
            };
            if release.is_some_and(|release| speaks_against(index, (name, version), &release)) {
                self.forget(&registry, &key, index.asked).await;
            }
        }
    }

    /// What an index that was not kept said of `release`, where it withdrew it: no other index was had since, so the
    /// release goes, whichever of the two is newer.
    pub(super) async fn overruled(
        &self,
        name: &VolumeName,
        version: &Version,
        release: &Document,
    ) -> Option<Status> {
        let gives_bytes = release.content.release().is_some_and(|release| release.serves_bytes());
        let registry = release.meta.registry();
        let status = self.withdrawn(&registry, name, version).filter(|_| gives_bytes)?;
        let key = DocumentKey::Release(name.clone(), version.clone());
        self.forget(&registry, &key, release.asked).await;
        Some(status)
    }
}

/// Whether `release` gives bytes that it could not give beside `index` while nobody can be asked.
fn speaks_against(index: &Document, about: (&VolumeName, &Version), release: &Arc<Document>) -> bool {
    let gives_bytes = release.content.release().is_some_and(|release| release.serves_bytes());
    let difference = compare(about, Some(index), Some(release), None).filter(|_| gives_bytes);
    difference.is_some_and(|difference| {
        without_asking(&difference, Some(index), about.1, release, Failure::Lost).is_err()
    })
}
