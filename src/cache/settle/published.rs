//! A release that was published through this proxy: its tree is known before anybody reads it.
//!
//! Owns that the tree is pinned as the first one seen, and that a registry which says another at once is believed no
//! more than one that does so later. Must not know how it was published.

use std::sync::Arc;

use super::Sides;
use crate::cache::documents::Documents;
use crate::consistency::reconcile::Claim;
use crate::consistency::{Bound, Difference, Kind, Pin, PinError, Proof, Source};
use crate::domain::{DocumentKey, Integrity, Purl, Registry};

impl Documents {
    /// Pins `tree`, which passed here on its way to `registry`, as that of `release`, unless an earlier pin binds. A
    /// registry that `said` it released something else than the pin is in divergence with it from now on.
    ///
    /// # Errors
    /// When there is no saying what is pinned, or the pin can neither be stored nor remembered.
    pub async fn published(
        self: &Arc<Self>,
        release: &Purl,
        tree: Integrity,
        said: Option<Integrity>,
        registry: &Registry,
    ) -> Result<(), PinError> {
        self.recall().await;
        let Purl { name, version } = release;
        let pin = Pin::of(registry, release, tree, self.now());
        let (Bound::Stored(pin) | Bound::InMemory(pin)) = self.pins.bind(pin, Proof::Proved).await?;
        // It passed here just now.
        self.forgive(|refusal| {
            refusal.registry == *registry && refusal.volume == *name && refusal.version == *version
        })
        .await;
        let Some(said) = said.filter(|said| *said != pin.integrity) else { return Ok(()) };
        let claim = |source, says: Integrity| Claim { source, says: says.to_string() };
        let claims = [claim(Source::Exact, said), claim(Source::Pin, pin.integrity)];
        let difference = Difference { kind: Kind::IntegrityChanged, claims };
        let key = DocumentKey::Release(name.clone(), version.clone());
        let sides = Sides { pin: Some(&pin), ..Sides::default() };
        self.diverge(registry, &key, (name, version), difference, sides).await;
        Ok(())
    }
}
