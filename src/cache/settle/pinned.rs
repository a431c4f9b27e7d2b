//! What is pinned of a release, before anything is believed of it; and what becomes of a pin that is damaged.
//!
//! A pin that cannot be read, because its disk fails, is no licence to believe anything: only what this process knows of
//! it counts. A damaged one is set aside and made out anew from the archive that was verified under it, where that is held
//! and whole: its seal says of which release it is, and by which integrity it is known. Without one, nothing is believed
//! until somebody decides. Owns that. Must not know what is compared with a pin.

use futures_util::TryStreamExt;
use tracing::{error, info, warn};

use crate::cache::documents::Documents;
use crate::cache::failure::Failure;
use crate::consistency::{Bound, Pin, PinError, Proof};
use crate::domain::{Integrity, Purl, Registry};
use crate::store::{Damage, Shelf, StorageKey, StoreError, sealed};

/// Archives that are looked into at once.
const AT_ONCE: usize = 16;

impl Documents {
    /// The pin of a release of `registry`.
    pub(super) async fn pinned(&self, registry: &Registry, release: &Purl) -> Result<Option<Pin>, Failure> {
        match self.pins.known(registry, release).await {
            Err(PinError::Damaged(_)) => self.make_out(registry, release).await.map(Some),
            known => Ok(known?),
        }
    }

    /// Pins what `registry` says of a release, unless something is pinned.
    pub(super) async fn bind(&self, pin: Pin, registry: &Registry) -> Result<Bound, Failure> {
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

    /// Keeps for ever that `release` of `registry` is `integrity`: an archive of it was verified. What the store does not
    /// take now is proved again when it is next fetched.
    pub(in crate::cache) async fn prove(&self, registry: &Registry, release: &Purl, integrity: &Integrity) {
        if let Err(error) = self.pins.prove(registry, release, integrity).await {
            warn!(%error, %release, "a pin that is proved cannot be kept as such");
        }
    }

    /// Whether the archive of that content is held, as that release's.
    async fn is_held(&self, release: &Purl, integrity: &Integrity) -> bool {
        let seal = sealed::open(&*self.store, &StorageKey::Archive(*integrity)).await;
        seal.is_ok_and(|seal| seal.is_some_and(|seal| seal.identity == release.to_string()))
    }

    /// Makes out a damaged pin anew, or gives it up; once for all who ask.
    async fn make_out(&self, registry: &Registry, release: &Purl) -> Result<Pin, Failure> {
        let _alone = self.mending.lock().await;
        let damage = match self.pins.known(registry, release).await {
            Err(PinError::Damaged(damage)) => damage,
            Ok(Some(pin)) => return Ok(pin),
            Ok(None) => return Err(Failure::Lost),
            Err(error) => return Err(error.into()),
        };
        self.metrics.integrity_failure("stored-pin");
        let Damage { path, expected, found } = &damage;
        error!(path, expected, found, %release, "a pin is damaged and is set aside");
        match self.verified(registry, release).await? {
            Some(integrity) => {
                let pin = Pin::of(registry, release, integrity, self.now());
                if let Err(error) = self.pins.mend(pin.clone(), &damage).await {
                    error!(%error, %release, "a pin that was made out anew cannot be kept");
                }
                info!(%release, %integrity, "a damaged pin was made out anew from the archive that is held");
                Ok(pin)
            }
            None => {
                let lost = self.pins.lose(registry, release, &damage, self.now()).await?;
                error!(%release, upstream = registry.name(), "a damaged pin cannot be made out anew; somebody has to decide");
                Err(PinError::Lost(Box::new(lost)).into())
            }
        }
    }

    /// The integrity of the one archive that is held of `release` and that no other registry's pin explains; its bytes are
    /// read and compared with its seal before that is believed.
    async fn verified(&self, registry: &Registry, release: &Purl) -> Result<Option<Integrity>, StoreError> {
        let identity = release.to_string();
        let of_release = |(key, _): (StorageKey, u64)| {
            let identity = &identity;
            async move {
                let StorageKey::Archive(integrity) = key else { return Ok(None) };
                let seal = match sealed::open(&*self.store, &key).await {
                    Ok(seal) => seal,
                    Err(StoreError::Corrupt(_)) => None,
                    Err(error) => return Err(error),
                };
                Ok(seal.filter(|seal| seal.identity == *identity).map(|seal| (integrity, seal)))
            }
        };
        let listed = self.store.list(Shelf::Archives).map_ok(of_release);
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
        match seal.read_through(&*self.store, &StorageKey::Archive(*integrity)).await {
            Ok(()) if seal.known_by == *integrity.digest() => Ok(Some(*integrity)),
            Ok(()) | Err(StoreError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Lost(lost) => Self::PinLost(lost),
            PinError::Damaged(damage) => StoreError::Corrupt(damage).into(),
            PinError::Store(error) => Self::PinUnknown(std::sync::Arc::new(error)),
        }
    }
}
