//! What this proxy holds against a release: a contradiction of its registry, or an archive that was refused.
//!
//! Owns that a bundle says so where a client of this proxy would hear it. Must not know what is stored of the release.

use std::sync::Arc;

use tracing::warn;

use crate::consistency::{ArchiveRefusals, Divergences};
use crate::domain::{DocumentKey, Purl, Registry};
use crate::store::{Damage, Store, StoreError};

pub(super) struct Objections {
    divergences: Divergences,
    refusals: ArchiveRefusals,
}

impl Objections {
    /// Those that `store` has recorded.
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let of = Self {
            divergences: Divergences::new(Arc::clone(store)),
            refusals: ArchiveRefusals::new(Arc::clone(store)),
        };
        let damaged = |damage: &Damage| warn!(%damage, "a record is damaged and set aside");
        of.divergences.load(damaged).await?;
        of.refusals.load(damaged).await?;
        Ok(of)
    }

    /// How the registry contradicts itself about a release, so that no client gets it.
    pub(super) fn contradiction(&self, registry: &Registry, release: &Purl) -> Option<String> {
        let key = DocumentKey::Release(release.name.clone(), release.version.clone());
        let found = self.divergences.of(registry, &key)?;
        Some(format!("its registry contradicts itself: {found}"))
    }

    /// Why the archive of a release was refused.
    pub(super) fn refusal(&self, registry: &Registry, release: &Purl) -> Option<String> {
        Some(format!("its archive was refused: {}", self.refusals.of(registry, release)?.why))
    }
}
