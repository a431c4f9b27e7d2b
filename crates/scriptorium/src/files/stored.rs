//! The files in the store.
//!
//! Owns the seals in memory, the commit of a verified file, and that a damaged one is set aside. Must not know where a
//! file comes from, nor which client reads it.

use std::sync::Arc;

use tracing::{error, warn};

use super::expected::ExpectedFile;
use super::sealed_file::BroughtFile;
use crate::intake::Received;
use crate::store::sealed::{self, Seal};
use crate::store::{Committed, Damage, Hold, StorageKey, Store, StoreError, Uncommitted};
use crate::telemetry::Metrics;
use crate::upstream::Payload;

/// Seals kept in memory: the checksums of 10,000 archives of a few megabytes are about a megabyte.
const SEALS: u64 = 10_000;

/// The stored files.
#[derive(Debug)]
pub(super) struct StoredFiles {
    pub(super) store: Arc<dyn Store>,
    seals: moka::sync::Cache<StorageKey, Arc<Seal>>,
    pub(super) metrics: Arc<Metrics>,
}

impl StoredFiles {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, seals: moka::sync::Cache::new(SEALS), metrics }
    }

    /// Keeps whatever is stored as `expected`, now or later, from eviction.
    pub(super) fn hold(&self, expected: &ExpectedFile) -> Hold {
        let key = expected.storage_key();
        let hold = self.store.hold(&key);
        if hold.is_vacant() {
            self.forget(&key);
        }
        hold
    }

    /// The seal of the file stored as `expected`. A stored value that cannot be that file is set aside, and is no error.
    pub(super) async fn seal(&self, expected: &ExpectedFile) -> Result<Option<Arc<Seal>>, StoreError> {
        let key = expected.storage_key();
        if let Some(seal) = self.seals.get(&key) {
            return Ok(Some(seal));
        }
        let damage = match sealed::open(&*self.store, &key).await {
            Ok(Some(seal)) if expected.is_known_by(&seal) => return Ok(Some(self.remember(key, seal))),
            Ok(Some(seal)) => {
                Damage::of(&key, expected.to_string(), format!("the content {}", seal.known_by))
            }
            Ok(None) => return Ok(None),
            Err(StoreError::Corrupt(damage)) => damage,
            Err(error) => {
                error!(%error, file = %expected, "a stored file cannot be read");
                return Err(error);
            }
        };
        self.set_aside(expected, &damage).await;
        Ok(None)
    }

    fn remember(&self, key: StorageKey, seal: impl Into<Arc<Seal>>) -> Arc<Seal> {
        let seal = seal.into();
        self.seals.insert(key, Arc::clone(&seal));
        seal
    }

    /// Forgets the seal of the value at `key`, so that it is read again.
    pub(super) fn forget(&self, key: &StorageKey) {
        self.seals.invalidate(key);
    }

    /// Commits a verified file. A file that the store cannot keep is still sent to the requests that wait for it.
    pub(super) async fn keep(
        &self,
        expected: &ExpectedFile,
        received: Received,
    ) -> Result<BroughtFile, StoreError> {
        let key = expected.storage_key();
        let (staged, seal) = match received.into_staged() {
            Ok(whole) => whole,
            Err(received) => {
                warn!(file = %expected, "a verified file is not stored while it is read where it was staged");
                return Ok(BroughtFile { seal: Arc::clone(&received.seal), unstored: Some(received) });
            }
        };
        match self.store.commit(&key, staged).await {
            Ok(Committed::Ours) => Ok(BroughtFile::stored(self.remember(key, seal))),
            Ok(Committed::Theirs) => {
                let theirs = sealed::open(&*self.store, &key).await?;
                let theirs = theirs.filter(|theirs| expected.is_known_by(theirs));
                let theirs = theirs.ok_or_else(|| StoreError::Missing { path: key.path() })?;
                Ok(BroughtFile::stored(self.remember(key, theirs)))
            }
            Err(Uncommitted { error, staged }) => {
                warn!(%error, file = %expected, "a verified file cannot be stored; it is sent to the waiting requests only");
                let unstored = Some(Received::sealed(staged, Arc::clone(&seal)));
                Ok(BroughtFile { seal, unstored })
            }
        }
    }

    /// The seal of the stored file, if it is the same content as `seal`'s in another compression. It replaced the file that a
    /// client began to read and is not damaged, but that client cannot go on with it.
    pub(super) async fn repacked(&self, expected: &ExpectedFile, seal: &Seal) -> Option<Arc<Seal>> {
        let key = expected.storage_key();
        let now = sealed::open(&*self.store, &key).await.ok()??;
        let sound = expected.is_known_by(&now) && expected.compare(&now).is_ok();
        (sound && now.raw != seal.raw).then(|| self.remember(key, now))
    }

    /// Moves a damaged file into quarantine.
    pub(super) async fn set_aside(&self, expected: &ExpectedFile, damage: &Damage) {
        let key = expected.storage_key();
        self.forget(&key);
        self.metrics.integrity_failure(match expected.payload() {
            Payload::Archive => "stored-archive",
            Payload::TrustArtifact => "stored-trust-artifact",
        });
        let Damage { path, expected, found } = damage;
        error!(path, expected, found, "a stored file is corrupt and is set aside");
        if let Err(error) = self.store.set_aside(&key, damage).await {
            error!(%error, path, "cannot set a corrupt file aside");
        }
    }
}
