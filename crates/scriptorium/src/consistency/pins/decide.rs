//! Changing pins by decision of an operator, or from a held archive: import, remove, restore.
//!
//! Owns that nothing damaged is overwritten; it is moved to the quarantine. Must not know why.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::StreamExt;

use super::form::{self, LostPin, StoredPin};
use super::{ANYBODY, Pin, PinError, Pins, Proof};
use crate::clock::Timestamp;
use crate::domain::{Purl, Registry, Sha256, Version, VolumeName};
use crate::store::{Damage, KeyPrefix, StorageKey, StoreError, record};

/// A removed value of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removed {
    /// A pin.
    Pin(Pin),
    /// The mark of a lost pin.
    Lost(LostPin),
    /// A damaged pin, which is in the quarantine now.
    Damaged(Damage),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(pin) => {
                write!(f, "{} {}: {} of {}", pin.volume, pin.version, pin.integrity, pin.whose())
            }
            Self::Lost(LostPin { volume, version, upstream, origin, lost }) => {
                write!(f, "{volume} {version}: what was damaged at {lost} of {upstream} at {origin}")
            }
            Self::Damaged(damage) => write!(f, "what was damaged, to the quarantine: {damage}"),
        }
    }
}

/// The stored pins of one release at all known registries.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// Readable pins with their keys.
    pub(crate) pins: Vec<(StorageKey, Pin)>,
    /// Keys of damaged and lost pins.
    pub(crate) open: Vec<(StorageKey, Removed)>,
}

impl Pins {
    /// Every registry that a pin names. Its URL is empty if only the name is known.
    ///
    /// # Errors
    /// When pins cannot be listed.
    pub(crate) async fn registries(&self) -> Result<BTreeSet<Registry>, StoreError> {
        let (mut registries, mut all) = (BTreeSet::new(), self.all());
        while let Some(pin) = all.next().await {
            registries.insert(match pin {
                Ok(pin) => form::whose(&pin),
                Err(PinError::Lost(lost)) => Registry::new(lost.upstream, lost.origin),
                Err(PinError::Damaged(_)) => continue,
                Err(PinError::Store(error)) => return Err(error),
            });
        }
        Ok(registries)
    }

    /// The stored pins of `release` at `registries`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn of_release(
        &self,
        release: &Purl,
        registries: &BTreeSet<Registry>,
    ) -> Result<Decided, StoreError> {
        let anybody = Registry::new("", "");
        let places = registries.iter().chain([&anybody]).flat_map(|registry| form::places(registry, release));
        let (mut seen, mut decided) = (BTreeSet::new(), Decided::default());
        for place in places.filter(|place| seen.insert(place.path())).collect::<Vec<_>>() {
            let stored = self.at(&place).await;
            decided.add(place, stored)?;
        }
        Ok(decided)
    }

    /// The readable pins of `volume` at every registry.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(crate) async fn of_volume(&self, volume: &VolumeName) -> Result<Decided, StoreError> {
        let name = Sha256::of(volume.as_str().as_bytes());
        let (mut decided, mut stored) =
            (Decided::default(), self.on([KeyPrefix::PinsOf(name), KeyPrefix::SightingsOf(name)]));
        while let Some((place, stored)) = stored.next().await {
            match (place, stored) {
                (Some(place), stored) => decided.add(place, stored)?,
                (None, Err(PinError::Store(error))) => return Err(error),
                (None, _) => {}
            }
        }
        Ok(decided)
    }

    /// Stores `pin`, which nothing contradicts, as proved. It replaces damaged and lost pins of the registries it binds.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) async fn keep(&self, pin: &Pin, decided: &Decided) -> Result<(), StoreError> {
        let its = form::places(&form::whose(pin), &pin.release());
        for (place, open) in &decided.open {
            match open {
                Removed::Lost(lost) if pin.binds(&Registry::new(&*lost.upstream, &*lost.origin)) => {
                    self.store.remove(place).await?;
                }
                Removed::Damaged(damage) if its.contains(place) || pin.upstream == ANYBODY => {
                    self.store.set_aside(place, damage).await?;
                }
                Removed::Pin(_) | Removed::Lost(_) | Removed::Damaged(_) => {}
            }
        }
        let place = form::place(pin);
        let stored = record::encode(&StoredPin::Pin(pin.clone()));
        if !self.store.create(&place, stored.clone()).await? {
            // A pin of an earlier version that binds fewer registries and says the same.
            self.store.write(&place, stored).await?;
        }
        Ok(())
    }

    /// Removes the pins of `volume`, of one `version` or of all, at one upstream or at all. Damaged pins are looked for at
    /// these `registries` and set aside.
    ///
    /// # Errors
    /// When one cannot be read or removed; those before it are removed.
    pub(crate) async fn remove(
        &self,
        volume: &VolumeName,
        version: Option<&Version>,
        upstream: Option<&str>,
        registries: &BTreeSet<Registry>,
    ) -> Result<Vec<Removed>, StoreError> {
        let Decided { pins, mut open } = self.of_volume(volume).await?;
        let concerned = |of: &Version, whose: &str| {
            version.is_none_or(|version| version == of) && upstream.is_none_or(|upstream| upstream == whose)
        };
        let readable = pins.into_iter().map(|(place, pin)| (place, Removed::Pin(pin)));
        open.extend(readable);
        let theirs = |registry: &&Registry| upstream.is_none_or(|upstream| upstream == registry.name());
        let places: Option<BTreeSet<String>> = version.map(|version| {
            let release = Purl::new(volume, version);
            let of = |registry: &Registry| form::places(registry, &release).map(|place| place.path());
            registries.iter().filter(theirs).flat_map(of).collect()
        });
        let mut removed = Vec::new();
        for (place, what) in open {
            let is_concerned = match &what {
                Removed::Pin(pin) => concerned(&pin.version, &pin.upstream),
                Removed::Lost(lost) => concerned(&lost.version, &lost.upstream),
                Removed::Damaged(_) => places.as_ref().is_none_or(|places| places.contains(&place.path())),
            };
            if !is_concerned {
                continue;
            }
            match &what {
                Removed::Pin(_) | Removed::Lost(_) => self.store.remove(&place).await?,
                Removed::Damaged(damage) => self.store.set_aside(&place, damage).await?,
            }
            removed.push(what);
        }
        Ok(removed)
    }

    /// Replaces a damaged pin by `pin`, which was restored from a held archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn mend(&self, pin: Pin, damage: &Damage) -> Result<(), PinError> {
        if let Some(place) = StorageKey::at(&damage.path) {
            self.store.set_aside(&place, damage).await?;
        }
        self.admit(pin, Proof::Proved).await.map(drop)
    }

    /// Marks the damaged pin of `registry`'s `release` as lost: the release is refused until an operator decides.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) async fn lose(
        &self,
        registry: &Registry,
        release: &Purl,
        damage: &Damage,
        now: Timestamp,
    ) -> Result<LostPin, StoreError> {
        let (upstream, origin) = (registry.name().to_owned(), registry.origin().to_owned());
        let Purl { name: volume, version } = release.clone();
        let lost = LostPin { volume, version, upstream, origin, lost: now };
        if let Some(place) = StorageKey::at(&damage.path) {
            self.store.set_aside(&place, damage).await?;
            self.store.create(&place, record::encode(&StoredPin::Lost(lost.clone()))).await?;
        }
        Ok(lost)
    }
}

impl Decided {
    fn add(&mut self, place: StorageKey, stored: Result<Option<Pin>, PinError>) -> Result<(), StoreError> {
        match stored {
            Ok(Some(pin)) => self.pins.push((place, pin)),
            Ok(None) => {}
            Err(PinError::Lost(lost)) => self.open.push((place, Removed::Lost(*lost))),
            Err(PinError::Damaged(damage)) => self.open.push((place, Removed::Damaged(damage))),
            Err(PinError::Store(error)) => return Err(error),
        }
        Ok(())
    }
}
