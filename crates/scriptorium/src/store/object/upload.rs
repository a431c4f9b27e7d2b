//! Sending a staged file to a storage in which nothing can be renamed.
//!
//! A small file is one conditional write. A larger one is sent in parts to a name of its own in `staging/`, which the
//! storage then copies to its key unless that exists: the first writer wins, and nobody sees an unfinished file. Memory
//! holds one part, whatever the size. Owns that, and the removal of what was never finished. Must not know which storage it is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectMeta, ObjectStoreExt, PutMode};
use tracing::warn;

use super::found::{failure, found};
use super::{Committed, ObjectStorage, STAGING, Staged, StorageKey, StoreError, blocking, object_path};
use crate::clock::{Clock, Timestamp};

/// Bytes sent at a time; a bucket takes ten thousand parts, and none but the last below 5 MiB.
const PART: u64 = 8 << 20;

/// An upload to which nothing was written for so long has lost its process.
const LEFTOVER: Duration = Duration::from_secs(60 * 60);

impl ObjectStorage {
    /// Removes unfinished uploads from a bucket by their age, since there is no telling whether their process runs.
    pub(super) async fn sweep_uploads(&self) {
        let mut staged = self.objects.list(Some(&ObjectPath::from(STAGING)));
        while let Some(listed) = staged.next().await {
            let swept = match listed {
                Ok(object) if self.is_leftover(&object) => self.objects.delete(&object.location).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = found(swept) {
                warn!(%error, "an unfinished upload could not be removed from the bucket");
            }
        }
    }

    fn is_leftover(&self, object: &ObjectMeta) -> bool {
        let written = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default();
        self.clock.now().since(Timestamp(written)).is_some_and(|age| age > LEFTOVER)
    }

    /// Sends a staged file to `key`, where it replaces another only if it was staged to. The caller keeps the staged file.
    pub(in crate::store) async fn upload(
        &self,
        key: &StorageKey,
        staged: &Staged,
    ) -> Result<Committed, StoreError> {
        let path = object_path(key);
        let mode = if staged.replaces() { PutMode::Overwrite } else { PutMode::Create };
        let sent = if staged.length() <= PART {
            let content = part(staged, 0).await?;
            self.put_object(&path, content, mode).await
        } else if !staged.replaces() && self.size(&path).await?.is_some() {
            return Ok(Committed::Theirs);
        } else {
            self.send_in_parts(&path, staged).await?
        };
        let Err(error) = sent else { return Ok(Committed::Ours) };
        // A write by another process, or a lost response, shows as one of many errors; what is stored decides.
        match self.size(&path).await {
            Ok(Some(_)) if !staged.replaces() => Ok(Committed::Theirs),
            Ok(_) | Err(_) => Err(failure(error)),
        }
    }

    /// The inner result is that of the last step, which is conditional.
    async fn send_in_parts(
        &self,
        path: &ObjectPath,
        staged: &Staged,
    ) -> Result<object_store::Result<()>, StoreError> {
        let name = format!("{STAGING}/upload-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let draft = ObjectPath::from(name);
        let mut upload = self.objects.put_multipart(&draft).await.map_err(failure)?;
        if let Err(error) = send(&mut *upload, staged).await {
            if let Err(error) = upload.abort().await {
                warn!(%error, "an upload could not be aborted; a lifecycle rule of the bucket must end it");
            }
            return Err(error);
        }
        let copied = match staged.replaces() {
            true => self.objects.copy(&draft, path).await,
            false => self.objects.copy_if_not_exists(&draft, path).await,
        };
        if let Err(error) = found(self.objects.delete(&draft).await) {
            warn!(%error, path = %draft, "a finished upload could not be removed from staging; a later start removes it");
        }
        Ok(copied)
    }
}

async fn send(upload: &mut dyn MultipartUpload, staged: &Staged) -> Result<(), StoreError> {
    let mut sent = 0;
    while sent < staged.length() {
        let content = part(staged, sent).await?;
        sent += content.len() as u64;
        upload.put_part(content.into()).await.map_err(failure)?;
    }
    upload.complete().await.map(drop).map_err(failure)
}

/// Up to a part of what was staged, from `offset`.
async fn part(staged: &Staged, offset: u64) -> Result<Bytes, StoreError> {
    let file = staged.reopen()?;
    let length = (staged.length() - offset).min(PART);
    let read = move || {
        let mut content = vec![0; length as usize];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut content, offset)?;
        Ok(Bytes::from(content))
    };
    blocking(read).await
}
