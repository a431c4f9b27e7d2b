//! Taking back a pin that was only seen.
//!
//! Owns that a pin without a verified archive can be taken back. Must not know why.

use super::{PinError, Pins, Proof, form};
use crate::domain::{Integrity, Purl, Registry};

impl Pins {
    /// Removes the pin of `registry`'s `release` with this `integrity`, unless it is proved.
    ///
    /// # Errors
    /// [`PinError`] when it cannot be read or removed.
    pub(crate) async fn disown(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: &Integrity,
    ) -> Result<(), PinError> {
        let seen = form::seen(registry, release);
        let is_it = |pin: &super::Pin| pin.integrity == *integrity;
        if self.unwritten.at(&seen).is_some_and(|(pin, proof)| proof == Proof::Seen && is_it(&pin)) {
            self.unwritten.forget(&seen);
        }
        if self.at(&seen).await?.as_ref().is_some_and(is_it) {
            self.store.remove(&seen).await?;
        }
        let proved = self.of(registry, release).await?.is_some();
        if !proved {
            self.confirmed.forget(registry, release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::consistency::Pin;
    use crate::domain::Sha256;
    use crate::store::ObjectStorage;

    #[tokio::test]
    async fn what_was_only_seen_is_taken_back_and_what_is_proved_stays() {
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let integrity = |content: &str| Integrity::new(Sha256::of(content.as_bytes()));
        let registry = Registry::new("public", "https://up");
        for (proof, stays) in [(Proof::Seen, false), (Proof::Proved, true)] {
            let pins = Pins::new(Arc::new(ObjectStorage::memory().unwrap()));
            let pin = Pin::of(&registry, &release, integrity("a"), Timestamp(1));
            pins.admit(pin, proof).await.unwrap();
            pins.disown(&registry, &release, &integrity("b")).await.unwrap();
            assert!(pins.of(&registry, &release).await.unwrap().is_some(), "another integrity");
            pins.disown(&registry, &release, &integrity("a")).await.unwrap();
            assert_eq!(pins.of(&registry, &release).await.unwrap().is_some(), stays, "{proof:?}");
            assert_eq!(pins.known(&registry, &release).await.unwrap().is_some(), stays, "{proof:?}");
        }
    }
}
