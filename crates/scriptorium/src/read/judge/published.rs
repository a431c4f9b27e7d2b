//! A release that was published through this proxy: its tree is known before any client reads it.
//!
//! Owns that the tree is pinned as the first one seen, and that a registry which states another one is in divergence at
//! once. Must not know how it was published.

use std::sync::Arc;

use super::Judge;
use super::sides::Sides;
use crate::consistency::reconcile::Claim;
use crate::consistency::{Bound, ClaimSource, Difference, DifferenceKind, Pin, PinError, Proof};
use crate::domain::{DocumentKey, Integrity, Purl, Registry};

impl Judge {
    /// Pins `tree`, which was uploaded through this proxy to `registry` as `release`, unless there is an earlier pin. If the
    /// registry `said` another integrity than the pin, that is a divergence.
    ///
    /// # Errors
    /// When the pin cannot be read, or can be neither stored nor remembered.
    pub(in crate::read) async fn published(
        self: &Arc<Self>,
        release: &Purl,
        tree: Integrity,
        said: Option<Integrity>,
        registry: &Registry,
    ) -> Result<(), PinError> {
        self.shelf.recall().await;
        let Purl { name, version } = release;
        let pin = Pin::of(registry, release, tree, self.env.now());
        let (Bound::Stored(pin) | Bound::InMemory(pin)) = self.pins.bind(pin, Proof::Proved).await?;
        // This archive was verified just now.
        self.forgive(|refusal| {
            refusal.registry == *registry && refusal.volume == *name && refusal.version == *version
        })
        .await;
        let Some(said) = said.filter(|said| *said != pin.integrity) else { return Ok(()) };
        let claim = |source, says: Integrity| Claim { source, says: says.to_string() };
        let claims = [claim(ClaimSource::Exact, said), claim(ClaimSource::Pin, pin.integrity)];
        let difference = Difference { kind: DifferenceKind::IntegrityChanged, claims };
        let key = DocumentKey::Release(name.clone(), version.clone());
        let sides = Sides { pin: Some(&pin), ..Sides::default() };
        self.diverge(registry, &key, release, difference, sides).await;
        Ok(())
    }
}
