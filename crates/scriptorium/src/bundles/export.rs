//! Making a bundle: what a mirror selected is gathered, then written, then signed.
//!
//! The sequence is noted *first*, so that no two bundles of a key have one. What cannot be read any more when it is written is
//! named among what is missing. Owns this order. Must not know how a mirror selects.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bundle::{
    BundleExport, BundleGap, Coverage, ExportError, KeyId, ManifestHead, Receipt, SequencesSpent, SigningKey,
    UtcSecond, next_sequence,
};
use serde::Serialize;

use self::gather::{Gathered, gather};
use self::source::BlobSource;
use super::journal::{BundleJournal, JournalError};
use super::lock::journal_lock;
use super::origins::origin;
use super::selection::BundledSelection;
use crate::domain::Sha256;
use crate::mirror::MirrorLocks;
use crate::store::{Store, StoreError};

mod gather;
mod objections;
mod source;

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportFailure {
    #[error("the storage cannot be read or written")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Sequence(#[from] SequencesSpent),
    #[error(transparent)]
    Bundle(#[from] ExportError),
    #[error("the lock of the journal of bundles cannot be taken")]
    Lock(#[from] io::Error),
    #[error("the mirror has no release, so there is nothing to export")]
    Nothing,
    #[error("the writing of the bundle died")]
    Lost,
}

/// What is to be made.
pub(crate) struct BundleOrder {
    pub(crate) folder: PathBuf,
    pub(crate) part_size: Option<u64>,
    pub(crate) key: SigningKey,
    /// What the receiver holds, with the digest of its receipt.
    pub(crate) receipt: Option<(Receipt, Sha256)>,
    pub(crate) lifecycle_only: bool,
    pub(crate) created: UtcSecond,
    pub(crate) expires: Option<UtcSecond>,
}

/// A bundle that was made.
#[derive(Debug, Serialize)]
pub(crate) struct MadeBundle {
    #[serde(flatten)]
    pub(crate) head: ManifestHead,
    /// The digest of the manifest.
    pub(crate) manifest: String,
    pub(crate) documents: usize,
    pub(crate) files: usize,
    pub(crate) pins: usize,
    pub(crate) blobs: usize,
    pub(crate) bytes: u64,
    pub(crate) parts: usize,
    pub(crate) missing: Vec<BundleGap>,
}

/// The next sequence of a key. It is noted, so that nobody gets it again.
async fn next(store: &dyn Store, locks: &MirrorLocks, key: KeyId) -> Result<u64, ExportFailure> {
    let _turn = journal_lock(locks).await?;
    let mut journal = BundleJournal::read(store).await?;
    let sequence = next_sequence(journal.last_signed(key))?;
    journal.sign(key, sequence);
    journal.write(store).await?;
    Ok(sequence)
}

impl BundleOrder {
    /// Makes the bundle of what `store` holds of `selection`.
    ///
    /// # Errors
    /// [`ExportFailure`]; then the folder has no signature.
    pub(crate) async fn make(
        self,
        store: Arc<dyn Store>,
        locks: &MirrorLocks,
        selection: BundledSelection,
    ) -> Result<MadeBundle, ExportFailure> {
        if selection.releases.is_empty() {
            return Err(ExportFailure::Nothing);
        }
        let of_selection = selection.releases.iter().map(|of| of.registry.clone()).collect();
        let mut gathered = gather(Arc::clone(&store), selection, self.lifecycle_only).await?;
        if let Some((receipt, _)) = &self.receipt {
            gathered.documents.retain(|document| receipt.lacks_document(&document.item.sha256));
            gathered.files.retain(|file| receipt.lacks_file(&file.item.sha256));
        }
        let (key_id, base) = (self.key.id(), self.receipt.as_ref().map(|(_, digest)| *digest));
        let sequence = next(&*store, locks, key_id).await?;
        let kind = match base {
            _ if self.lifecycle_only => Coverage::Lifecycle,
            Some(_) => Coverage::Delta,
            None => Coverage::Full,
        };
        let head = ManifestHead {
            origin: origin(&of_selection),
            key_id,
            sequence,
            kind,
            base,
            created: self.created,
            expires: self.expires,
        };
        let source = BlobSource::new(store);
        let written = tokio::task::spawn_blocking(move || self.write(head, gathered, &source));
        written.await.map_err(|_| ExportFailure::Lost)?
    }

    fn write(
        self,
        head: ManifestHead,
        mut gathered: Gathered,
        source: &BlobSource,
    ) -> Result<MadeBundle, ExportFailure> {
        let mut export = BundleExport::create(&self.folder, self.part_size)?;
        let mut blobs = BTreeMap::new();
        blobs.extend(gathered.documents.iter().map(|one| (one.item.sha256, (one.item.size, &one.place))));
        blobs.extend(gathered.files.iter().map(|one| (one.item.sha256, (one.item.size, &one.place))));
        let mut lost = HashSet::new();
        for (digest, (size, place)) in blobs {
            match export.blob(&digest, size, || source.open(place)) {
                Ok(_) => {}
                Err(ExportError::Source { .. } | ExportError::Differs { .. }) => drop(lost.insert(digest)),
                Err(error) => return Err(error.into()),
            }
        }
        gathered.drop_lost(&lost);
        let named: BTreeSet<_> = gathered.documents.iter().map(|one| one.registry.clone()).collect();
        let origin = if named.is_empty() { head.origin } else { origin(&named) };
        let head = ManifestHead { origin, ..head };
        let Gathered { documents, files, pins, missing } = gathered;
        let mut listing = export.list(head.clone(), &self.key)?;
        documents.iter().try_for_each(|document| listing.item(&document.item))?;
        files.iter().try_for_each(|file| listing.item(&file.item))?;
        pins.iter().try_for_each(|pin| listing.item(pin))?;
        missing.iter().try_for_each(|gap| listing.item(gap))?;
        let finished = listing.finish()?;
        Ok(MadeBundle {
            head,
            manifest: finished.manifest.hex(),
            documents: documents.len(),
            files: files.len(),
            pins: pins.len(),
            blobs: finished.blobs,
            bytes: finished.bytes,
            parts: finished.parts,
            missing: missing.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests;
