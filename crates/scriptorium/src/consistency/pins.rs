//! Pins: the first integrity believed of each release at each registry.
//!
//! A pin is written before the release is first served, and it survives the eviction of the archive. So a registry that
//! replaces a version is caught however late. If two requests see a release first at the same time, the store's atomic
//! create decides. A pin that the store does not take binds from memory until it does. If the store cannot be read, only the
//! pins that this process read or wrote count.
//!
//! A pin binds only the registry that it was made for; `form` says which registries the pins of earlier versions and
//! imported pins bind. A pin is *proved* if an archive with its integrity was verified here, or if it was imported or
//! uploaded: it is kept for ever. A pin that was only *seen* has a key of its own and may be evicted, so that clients that
//! invent versions cannot fill the store. Owns pins. Must not know what follows from a broken one.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

pub(crate) use commit::PinnedCommit;
use confirmed::Confirmed;
pub(crate) use form::LostPin;
use form::StoredPin;
use unwritten::Unwritten;

use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::{Damage, KeyPrefix, StorageKey, Store, StoreError, record};

mod commit;
mod confirmed;
mod decide;
mod delivered;
mod disown;
mod form;
pub(crate) mod import;
mod unwritten;

/// After so many failed writes the rest waits for the next round.
const ENOUGH_FAILURES: usize = 8;

/// The upstream of a pin that was imported without one: it binds every registry.
const ANYBODY: &str = "import";

/// Why a pin is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The stored pin is damaged.
    #[error("stored data is damaged: {0}")]
    Damaged(Damage),
    /// It was damaged, could not be restored, and no operator has decided yet.
    #[error(
        "{}: its pin of {} was damaged and could not be restored: `scriptorium pins import` a line for it, or \
         `scriptorium pins remove` it",
        .0.release(), .0.upstream
    )]
    Lost(Box<LostPin>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The evidence for a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// An archive with this integrity was verified, imported or uploaded here: it is kept for ever.
    Proved,
    /// A registry said so.
    Seen,
}

/// A line of JSON with these members is the export format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    pub(crate) volume: VolumeName,
    pub(crate) version: Version,
    pub(crate) integrity: Integrity,
    /// When that was first believed.
    pub(crate) since: Timestamp,
    /// The upstream's name in the configuration; `import` if it was imported without one.
    pub(crate) upstream: String,
    /// The upstream's base URL; earlier versions did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// The commit that delivered it, if Git did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<Box<PinnedCommit>>,
}

impl Pin {
    #[must_use]
    pub(crate) fn of(registry: &Registry, release: &Purl, integrity: Integrity, since: Timestamp) -> Self {
        let (upstream, origin) = (registry.name().to_owned(), Some(registry.origin().to_owned()));
        let Purl { name: volume, version } = release.clone();
        Self { volume, version, integrity, since, upstream, origin, commit: None }
    }

    #[must_use]
    pub(crate) fn release(&self) -> Purl {
        Purl::new(&self.volume, &self.version)
    }

    /// The registry that it binds, if its URL is known.
    #[must_use]
    pub(crate) fn registry(&self) -> Option<Registry> {
        self.origin.as_ref().map(|origin| Registry::new(&*self.upstream, &**origin))
    }

    #[must_use]
    pub(crate) fn binds(&self, registry: &Registry) -> bool {
        match &self.origin {
            Some(origin) => self.upstream == registry.name() && origin == registry.origin(),
            None => self.upstream == registry.name() || self.upstream == ANYBODY,
        }
    }

    /// The registries that it binds, for people.
    #[must_use]
    pub(crate) fn whose(&self) -> String {
        match self.registry() {
            Some(registry) => registry.to_string(),
            None if self.upstream == ANYBODY => "import, for every registry".to_owned(),
            None => format!("{} at any URL", self.upstream),
        }
    }

    /// One line of JSON, its end included.
    #[must_use]
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A pin in force, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bound {
    Stored(Pin),
    /// Until the store takes it, or turns out to hold another.
    InMemory(Pin),
}

/// A key, if it is known, and the pin stored there.
type Found = (Option<StorageKey>, Result<Option<Pin>, PinError>);

#[derive(Debug, Clone)]
pub(crate) struct Pins {
    store: Arc<dyn Store>,
    unwritten: Arc<Unwritten>,
    confirmed: Confirmed,
}

impl Pins {
    #[must_use]
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, unwritten: Arc::default(), confirmed: Confirmed::default() }
    }

    /// The stored pin of `release` that binds `registry`.
    ///
    /// # Errors
    /// [`PinError`] when it is not known; the release must not be believed then.
    pub(crate) async fn of(&self, registry: &Registry, release: &Purl) -> Result<Option<Pin>, PinError> {
        let places = form::places(registry, release);
        for stored in join_all(places.iter().map(|place| self.at(place))).await {
            if let Some(pin) = stored?.filter(|pin| pin.binds(registry)) {
                self.confirmed.note(registry, &pin);
                return Ok(Some(pin));
            }
        }
        Ok(None)
    }

    /// The same; if the store cannot be read, the pin that this process remembers.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) async fn known(&self, registry: &Registry, release: &Purl) -> Result<Option<Pin>, PinError> {
        match self.of(registry, release).await {
            Err(PinError::Store(failed)) => match self.remembered(registry, release) {
                Some(pin) => {
                    error!(error = %failed, %release, "a pin cannot be read; the one that this process remembers counts");
                    Ok(Some(pin))
                }
                None => Err(failed.into()),
            },
            known => known,
        }
    }

    /// Whether the pin of `release` is in memory only.
    #[must_use]
    pub(crate) fn is_waiting(&self, registry: &Registry, release: &Purl) -> bool {
        self.unwritten.at(&form::seen(registry, release)).is_some()
    }

    fn remembered(&self, registry: &Registry, release: &Purl) -> Option<Pin> {
        let waiting = self.unwritten.at(&form::seen(registry, release));
        waiting.map(|(pin, _)| pin).or_else(|| self.confirmed.of(registry, release))
    }

    /// Stores `pin`, unless there is an earlier one. Answers with the pin in force.
    ///
    /// # Errors
    /// As [`of`](Self::of), or when it cannot be written.
    pub(crate) async fn admit(&self, pin: Pin, proof: Proof) -> Result<Pin, PinError> {
        let (registry, release) = (form::whose(&pin), pin.release());
        let first = match self.of(&registry, &release).await? {
            Some(first) => first,
            None => self.create(&registry, pin.clone()).await?,
        };
        if proof == Proof::Proved && first.integrity == pin.integrity {
            self.prove(&registry, &release, &pin.integrity, None).await?;
        }
        Ok(first)
    }

    /// If two create a pin at the same time, one succeeds.
    async fn create(&self, registry: &Registry, pin: Pin) -> Result<Pin, PinError> {
        let place = form::seen(registry, &pin.release());
        if self.store.create(&place, stored(&pin)).await? {
            self.confirmed.note(registry, &pin);
            return Ok(pin);
        }
        let gone = || StoreError::Missing { path: place.path() };
        Ok(self.of(registry, &pin.release()).await?.ok_or_else(gone)?)
    }

    /// Makes a seen pin of `release` with this `integrity` a proved one, delivered by this `commit`; does nothing if there is none.
    ///
    /// # Errors
    /// As [`of`](Self::of), or when it cannot be written.
    pub(crate) async fn prove(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: &Integrity,
        commit: Option<PinnedCommit>,
    ) -> Result<(), PinError> {
        let seen = form::seen(registry, release);
        let Some(mut pin) = self.at(&seen).await?.filter(|pin| pin.integrity == *integrity) else {
            return match commit {
                Some(commit) => self.note_commit(registry, release, integrity, commit).await,
                None => Ok(()),
            };
        };
        pin.commit = commit.map(Box::new).or(pin.commit);
        // Written before the other is removed, so that there is one at every moment.
        self.store.create(&form::of_registry(registry, release), stored(&pin)).await?;
        Ok(self.store.remove(&seen).await?)
    }

    /// The same as [`admit`](Self::admit) for a store that may take no writes: then the pin binds from memory and is
    /// [written](Self::write_down) later. If the store cannot be read either, there may be another pin, so only a pin that
    /// this process remembers counts.
    ///
    /// # Errors
    /// [`PinError`] when the pin is not known, or too many pins wait for the store.
    pub(crate) async fn bind(&self, pin: Pin, proof: Proof) -> Result<Bound, PinError> {
        let (registry, release) = (form::whose(&pin), pin.release());
        let place = form::seen(&registry, &release);
        let (pin, proof) = self.unwritten.at(&place).unwrap_or((pin, proof));
        let first = match self.of(&registry, &release).await {
            Ok(first) => first,
            Err(PinError::Store(failed)) => {
                let known = self.remembered(&registry, &release);
                return known.map(Bound::InMemory).ok_or(PinError::Store(failed));
            }
            Err(error) => return Err(error),
        };
        let created = match first {
            Some(first) => Ok(first),
            None => self.create(&registry, pin.clone()).await,
        };
        let error = match created {
            Ok(first) => {
                self.unwritten.forget(&place);
                if proof == Proof::Proved
                    && first.integrity == pin.integrity
                    && let Err(error) = self.prove(&registry, &release, &pin.integrity, None).await
                {
                    error!(%error, %release, "cannot store yet that a pin is proved");
                    self.unwritten.keep(place, pin, proof);
                }
                return Ok(Bound::Stored(first));
            }
            Err(PinError::Store(error)) => error,
            Err(error) => return Err(error),
        };
        let text = error.to_string();
        let (kept, _) = self.unwritten.keep(place, pin, proof).ok_or(error)?;
        error!(error = text, %release, "cannot store a pin yet; it is kept in memory");
        Ok(Bound::InMemory(kept))
    }

    /// Writes the pins that are in memory only, as far as the store takes them.
    pub(crate) async fn write_down(&self) {
        let (mut written, mut failed) = (0, 0);
        for (place, pin, proof) in self.unwritten.all() {
            match self.admit(pin, proof).await {
                // A pin that was stored there meanwhile is in force.
                Ok(_) | Err(PinError::Damaged(_) | PinError::Lost(_)) => {
                    self.unwritten.forget(&place);
                    written += 1;
                }
                Err(PinError::Store(_)) if failed < ENOUGH_FAILURES => failed += 1,
                Err(PinError::Store(_)) => break,
            }
        }
        if written > 0 {
            info!(written, "pins that were kept in memory are stored now");
        }
    }

    /// Every stored pin, by volume and SemVer order of versions. Unreadable ones are reported and left out.
    pub(crate) async fn sorted(&self, mut unreadable: impl FnMut(PinError)) -> Vec<Pin> {
        let (mut pins, mut all) = (Vec::new(), self.all());
        while let Some(pin) = all.next().await {
            match pin {
                Ok(pin) => pins.push(pin),
                Err(error) => unreadable(error),
            }
        }
        let order =
            |pin: &Pin| (pin.volume.clone(), pin.version.clone(), pin.upstream.clone(), pin.origin.clone());
        pins.sort_by_cached_key(order);
        // A pin that is being proved has two keys for a moment.
        pins.dedup();
        pins
    }

    /// Every stored pin, in no particular order.
    pub(crate) fn all(&self) -> BoxStream<'_, Result<Pin, PinError>> {
        self.on([KeyPrefix::Pins]).filter_map(async |(_, pin)| pin.transpose()).boxed()
    }

    /// The pins on `shelves`, with the place of each.
    fn on<const N: usize>(&self, shelves: [KeyPrefix; N]) -> BoxStream<'_, Found> {
        let listed = futures_util::stream::iter(shelves).flat_map(|shelf| self.store.list(shelf));
        let read = listed.then(async |listed| match listed {
            Ok((key, _)) => {
                let pin = self.at(&key).await;
                (Some(key), pin)
            }
            Err(error) => (None, Err(error.into())),
        });
        read.boxed()
    }

    /// The pin that lies at `key`.
    ///
    /// # Errors
    /// As [`of`](Self::of); a pin that belongs under another key is damaged.
    pub(crate) async fn at(&self, key: &StorageKey) -> Result<Option<Pin>, PinError> {
        let Some(stored) = self.store.read(key).await? else { return Ok(None) };
        form::read(key, &stored).map(Some)
    }
}

fn stored(pin: &Pin) -> bytes::Bytes {
    record::encode(&StoredPin::Pin(pin.clone()))
}

#[cfg(test)]
mod tests;
