//! Changing a value that other processes change too.
//!
//! A value is replaced only if it is still the one that was read; otherwise it is read and changed again. Owns that, and how
//! long it is tried. Must not know what is changed.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutMode, UpdateVersion};

use super::found::{failure, found};
use super::{ObjectStorage, StoreError, ValueChange};

/// How often a change is tried. Each time all others lost, one writer won.
const ATTEMPTS: u64 = 20;
/// The longest pause after the first lost attempt, in milliseconds; it grows with each.
const PAUSE: u64 = 20;

impl ObjectStorage {
    pub(super) async fn exchange(
        &self,
        path: &ObjectPath,
        change: ValueChange<'_>,
    ) -> Result<(), StoreError> {
        for attempt in 1..=ATTEMPTS {
            let (held, mode) = self.versioned(path).await?;
            let Some(bytes) = change(held) else { return Ok(()) };
            match self.put_object(path, bytes, mode).await {
                Ok(()) => return Ok(()),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(..=PAUSE * attempt))).await;
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Err(io::Error::other(format!("other processes changed {path} each time it was to be changed")).into())
    }

    /// The value, and the condition that it is still there.
    async fn versioned(&self, path: &ObjectPath) -> Result<(Option<Bytes>, PutMode), StoreError> {
        let Some(object) = found(self.objects.get(path).await)? else { return Ok((None, PutMode::Create)) };
        let (e_tag, version) = (object.meta.e_tag.clone(), object.meta.version.clone());
        let bytes = object.bytes().await.map_err(failure)?;
        Ok((Some(bytes), PutMode::Update(UpdateVersion { e_tag, version })))
    }
}
