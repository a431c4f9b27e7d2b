//! The pin of a release, and how a damaged pin is restored.
//!
//! If a pin cannot be read, only what this process knows of it counts; nothing else is believed. A damaged pin is set aside
//! and restored from the archive that was verified under it, if that is held and whole: its seal names the release and the
//! integrity. Without such an archive the release is refused until an operator decides. Owns that. Must not know what is
//! compared with a pin.

use futures_util::TryStreamExt;
use tracing::{error, info, warn};

use super::Judge;
use crate::consistency::{Bound, Pin, PinError, PinnedCommit, Proof};
use crate::domain::{Integrity, Purl, Registry};
use crate::read::failure::ReadFailure;
use crate::store::{Damage, KeyPrefix, StorageKey, StoreError, sealed};

/// Seals that are opened at once.
const AT_ONCE: usize = 16;

impl Judge {
    /// The pin of a release of `registry`.
    pub(super) async fn pinned(
        &self,
        registry: &Registry,
        release: &Purl,
    ) -> Result<Option<Pin>, ReadFailure> {
        match self.pins.known(registry, release).await {
            Err(PinError::Damaged(_)) => self.make_out(registry, release).await.map(Some),
            known => Ok(known?),
        }
    }

    /// Pins what `registry` says of a release, unless there is a pin.
    pub(super) async fn bind(&self, pin: Pin, registry: &Registry) -> Result<Bound, ReadFailure> {
        let (integrity, release) = (pin.integrity, pin.release());
        let proof = match self.is_held(&release, &integrity).await {
            true => Proof::Proved,
            false => Proof::Seen,
        };
        match self.pins.bind(pin, proof).await {
            Err(PinError::Damaged(_)) => self.make_out(registry, &release).await.map(Bound::Stored),
            bound => Ok(bound?),
        }
    }

    /// Keeps the pin of `release` for ever: an archive of it was verified. If the store fails, the next fetch tries again.
    pub(in crate::read) async fn prove(
        &self,
        registry: &Registry,
        release: &Purl,
        (integrity, commit): (&Integrity, Option<PinnedCommit>),
    ) {
        if let Err(error) = self.pins.prove(registry, release, integrity, commit).await {
            warn!(%error, %release, "cannot store that a pin is proved");
        }
    }

    /// Whether an archive with this integrity is held as that of this release.
    async fn is_held(&self, release: &Purl, integrity: &Integrity) -> bool {
        let seal = sealed::open(&*self.shelf.store, &StorageKey::Archive(*integrity)).await;
        seal.is_ok_and(|seal| seal.is_some_and(|seal| seal.identity == release.to_string()))
    }

    /// Restores a damaged pin, or gives it up; one at a time.
    async fn make_out(&self, registry: &Registry, release: &Purl) -> Result<Pin, ReadFailure> {
        let _alone = self.mending.lock().await;
        let damage = match self.pins.known(registry, release).await {
            Err(PinError::Damaged(damage)) => damage,
            Ok(Some(pin)) => return Ok(pin),
            Ok(None) => return Err(ReadFailure::Lost),
            Err(error) => return Err(error.into()),
        };
        self.env.metrics.integrity_failure("stored-pin");
        let Damage { path, expected, found } = &damage;
        error!(path, expected, found, %release, "a damaged pin is set aside");
        match self.verified(registry, release).await? {
            Some(integrity) => {
                let pin = Pin::of(registry, release, integrity, self.env.now());
                if let Err(error) = self.pins.mend(pin.clone(), &damage).await {
                    error!(%error, %release, "cannot store a restored pin");
                }
                info!(%release, %integrity, "a damaged pin was restored from the held archive");
                Ok(pin)
            }
            None => {
                let lost = self.pins.lose(registry, release, &damage, self.env.now()).await?;
                error!(%release, upstream = registry.name(), "a damaged pin cannot be restored; an operator has to decide");
                Err(PinError::Lost(Box::new(lost)).into())
            }
        }
    }

    /// The integrity of the only held archive of `release` that no other registry's pin explains. Its bytes are read and
    /// compared with its seal first.
    async fn verified(&self, registry: &Registry, release: &Purl) -> Result<Option<Integrity>, StoreError> {
        let identity = release.to_string();
        let of_release = |(key, _): (StorageKey, u64)| {
            let identity = &identity;
            async move {
                let StorageKey::Archive(integrity) = key else { return Ok(None) };
                let seal = match sealed::open(&*self.shelf.store, &key).await {
                    Ok(seal) => seal,
                    Err(StoreError::Corrupt(_)) => None,
                    Err(error) => return Err(error),
                };
                Ok(seal.filter(|seal| seal.identity == *identity).map(|seal| (integrity, seal)))
            }
        };
        let listed = self.shelf.store.list(KeyPrefix::Archives).map_ok(of_release);
        let mut held = Vec::new();
        let mut looked = std::pin::pin!(listed.try_buffer_unordered(AT_ONCE));
        while let Some(found) = looked.try_next().await? {
            held.extend(found);
        }
        let others = self.pins.of_volume(&release.name).await?.pins.into_iter().map(|(_, pin)| pin);
        let others: Vec<_> = others
            .filter(|pin| pin.release() == *release && !pin.binds(registry))
            .map(|pin| pin.integrity)
            .collect();
        held.retain(|(integrity, _)| !others.contains(integrity));
        let [(integrity, seal)] = &*held else { return Ok(None) };
        match seal.read_through(&*self.shelf.store, &StorageKey::Archive(*integrity)).await {
            Ok(()) if seal.known_by == *integrity.digest() => Ok(Some(*integrity)),
            Ok(()) | Err(StoreError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<PinError> for ReadFailure {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Lost(lost) => Self::PinLost(lost),
            PinError::Damaged(damage) => StoreError::Corrupt(damage).into(),
            PinError::Store(error) => Self::PinUnknown(std::sync::Arc::new(error)),
        }
    }
}
