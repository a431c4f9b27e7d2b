//! The first integrity seen of each release, kept for ever.
//!
//! A pin is written before the release is first served and survives the archive's eviction, so a registry
//! that quietly replaces a version is caught however late. Two first sights at once are settled by the
//! store's atomic create. Owns pins; must not know what follows from a broken one.

use std::sync::Arc;

use crate::domain::{Integrity, Purl, Sha256};
use crate::store::{StorageKey, Store, StoreError};

/// Why a release is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The integrity is not the one first seen.
    #[error("integrity {found} is not {pinned}, the one first seen")]
    Changed {
        /// The first seen.
        pinned: Integrity,
        /// What is said now.
        found: Integrity,
    },
    /// The pin could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The pins of one store.
#[derive(Debug)]
pub struct Pins {
    store: Arc<dyn Store>,
}

impl Pins {
    /// Pins kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Admits `found` as the integrity of `release`: pins it when it is the first, compares it otherwise.
    ///
    /// # Errors
    /// [`PinError::Changed`] when another was first; [`PinError::Store`] when that cannot be known.
    pub async fn admit(&self, release: &Purl, found: Integrity) -> Result<(), PinError> {
        if self.agree(release, found).await? {
            return Ok(());
        }
        let pin = format!("{release} {found}\n");
        if !self.store.create(&place(release), pin.into()).await? {
            self.agree(release, found).await?;
        }
        Ok(())
    }

    /// Compares `found` with the pin of `release`, and pins nothing. False when there is no pin.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub async fn agree(&self, release: &Purl, found: Integrity) -> Result<bool, PinError> {
        let Some(stored) = self.store.read(&place(release)).await? else { return Ok(false) };
        let pinned = std::str::from_utf8(&stored).ok().and_then(|line| {
            let (named, integrity) = line.strip_suffix('\n')?.split_once(' ')?;
            integrity.parse::<Integrity>().ok().filter(|_| named == release.to_string())
        });
        match pinned {
            Some(pinned) if pinned == found => Ok(true),
            Some(pinned) => Err(PinError::Changed { pinned, found }),
            None => Err(StoreError::Corrupt { what: format!("pin of {release}") }.into()),
        }
    }
}

fn place(release: &Purl) -> StorageKey {
    StorageKey::Pin(Sha256::of(release.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ObjectStorage;

    fn integrity(of: &str) -> Integrity {
        Integrity::new(Sha256::of(of.as_bytes()))
    }

    #[tokio::test]
    async fn the_first_integrity_stays() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let release: Purl = "pkg:volume/%40acme/x@1.0.0".parse().unwrap();
        let pins = Pins::new(store.clone());
        pins.admit(&release, integrity("a")).await.unwrap();
        pins.admit(&release, integrity("a")).await.unwrap();
        let pins = Pins::new(store);
        let changed = pins.admit(&release, integrity("b")).await.unwrap_err();
        assert!(matches!(changed, PinError::Changed { pinned, .. } if pinned == integrity("a")));
        let other: Purl = "pkg:volume/%40acme/x@1.0.1".parse().unwrap();
        pins.admit(&other, integrity("b")).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_pin_admits_nothing() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let release: Purl = "pkg:volume/x@1.0.0".parse().unwrap();
        let key = StorageKey::Pin(Sha256::of(release.to_string().as_bytes()));
        store.write(&key, "garbage".into()).await.unwrap();
        let refused = Pins::new(store).admit(&release, integrity("a")).await;
        assert!(matches!(refused, Err(PinError::Store(StoreError::Corrupt { .. }))));
    }
}
