//! What follows when an archive is refused for its content.
//!
//! The refusal is remembered, and the archive is not downloaded again: exact metadata and archive are refused, the index row
//! is shown as unavailable or blocked, and a pin under which no archive was ever verified is removed. A release whose
//! archive is refused never enters the hit path. Owns that. Must not know which failures are verdicts, nor how a refusal is
//! kept (`consistency::refusals`).

use std::sync::Arc;

use tracing::error;

use super::Judge;
use crate::cluster::NewsKind;
use crate::consistency::refusals::ArchiveRefusal;
use crate::domain::{DocumentKey, Integrity, Purl, Registry, VolumePattern};
use crate::read::document::Document;

impl Judge {
    pub(in crate::read) async fn refuse_archive(&self, refusal: ArchiveRefusal) {
        let release = Purl::new(&refusal.volume, &refusal.version);
        let (registry, integrity) = (refusal.registry.clone(), refusal.integrity);
        if let Err(error) = self.shelf.refusals.add(refusal).await {
            error!(%error, %release, "cannot store that an archive was refused; it is fetched again after a restart");
        }
        if let Err(error) = self.pins.disown(&registry, &release, &integrity).await {
            error!(%error, %release, "cannot remove the pin of a refused archive");
        }
        let Purl { name, version } = release;
        self.env.tell(NewsKind::Refusal, || VolumePattern::Exact(name.clone()));
        self.shelf.doubt(&DocumentKey::Release(name.clone(), version));
        self.shelf.count_divergences();
        self.shelf.show(&name);
    }

    /// The refused archive that answers in place of `document`, exact metadata.
    pub(in crate::read) fn refusal_of(
        &self,
        key: &DocumentKey,
        document: &Document,
    ) -> Option<Arc<ArchiveRefusal>> {
        let DocumentKey::Release(name, version) = key else { return None };
        let release = document.content.release().filter(|release| release.serves_bytes())?;
        let refusal = self.shelf.refusals.of(&document.meta.registry(), &Purl::new(name, version))?;
        (release.integrity == Some(refusal.integrity)).then_some(refusal)
    }

    /// A registry says that `release` has this `integrity`: refusals under another one are forgotten.
    pub(in crate::read) async fn outgrow(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: Option<Integrity>,
    ) {
        let Some(integrity) = integrity else { return };
        let is_over = |refusal: &ArchiveRefusal| {
            refusal.registry == *registry
                && refusal.volume == release.name
                && refusal.version == release.version
                && refusal.integrity != integrity
        };
        self.forgive(is_over).await;
    }

    /// Forgets the refusals that `ends` picks, so that their archives are fetched again.
    pub(in crate::read) async fn forgive(&self, ends: impl Fn(&ArchiveRefusal) -> bool + Sync) {
        match self.shelf.refusals.forget(ends).await {
            Ok(ended) => ended.iter().for_each(|refusal| {
                self.env.tell(NewsKind::Refusal, || VolumePattern::Exact(refusal.volume.clone()));
                self.shelf.show(&refusal.volume);
            }),
            Err(error) => {
                error!(%error, "cannot store that a refusal is over; it is in force again after a restart");
                self.shelf.show_all();
            }
        }
        self.shelf.count_divergences();
    }
}
