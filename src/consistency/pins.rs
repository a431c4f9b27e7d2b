//! The first integrity believed of each release at each registry.
//!
//! A pin is written before the release is first served and survives the archive's eviction, so a registry
//! that quietly replaces a version is caught however late. Two first sights at once are settled by the
//! store's atomic create. One that the store does not take binds from memory until it does; where the store cannot be
//! read, what this process read or wrote before counts, and nothing else is believed.
//!
//! A pin binds the registry that it was made for and no other; `form` says which those of earlier versions and those
//! that were imported bind. A pin is *proved* when an archive of its integrity was verified here, or somebody imported or
//! uploaded it here: it is kept for ever. One that was only *seen* lies apart, where it may be evicted: whoever invents
//! versions must not fill the store. Owns pins; must not know what follows from a broken one.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use confirmed::Confirmed;
pub use decide::{Decided, Removed};
pub use form::Lost;
use form::Stored;
use unwritten::Unwritten;

use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Registry, Version, VolumeName};
use crate::store::{Damage, Shelf, StorageKey, Store, StoreError, record};

mod confirmed;
mod decide;
mod disown;
mod form;
pub mod import;
mod unwritten;

/// Writes that may fail in one go before the rest waits for the next.
const ENOUGH_FAILURES: usize = 8;

/// The upstream of a pin that somebody imported without one: it binds every registry.
const ANYBODY: &str = "import";

/// Why there is no saying what is pinned of a release.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// What is stored is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(Damage),
    /// It was damaged, could not be made out again, and nobody has decided yet.
    #[error(
        "{}: its pin of {} was damaged and could not be made out again: `scriptorium pins import` a line for it, or \
         `scriptorium pins remove` it",
        .0.release(), .0.upstream
    )]
    Lost(Box<Lost>),
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much stands behind a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// An archive of this integrity was verified here, or somebody brought it here: it is kept for ever.
    Proved,
    /// A registry said so.
    Seen,
}

/// What is pinned of one release. As JSON on one line it is also the form of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The volume.
    pub volume: VolumeName,
    /// The release of it.
    pub version: Version,
    /// Its content identity, for ever.
    pub integrity: Integrity,
    /// When that was first believed.
    pub since: Timestamp,
    /// The upstream that said it, by its name in the configuration; `import` where somebody did.
    pub upstream: String,
    /// The base URL of that upstream; none was noted by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Pin {
    /// What `registry` says of `release` is pinned.
    #[must_use]
    pub fn of(registry: &Registry, release: &Purl, integrity: Integrity, since: Timestamp) -> Self {
        let (upstream, origin) = (registry.name().to_owned(), Some(registry.origin().to_owned()));
        let Purl { name: volume, version } = release.clone();
        Self { volume, version, integrity, since, upstream, origin }
    }

    /// The release that is pinned.
    #[must_use]
    pub fn release(&self) -> Purl {
        Purl::new(&self.volume, &self.version)
    }

    /// The one registry that it binds, where its URL is known.
    #[must_use]
    pub fn registry(&self) -> Option<Registry> {
        self.origin.as_ref().map(|origin| Registry::new(&*self.upstream, &**origin))
    }

    /// Whether it counts for `registry`.
    #[must_use]
    pub fn binds(&self, registry: &Registry) -> bool {
        match &self.origin {
            Some(origin) => self.upstream == registry.name() && origin == registry.origin(),
            None => self.upstream == registry.name() || self.upstream == ANYBODY,
        }
    }

    /// Whom it binds, for people.
    #[must_use]
    pub fn whose(&self) -> String {
        match self.registry() {
            Some(registry) => registry.to_string(),
            None if self.upstream == ANYBODY => "import, for every registry".to_owned(),
            None => format!("{} at any URL", self.upstream),
        }
    }

    /// One line of JSON, its end included.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A pin in force, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// In the store.
    Stored(Pin),
    /// Until the store takes it, or says that there was another.
    InMemory(Pin),
}

/// What was met on the way through pins: a place, where that is known, and the pin in it.
type Found = (Option<StorageKey>, Result<Option<Pin>, PinError>);

/// The pins of one store.
#[derive(Debug, Clone)]
pub struct Pins {
    store: Arc<dyn Store>,
    unwritten: Arc<Unwritten>,
    confirmed: Confirmed,
}

impl Pins {
    /// Pins kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, unwritten: Arc::default(), confirmed: Confirmed::default() }
    }

    /// The pin that is stored of `release` and binds `registry`.
    ///
    /// # Errors
    /// [`PinError`] when there is no saying what it is, which is no licence to believe anything.
    pub async fn of(&self, registry: &Registry, release: &Purl) -> Result<Option<Pin>, PinError> {
        let places = form::places(registry, release);
        for stored in join_all(places.iter().map(|place| self.at(place))).await {
            if let Some(pin) = stored?.filter(|pin| pin.binds(registry)) {
                self.confirmed.note(registry, &pin);
                return Ok(Some(pin));
            }
        }
        Ok(None)
    }

    /// The same, or what this process knows of it while the store cannot be read.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub async fn known(&self, registry: &Registry, release: &Purl) -> Result<Option<Pin>, PinError> {
        match self.of(registry, release).await {
            Err(PinError::Store(failed)) => match self.remembered(registry, release) {
                Some(pin) => {
                    error!(error = %failed, %release, "a pin cannot be read; what this process knows of it counts");
                    Ok(Some(pin))
                }
                None => Err(failed.into()),
            },
            known => known,
        }
    }

    /// Whether the pin of `release` waits for the store to take it.
    #[must_use]
    pub fn is_waiting(&self, registry: &Registry, release: &Purl) -> bool {
        self.unwritten.at(&form::seen(registry, release)).is_some()
    }

    fn remembered(&self, registry: &Registry, release: &Purl) -> Option<Pin> {
        let waiting = self.unwritten.at(&form::seen(registry, release));
        waiting.map(|(pin, _)| pin).or_else(|| self.confirmed.of(registry, release))
    }

    /// Pins what `pin` says of its registry's release, unless something was pinned before. Answers with the pin in force.
    ///
    /// # Errors
    /// As [`of`](Self::of), or when it cannot be written.
    pub async fn admit(&self, pin: Pin, proof: Proof) -> Result<Pin, PinError> {
        let (registry, release) = (form::whose(&pin), pin.release());
        let first = match self.of(&registry, &release).await? {
            Some(first) => first,
            None => self.create(&registry, pin.clone()).await?,
        };
        if proof == Proof::Proved && first.integrity == pin.integrity {
            self.prove(&registry, &release, &pin.integrity).await?;
        }
        Ok(first)
    }

    /// Where two create at once, one does.
    async fn create(&self, registry: &Registry, pin: Pin) -> Result<Pin, PinError> {
        let place = form::seen(registry, &pin.release());
        if self.store.create(&place, stored(&pin)).await? {
            self.confirmed.note(registry, &pin);
            return Ok(pin);
        }
        let gone = || StoreError::Missing { path: place.path() };
        Ok(self.of(registry, &pin.release()).await?.ok_or_else(gone)?)
    }

    /// Keeps for ever what was only seen, now that `integrity` is proved to be that of `release`; where nothing is
    /// pinned, nothing is done.
    ///
    /// # Errors
    /// As [`of`](Self::of), or when it cannot be written.
    pub async fn prove(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: &Integrity,
    ) -> Result<(), PinError> {
        let seen = form::seen(registry, release);
        let Some(pin) = self.at(&seen).await?.filter(|pin| pin.integrity == *integrity) else {
            return Ok(());
        };
        // Written before the other goes, so that one is there at every moment.
        self.store.create(&form::of_registry(registry, release), stored(&pin)).await?;
        Ok(self.store.remove(&seen).await?)
    }

    /// [`admit`](Self::admit) where a store that takes no writes must cost neither the answer nor the pin, which then
    /// binds as long as this process lives and is [written](Self::write_down) later. Where the store cannot even be read,
    /// what could not be read may be another one: then only what this process knows already counts.
    ///
    /// # Errors
    /// [`PinError`] when there is no saying what is pinned, or too many pins wait for the store.
    pub async fn bind(&self, pin: Pin, proof: Proof) -> Result<Bound, PinError> {
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
                    && let Err(error) = self.prove(&registry, &release, &pin.integrity).await
                {
                    error!(%error, %release, "a pin that is proved waits for the storage to be kept as such");
                    self.unwritten.keep(place, pin, proof);
                }
                return Ok(Bound::Stored(first));
            }
            Err(PinError::Store(error)) => error,
            Err(error) => return Err(error),
        };
        let text = error.to_string();
        let (kept, _) = self.unwritten.keep(place, pin, proof).ok_or(error)?;
        error!(error = text, %release, "a pin is kept in memory until the storage takes it");
        Ok(Bound::InMemory(kept))
    }

    /// Writes what the store did not take before, as far as it does now.
    pub async fn write_down(&self) {
        let (mut written, mut failed) = (0, 0);
        for (place, pin, proof) in self.unwritten.all() {
            match self.admit(pin, proof).await {
                // A pin that came to lie there by another way is in force.
                Ok(_) | Err(PinError::Damaged(_) | PinError::Lost(_)) => {
                    self.unwritten.forget(&place);
                    written += 1;
                }
                Err(PinError::Store(_)) if failed < ENOUGH_FAILURES => failed += 1,
                Err(PinError::Store(_)) => break,
            }
        }
        if written > 0 {
            info!(written, "pins that the storage did not take before are written");
        }
    }

    /// Every pin that is stored, by volume and then by version as SemVer orders them. What cannot be read is told and left out.
    pub async fn sorted(&self, mut unreadable: impl FnMut(PinError)) -> Vec<Pin> {
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
        // One that is being proved lies in two places for a moment.
        pins.dedup();
        pins
    }

    /// Every pin that is stored, in no particular order.
    pub fn all(&self) -> BoxStream<'_, Result<Pin, PinError>> {
        self.on([Shelf::Pins]).filter_map(async |(_, pin)| pin.transpose()).boxed()
    }

    /// What lies on `shelves`, with the place of each.
    fn on<const N: usize>(&self, shelves: [Shelf; N]) -> BoxStream<'_, Found> {
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
    /// As [`of`](Self::of), also when it is a pin whose place is another.
    pub async fn at(&self, key: &StorageKey) -> Result<Option<Pin>, PinError> {
        let Some(stored) = self.store.read(key).await? else { return Ok(None) };
        form::read(key, &stored).map(Some)
    }
}

fn stored(pin: &Pin) -> bytes::Bytes {
    record::encode(&Stored::Pin(pin.clone()))
}

#[cfg(test)]
mod tests;
