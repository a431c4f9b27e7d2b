//! The first integrity believed of each release, kept for ever.
//!
//! A pin is written before the release is first served and survives the archive's eviction, so a registry
//! that quietly replaces a version is caught however late. Two first sights at once are settled by the
//! store's atomic create. One that the store does not take binds from memory until it does.
//! Owns pins; must not know what follows from a broken one.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use unwritten::Unwritten;

use crate::clock::Timestamp;
use crate::domain::{Integrity, Purl, Sha256, Version, VolumeName};
use crate::store::{Damage, Shelf, StorageKey, Store, StoreError};

pub mod import;
mod unwritten;

/// Writes that may fail in one go before the rest waits for the next.
const ENOUGH_FAILURES: usize = 8;

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
    /// The upstream that said it, by its name in the configuration.
    pub upstream: String,
}

impl Pin {
    /// The release that is pinned.
    #[must_use]
    pub fn release(&self) -> Purl {
        Purl::new(&self.volume, &self.version)
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
    /// For ever.
    Stored(Pin),
    /// Until the store takes it, or says that there was another.
    InMemory(Pin),
}

/// The pins of one store.
#[derive(Debug, Clone)]
pub struct Pins {
    store: Arc<dyn Store>,
    unwritten: Arc<Unwritten>,
}

impl Pins {
    /// Pins kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, unwritten: Arc::default() }
    }

    /// The pin that is stored of `release`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the pin is damaged, which is no licence to believe anything; another when
    /// it cannot be read.
    pub async fn of(&self, release: &Purl) -> Result<Option<Pin>, StoreError> {
        self.at(&place(release)).await
    }

    /// Pins what `pin` says, unless something was pinned before. Answers with the pin in force.
    ///
    /// # Errors
    /// As [`of`](Self::of), or when it cannot be written.
    pub async fn admit(&self, pin: Pin) -> Result<Pin, StoreError> {
        match self.of(&pin.release()).await? {
            Some(first) => Ok(first),
            None => self.create(pin).await,
        }
    }

    async fn create(&self, pin: Pin) -> Result<Pin, StoreError> {
        let place = place(&pin.release());
        if self.store.create(&place, pin.line().into()).await? {
            return Ok(pin);
        }
        self.at(&place).await?.ok_or_else(|| damaged(&place))
    }

    /// The same where a store that fails must cost neither the answer nor the pin, which then binds as long as this
    /// process lives and is [written](Self::write_down) later. What could not be read may be another one, so nothing is
    /// settled by a pin that is in memory only.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the pin is damaged; another when the store fails and too many pins wait for it.
    pub async fn bind(&self, pin: Pin) -> Result<Bound, StoreError> {
        let release = pin.release();
        let place = place(&release);
        let pin = self.unwritten.at(&place).unwrap_or(pin);
        let error = match self.admit(pin.clone()).await {
            Ok(first) => {
                self.unwritten.forget(&place);
                return Ok(Bound::Stored(first));
            }
            Err(error @ StoreError::Corrupt(_)) => return Err(error),
            Err(error) => error,
        };
        let text = error.to_string();
        let kept = self.unwritten.keep(place, pin).ok_or(error)?;
        error!(error = text, %release, "a pin is kept in memory until the storage takes it");
        Ok(Bound::InMemory(kept))
    }

    /// Writes what the store did not take before, as far as it does now.
    pub async fn write_down(&self) {
        let (mut written, mut failed) = (0, 0);
        for (place, pin) in self.unwritten.all() {
            match self.store.create(&place, pin.line().into()).await {
                // A pin that came to lie there by another way is in force.
                Ok(_) => {
                    self.unwritten.forget(&place);
                    written += 1;
                }
                Err(_) if failed < ENOUGH_FAILURES => failed += 1,
                Err(_) => break,
            }
        }
        if written > 0 {
            info!(written, "pins that the storage did not take before are written");
        }
    }

    /// Every pin that is stored, by volume and then by version as SemVer orders them. What cannot be read is told and left out.
    pub async fn sorted(&self, mut unreadable: impl FnMut(StoreError)) -> Vec<Pin> {
        let (mut pins, mut all) = (Vec::new(), self.all());
        while let Some(pin) = all.next().await {
            match pin {
                Ok(pin) => pins.push(pin),
                Err(error) => unreadable(error),
            }
        }
        pins.sort_unstable_by(|one, other| (&one.volume, &one.version).cmp(&(&other.volume, &other.version)));
        pins
    }

    /// Every pin that is stored, in no particular order.
    pub fn all(&self) -> BoxStream<'_, Result<Pin, StoreError>> {
        let listed = self.store.list(Shelf::Pins);
        listed
            .filter_map(async |listed| match listed {
                Ok((key, _)) => self.at(&key).await.transpose(),
                Err(error) => Some(Err(error)),
            })
            .boxed()
    }

    /// The pin that lies at `key`.
    ///
    /// # Errors
    /// As [`of`](Self::of), also when it is a pin whose place is another.
    pub async fn at(&self, key: &StorageKey) -> Result<Option<Pin>, StoreError> {
        let Some(stored) = self.store.read(key).await? else { return Ok(None) };
        let pin = serde_json::from_slice::<Pin>(&stored).ok().filter(|pin| place(&pin.release()) == *key);
        pin.map(Some).ok_or_else(|| damaged(key))
    }
}

fn place(release: &Purl) -> StorageKey {
    let volume = Sha256::of(release.name.as_str().as_bytes());
    StorageKey::Pin { volume, release: Sha256::of(release.to_string().as_bytes()) }
}

fn damaged(place: &StorageKey) -> StoreError {
    let found = "something else; remove the file to pin the release anew";
    StoreError::Corrupt(Damage::of(place, "a pin as it was written", found))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use tempfile::TempDir;

    use super::*;
    use crate::store::ObjectStorage;

    fn pin(version: &str, content: &str) -> Pin {
        Pin {
            volume: "@acme/x".parse().unwrap(),
            version: version.parse().unwrap(),
            integrity: Integrity::new(Sha256::of(content.as_bytes())),
            since: Timestamp(7),
            upstream: "public".into(),
        }
    }

    #[tokio::test]
    async fn the_first_integrity_stays() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let pins = Pins::new(store.clone());
        let first = pin("1.0.0", "a");
        assert_eq!(pins.of(&first.release()).await.unwrap(), None);
        assert_eq!(pins.admit(first.clone()).await.unwrap(), first);
        let pins = Pins::new(store);
        assert_eq!(pins.admit(pin("1.0.0", "b")).await.unwrap(), first);
        assert_eq!(pins.of(&first.release()).await.unwrap(), Some(first.clone()));
        assert_eq!(pins.admit(pin("1.0.1", "b")).await.unwrap(), pin("1.0.1", "b"));
        let mut all: Vec<_> = pins.all().try_collect().await.unwrap();
        all.sort_by(|one, other| one.version.cmp(&other.version));
        assert_eq!(all, [first, pin("1.0.1", "b")]);
    }

    #[tokio::test]
    async fn an_export_is_sorted_and_tells_what_it_leaves_out() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let pins = Pins::new(store.clone());
        for version in ["10.0.0", "9.0.0", "9.0.0-rc.1", "1.0.0"] {
            pins.admit(pin(version, "a")).await.unwrap();
        }
        let other = Pin { volume: "@aaa/x".parse().unwrap(), ..pin("99.0.0", "a") };
        pins.admit(other.clone()).await.unwrap();
        let damaged = place(&pin("1.0.0", "a").release());
        store.write(&damaged, "garbage".into()).await.unwrap();
        let mut told = Vec::new();
        let sorted = pins.sorted(|error| told.push(error.to_string())).await;
        assert_eq!(sorted, [other, pin("9.0.0-rc.1", "a"), pin("9.0.0", "a"), pin("10.0.0", "a")]);
        assert!(told.len() == 1 && told[0].contains(&damaged.path()), "{told:?}");
    }

    #[tokio::test]
    async fn two_first_sights_at_once_agree_on_one() {
        let pins = Pins::new(Arc::new(ObjectStorage::memory().unwrap()));
        let contents = ["a", "b", "c", "d"];
        let admitted = contents.map(|content| pins.admit(pin("1.0.0", content)));
        let admitted = futures_util::future::try_join_all(admitted).await.unwrap();
        assert!(admitted.iter().all(|pin| *pin == admitted[0]));
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_binds_until_it_does() {
        let place = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::local(place.path(), false).unwrap());
        std::fs::write(place.path().join("pins"), "no directory").unwrap();
        let pins = Pins::new(store.clone());
        assert!(pins.admit(pin("1.0.0", "a")).await.is_err(), "who must know gets no promise");
        let in_memory = |version, content| Bound::InMemory(pin(version, content));
        assert_eq!(pins.bind(pin("1.0.0", "a")).await.unwrap(), in_memory("1.0.0", "a"));
        assert_eq!(pins.clone().bind(pin("1.0.0", "b")).await.unwrap(), in_memory("1.0.0", "a"));
        assert_eq!(pins.bind(pin("2.0.0", "c")).await.unwrap(), in_memory("2.0.0", "c"));
        assert_eq!(pins.bind(pin("3.0.0", "d")).await.unwrap(), in_memory("3.0.0", "d"));
        pins.write_down().await;

        std::fs::remove_file(place.path().join("pins")).unwrap();
        let another = Pins::new(store);
        another.admit(pin("2.0.0", "of another process")).await.unwrap();
        let stored = pins.bind(pin("3.0.0", "e")).await.unwrap();
        assert_eq!(stored, Bound::Stored(pin("3.0.0", "d")), "the first sight, not the second");
        pins.write_down().await;
        assert!(pins.unwritten.all().is_empty());
        let stored = [pin("1.0.0", "a"), pin("2.0.0", "of another process"), pin("3.0.0", "d")];
        assert_eq!(another.sorted(|_| ()).await, stored);
        assert_eq!(pins.of(&stored[1].release()).await.unwrap().as_ref(), Some(&stored[1]));
    }

    #[tokio::test]
    async fn a_damaged_pin_admits_nothing() {
        let store: Arc<dyn Store> = Arc::new(ObjectStorage::memory().unwrap());
        let pins = Pins::new(store.clone());
        let other = serde_json::to_vec(&pin("2.0.0", "a")).unwrap();
        for damage in [b"garbage".to_vec(), b"{}".to_vec(), other] {
            store.write(&place(&pin("1.0.0", "a").release()), damage.into()).await.unwrap();
            let refused = pins.admit(pin("1.0.0", "a")).await;
            assert!(matches!(refused, Err(StoreError::Corrupt(_))));
            assert!(pins.all().try_collect::<Vec<_>>().await.is_err());
        }
    }
}
