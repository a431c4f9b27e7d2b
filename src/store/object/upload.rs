//! A staged file on its way to where nothing can be renamed to.
//!
//! A small one is one conditional write. A bigger one is sent in parts to a place of its own below `staging/`, which
//! the storage then copies to where it belongs unless something is there already: whoever is first wins, and nobody
//! sees a part. Memory is one part's, whatever the size. Owns that. Must not know which storage it is.

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStoreExt, PutMode};
use tracing::warn;

use super::{Committed, ObjectStorage, STAGING, Staged, StorageKey, StoreError};
use super::{blocking, failure, found, place};

/// Bytes sent at a time; a bucket takes ten thousand parts, and none but the last below 5 MiB.
const PART: u64 = 8 << 20;

impl ObjectStorage {
    /// Makes what was staged the value of `key` unless there is one, or in its place where that was asked for. What was staged stays with the caller.
    pub(in crate::store) async fn upload(
        &self,
        key: &StorageKey,
        staged: &Staged,
    ) -> Result<Committed, StoreError> {
        let place = place(key);
        let mode = if staged.is_over() { PutMode::Overwrite } else { PutMode::Create };
        let sent = if staged.length() <= PART {
            let content = part(staged, 0).await?;
            self.put_object(&place, content, mode).await
        } else if !staged.is_over() && self.size(&place).await?.is_some() {
            return Ok(Committed::Theirs);
        } else {
            self.send_in_parts(&place, staged).await?
        };
        let Err(error) = sent else { return Ok(Committed::Ours) };
        // Others' writes, and answers that were lost on their way, show as errors of many kinds; what is there decides.
        match self.size(&place).await {
            Ok(Some(_)) if !staged.is_over() => Ok(Committed::Theirs),
            Ok(_) | Err(_) => Err(failure(error)),
        }
    }

    /// The inner result is that of the last, conditional step.
    async fn send_in_parts(
        &self,
        place: &ObjectPath,
        staged: &Staged,
    ) -> Result<object_store::Result<()>, StoreError> {
        let name = format!("{STAGING}/upload-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let draft = ObjectPath::from(name);
        let mut upload = self.objects.put_multipart(&draft).await.map_err(failure)?;
        if let Err(error) = send(&mut *upload, staged).await {
            if let Err(error) = upload.abort().await {
                warn!(%error, "could not take back an upload; a rule of the bucket must end it");
            }
            return Err(error);
        }
        let copied = match staged.is_over() {
            true => self.objects.copy(&draft, place).await,
            false => self.objects.copy_if_not_exists(&draft, place).await,
        };
        if let Err(error) = found(self.objects.delete(&draft).await) {
            warn!(%error, path = %draft, "could not remove a draft; a later start does");
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
