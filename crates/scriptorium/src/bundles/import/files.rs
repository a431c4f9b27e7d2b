//! Files of a bundle: each goes the way of one that its registry sent.
//!
//! Owns which are taken, and from where their bytes come. Must not know what makes a file valid.

use std::io::Read;

use bundle::{BlobReader, BundledFile, BundledFileKind, ManifestItem};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::LeftOutSubject;
use super::items::items;
use super::taking::{NotIn, Taking, elsewhere, left_out, unfit, unpinned};
use crate::consistency::ArchiveRefusal;
use crate::domain::{Purl, Registry, Sha256};
use crate::files::{ExpectedFile, NotTaken};
use crate::store::StoreError;

/// Bytes of a piece.
const PIECE: u64 = 64 * 1024;

/// Files that are taken in at once. Each is inflated and hashed by one thread, and may take 4 MiB for entries out of order.
const AT_ONCE: usize = 2;

impl Taking<'_> {
    pub(super) async fn take_files(&self) -> Result<(), StoreError> {
        let files = items(&self.bundle, |item| match item {
            ManifestItem::File(file) => Some(file.clone()),
            _ => None,
        });
        let taken = files.map(async |file| {
            let (taken, bytes) = match file {
                Ok(file) => (self.take_file(&file).await, file.size),
                Err(error) => (Err(error.into()), 0),
            };
            self.to.watch(bytes);
            self.note(taken).await.map(drop)
        });
        taken.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn take_file(&self, file: &BundledFile) -> Result<(), NotIn> {
        let release = Purl::new(&file.volume, &file.version);
        if self.contradicts(&release) {
            return Ok(());
        }
        let registry = self.registry_of(&file.volume).ok_or_else(|| elsewhere(&release))?;
        let expected = match file.kind {
            BundledFileKind::Archive => {
                self.agrees(registry, &release, file.integrity).await?;
                ExpectedFile::Archive { release: release.clone(), integrity: file.integrity }
            }
            BundledFileKind::TrustArtifact if *file.integrity.digest() == file.sha256 => {
                ExpectedFile::TrustArtifact { digest: file.sha256, size: Some(file.size) }
            }
            BundledFileKind::TrustArtifact => {
                return Err(left_out(
                    &release,
                    "the integrity of a trust artifact is not the digest of its bytes",
                ));
            }
        };
        if !self.to.files.hold(&expected).await? {
            let blob =
                self.blobs.open(&file.sha256).map_err(|error| unread(&file.sha256, error.to_string()))?;
            let taken = self.to.files.take(&expected, blob.size(), pieces(blob)).await;
            taken.map_err(|error| self.not_taken(error, file, registry))?;
        }
        if file.kind == BundledFileKind::Archive {
            let is_of_it = |refusal: &ArchiveRefusal| {
                refusal.registry == *registry
                    && refusal.volume == file.volume
                    && refusal.version == file.version
                    && refusal.integrity == file.integrity
            };
            // What an earlier bundle had in its place was refused.
            self.refusals.forget(is_of_it).await?;
            let proved = self.pins.prove(registry, &release, &file.integrity, None).await;
            proved.map_err(|error| unpinned(&release, error))?;
        }
        Ok(())
    }

    /// What becomes of a file of `registry` that was not taken.
    fn not_taken(&self, error: NotTaken, file: &BundledFile, registry: &Registry) -> NotIn {
        let release = || Purl::new(&file.volume, &file.version);
        match error {
            NotTaken::Refused { why, verdict: Some(verdict) } if file.kind == BundledFileKind::Archive => {
                NotIn::Refused(Box::new(ArchiveRefusal {
                    registry: registry.clone(),
                    volume: file.volume.clone(),
                    version: file.version.clone(),
                    integrity: file.integrity,
                    verdict,
                    why,
                    delivered: None,
                    since: self.to.now,
                }))
            }
            NotTaken::Refused { why, .. } => left_out(&release(), unfit(&why)),
            NotTaken::Unread => unread(&file.sha256, error.to_string()),
            // There may be room for others.
            NotTaken::Store(error @ StoreError::TooLarge) => left_out(&release(), error.to_string()),
            NotTaken::Store(error) => NotIn::Ended(error),
        }
    }
}

/// A blob that cannot be read.
pub(super) fn unread(blob: &Sha256, why: String) -> NotIn {
    NotIn::LeftOut(LeftOutSubject::Blob(blob.hex()), why)
}

/// The bytes of a blob, read on threads that may block.
fn pieces(blob: BlobReader) -> BoxStream<'static, std::io::Result<Bytes>> {
    let read = |mut blob: BlobReader| async move {
        let piece = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            blob.by_ref().take(PIECE).read_to_end(&mut bytes).map(|_| (Bytes::from(bytes), blob))
        });
        piece.await.map_err(std::io::Error::from)?
    };
    stream::try_unfold(blob, move |blob| async move {
        let (bytes, blob) = read(blob).await?;
        Ok((!bytes.is_empty()).then_some((bytes, blob)))
    })
    .into_stream()
    .boxed()
}
