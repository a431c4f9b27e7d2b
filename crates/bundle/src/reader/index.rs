//! Where each blob of a bundle lies.
//!
//! Owns what is remembered of a blob: 64 bytes, however large it is. Must not know the manifest's items.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use archive::Sha256;

use super::blob::BlobReader;
use super::problem::BlobFault;
use crate::folder::{BundleFolder, EntryFault};
use crate::layout::BLOBS;

/// Why a blob is not given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobRefusal {
    /// The manifest does not list it.
    #[error("the manifest does not list the blob")]
    Unlisted,
    /// It was not there, or damaged, when the bundle was inspected.
    #[error("the blob was missing or damaged when the bundle was inspected")]
    NotHeld,
    /// Something happened to it since.
    #[error("the blob {0}")]
    Faulty(#[from] BlobFault),
}

/// A blob that the manifest lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedBlob {
    pub(super) digest: Sha256,
    pub(super) size: u64,
    pub(super) place: BlobPlace,
}

/// Where a blob was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlobPlace {
    /// Nowhere yet.
    Nowhere,
    /// Somewhere, but it was not right.
    Damaged,
    /// In a file of its own, which was right.
    File,
    /// In a tar file, at this offset.
    Part { number: u16, at: u64 },
}

/// The blobs that were inspected, by digest.
pub struct BlobIndex {
    pub(super) blobs: Vec<ListedBlob>,
    pub(super) root: Arc<BundleFolder>,
    /// The folder of the blobs that are files.
    pub(super) folder: Option<BundleFolder>,
    /// The names of the tar files. They are opened anew for each blob: there may be more than a process can hold open.
    pub(super) parts: Vec<String>,
}

impl BlobIndex {
    /// Opens a blob that was right when it was inspected. It is compared with its digest again as it is read, since its file may have
    /// been changed.
    ///
    /// # Errors
    /// [`BlobRefusal`]
    pub fn open(&self, digest: &Sha256) -> Result<BlobReader, BlobRefusal> {
        let found = self.blobs.binary_search_by_key(digest, |blob| blob.digest);
        let blob = found.ok().and_then(|at| self.blobs.get(at)).ok_or(BlobRefusal::Unlisted)?;
        let (file, at) = match blob.place {
            BlobPlace::Nowhere | BlobPlace::Damaged => return Err(BlobRefusal::NotHeld),
            BlobPlace::File => (self.file(digest)?, 0),
            BlobPlace::Part { number, at } => {
                let name = self.parts.get(usize::from(number)).ok_or(BlobFault::Missing)?;
                (self.root.read(name).map_err(BlobFault::from)?, at)
            }
        };
        if blob.place == BlobPlace::File {
            let found = file.metadata().map_err(BlobFault::from)?.size();
            if found != blob.size {
                return Err(BlobFault::Size { expected: blob.size, found }.into());
            }
        }
        Ok(BlobReader::new(file, at, blob.size, *digest))
    }

    /// Whether a blob is there and was right.
    #[must_use]
    pub fn holds(&self, digest: &Sha256) -> bool {
        let found = self.blobs.binary_search_by_key(digest, |blob| blob.digest);
        let blob = found.ok().and_then(|at| self.blobs.get(at));
        blob.is_some_and(|blob| !matches!(blob.place, BlobPlace::Nowhere | BlobPlace::Damaged))
    }

    pub(super) fn file(&self, digest: &Sha256) -> Result<File, BlobFault> {
        let folder = self.folder.as_ref().ok_or(BlobFault::Missing)?;
        Ok(folder.read(&digest.hex())?)
    }

    /// Opens the folder of blobs; none where there is none.
    pub(super) fn open_folder(root: &BundleFolder) -> Result<Option<BundleFolder>, BlobFault> {
        match root.folder(BLOBS[0]).and_then(|above| above.folder(BLOBS[1])) {
            Ok(folder) => Ok(Some(folder)),
            Err(EntryFault::Missing | EntryFault::Special) => Ok(None),
            Err(EntryFault::Io(error)) => Err(error.into()),
        }
    }
}
