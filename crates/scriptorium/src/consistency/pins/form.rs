//! The stored form of pins, and their keys.
//!
//! | place | holds | binds |
//! |---|---|---|
//! | of a registry | what this version pinned | that registry, by name and URL |
//! | of a name | a line that was imported with the name of an upstream and no URL | the registry of that name, at any URL |
//! | of the release | what an earlier version pinned, or a line that was imported without an upstream | the registry of the name that it says, at any URL; without an upstream every registry |
//! | of what was only seen | a pin of a registry of which no archive was verified here | that registry |
//!
//! So a pin of an earlier version is neither lost nor taken for another registry's. Owns the keys and the records under
//! them. Must not know the order in which they are read.

use serde::{Deserialize, Serialize};

use super::{ANYBODY, Pin, PinError};
use crate::clock::Timestamp;
use crate::domain::{Purl, Registry, Sha256, Version, VolumeName};
use crate::store::{Damage, StorageKey, record};

/// Number of keys under which a pin of one registry may be stored.
pub(super) const PLACES: usize = 4;

/// A record under a pin's key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum StoredPin {
    Pin(Pin),
    Lost(LostPin),
}

/// The mark of a pin that was damaged and could not be restored: an operator has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LostPin {
    /// The volume.
    pub(crate) volume: VolumeName,
    /// The release of it.
    pub(crate) version: Version,
    /// The upstream that said what was pinned, by its name in the configuration.
    pub(crate) upstream: String,
    /// Its base URL.
    pub(crate) origin: String,
    /// When the damage was found.
    pub(crate) lost: Timestamp,
}

impl LostPin {
    /// The release that was pinned.
    #[must_use]
    pub(crate) fn release(&self) -> Purl {
        Purl::new(&self.volume, &self.version)
    }
}

/// The keys of a release's pins at one registry, in order of precedence.
pub(super) fn places(registry: &Registry, release: &Purl) -> [StorageKey; PLACES] {
    [
        of_registry(registry, release),
        of_name(registry.name(), release),
        of_release(release),
        seen(registry, release),
    ]
}

/// The key of a proved pin of this version.
pub(super) fn of_registry(registry: &Registry, release: &Purl) -> StorageKey {
    StorageKey::Pin { volume: volume(release), release: registry.digest_of(&release.to_string()) }
}

/// The key of a pin that was only seen.
pub(super) fn seen(registry: &Registry, release: &Purl) -> StorageKey {
    StorageKey::Sighting { volume: volume(release), release: registry.digest_of(&release.to_string()) }
}

fn of_name(name: &str, release: &Purl) -> StorageKey {
    of_registry(&Registry::new(name, ""), release)
}

/// The key of pins of an earlier version, and of pins that bind every registry.
pub(super) fn of_release(release: &Purl) -> StorageKey {
    StorageKey::Pin { volume: volume(release), release: Sha256::of(release.to_string().as_bytes()) }
}

fn volume(release: &Purl) -> Sha256 {
    Sha256::of(release.name.as_str().as_bytes())
}

/// The registry under which `pin` is stored; without a URL only by name.
pub(super) fn whose(pin: &Pin) -> Registry {
    Registry::new(&*pin.upstream, pin.origin.as_deref().unwrap_or_default())
}

/// The key of `pin` as a proved one.
pub(super) fn place(pin: &Pin) -> StorageKey {
    let release = pin.release();
    match pin.registry() {
        Some(registry) => of_registry(&registry, &release),
        None if pin.upstream == ANYBODY => of_release(&release),
        None => of_name(&pin.upstream, &release),
    }
}

/// Parses the pin that is `stored` under `key`.
pub(super) fn read(key: &StorageKey, stored: &[u8]) -> Result<Pin, PinError> {
    let damaged = |found: String| PinError::Damaged(Damage::of(key, "a pin as it was written", found));
    match record::decode(stored) {
        Ok(StoredPin::Pin(pin)) if is_placed(&pin, key) => Ok(pin),
        Ok(StoredPin::Lost(lost)) if was_placed(&lost, key) => Err(PinError::Lost(Box::new(lost))),
        Ok(StoredPin::Pin(pin)) => Err(damaged(format!("the pin of {}", pin.release()))),
        Ok(StoredPin::Lost(lost)) => Err(damaged(format!("what is left of the pin of {}", lost.release()))),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn is_placed(pin: &Pin, key: &StorageKey) -> bool {
    let release = pin.release();
    let is_seen = || seen(&whose(pin), &release) == *key;
    let is_old = || pin.origin.is_none() && of_release(&release) == *key;
    place(pin) == *key || is_seen() || is_old()
}

fn was_placed(lost: &LostPin, key: &StorageKey) -> bool {
    places(&Registry::new(&*lost.upstream, &*lost.origin), &lost.release()).contains(key)
}
