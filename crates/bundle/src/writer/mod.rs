//! Writing a bundle: blobs, then the manifest, then its signature.
//!
//! Owns that order, and with it what a reader may rely on: where a signature is, everything before it is whole and on the medium. Must
//! not know where blobs come from, nor what time it is.
//!
//! A bundle that is already in the folder is replaced, and loses its signature first. After a kill the same export is run again: blobs in files
//! are kept if their digest is right, tar files are written anew, and what neither run lists is removed.

mod blobs;
mod claim;
mod copy;
mod listing;
mod parts;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use archive::Sha256;

use self::blobs::BlobFolder;
use self::copy::{CopyFailure, Copying};
use self::parts::PartFiles;
use super::folder::BundleFolder;
use super::keys::{KeyId, SigningKey};
use super::layout::{BLOBS, MAX_NUMBER, MAX_PARTS};
use super::manifest::{InvalidHead, ManifestHead, UnorderedItem};
pub use listing::{BundleListing, FinishedBundle};

/// Why a bundle was not written. It has no signature then.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder cannot be written to: full, read-only, taken away.
    #[error("{path} cannot be written: {source}")]
    Destination {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another export writes there.
    #[error("another export writes to {path}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Something is there, and no export wrote into the folder.
    #[error("{path} is there, and its folder is no bundle; export to an empty or a new folder")]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// A blob cannot be read. The bundle is as it was before; it can go on without that blob.
    #[error("the blob {digest} cannot be read: {source}")]
    Source {
        /// The blob.
        digest: Sha256,
        /// What the system says.
        source: io::Error,
    },
    /// A blob is not what it was said to be. The bundle is as it was before; it can go on without that blob.
    #[error("the blob {digest} has other bytes than were expected")]
    Differs {
        /// What was expected.
        digest: Sha256,
    },
    /// Blobs came in another order than that of their digests, or one came twice.
    #[error("the blob {0} comes twice or out of order")]
    BlobOrder(Sha256),
    /// A blob is larger than a manifest can say.
    #[error("the blob {0} is too large")]
    BlobSize(Sha256),
    /// The blobs need more tar files than have names.
    #[error("the bundle needs more than {MAX_PARTS} parts; make them larger")]
    TooManyParts,
    /// The head is not one.
    #[error(transparent)]
    Head(#[from] InvalidHead),
    /// The head names another key than the one that signs.
    #[error("the manifest names the key {0}, and another one signs it")]
    OtherKey(KeyId),
    /// An item cannot stand in the manifest.
    #[error(transparent)]
    Item(UnorderedItem),
    /// An item lists a blob that was not written, or in another size.
    #[error("the blob {0} is listed, and was not written")]
    NoBlob(Sha256),
    /// A blob was written that no item lists.
    #[error("the blob {0} was written, and is not listed")]
    Unlisted(Sha256),
    /// A file is listed in a bundle of documents.
    #[error("a lifecycle bundle has no files")]
    LifecycleFile,
    /// The export goes on after an error that it cannot go on after.
    #[error("the export failed before")]
    Failed,
}

impl ExportError {
    fn at(root: &BundleFolder, name: &str) -> impl Fn(io::Error) -> Self + use<> {
        let path = root.path_of(name);
        move |source| Self::Destination { path: path.clone(), source }
    }

    fn leaves_the_bundle_whole(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::Differs { .. } | Self::BlobOrder(_) | Self::BlobSize(_))
    }
}

/// How a blob came to be in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was written.
    Written,
    /// An export that was killed had written it; it was read and is right.
    Kept,
}

enum BlobSink {
    Folder(BlobFolder),
    Parts(PartFiles),
}

/// A blob that is in the bundle.
struct WrittenBlob {
    size: u64,
    is_listed: bool,
}

/// A bundle whose blobs are being written. Give every blob, then begin the manifest with [`BundleExport::list`].
pub struct BundleExport {
    root: BundleFolder,
    sink: BlobSink,
    written: HashMap<Sha256, WrittenBlob>,
    last: Option<Sha256>,
    has_failed: bool,
    copying: Copying,
}

impl BundleExport {
    /// Begins a bundle in a folder, which is made where it is missing; in tar files of at most `part_size` bytes, or of one blob,
    /// if there is one.
    ///
    /// # Errors
    /// [`ExportError`]
    pub fn create(path: &Path, part_size: Option<u64>) -> Result<Self, ExportError> {
        let io = |source| ExportError::Destination { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let root = BundleFolder::open(path).map_err(io)?;
        if !root.lock().map_err(io)? {
            return Err(ExportError::Busy { path: path.to_owned() });
        }
        claim::claim(&root)?;
        let sink = match part_size {
            None => BlobSink::Folder(BlobFolder::make(&root).map_err(io)?),
            Some(part_size) => {
                blobs::remove_all(&root).map_err(io)?;
                BlobSink::Parts(PartFiles::new(part_size))
            }
        };
        let written = HashMap::new();
        Ok(Self { root, sink, written, last: None, has_failed: false, copying: Copying::default() })
    }

    /// Puts a blob into the bundle. Blobs come in the order of their digests, each once. `open` is not called for one that an
    /// earlier run wrote.
    ///
    /// # Errors
    /// [`ExportError`]; after `Source` and `Differs` the export can go on.
    pub fn blob<R: Read>(
        &mut self,
        digest: &Sha256,
        size: u64,
        open: impl FnOnce() -> io::Result<R>,
    ) -> Result<BlobOutcome, ExportError> {
        if self.has_failed {
            return Err(ExportError::Failed);
        }
        if self.last.is_some_and(|last| last >= *digest) {
            return Err(ExportError::BlobOrder(*digest));
        }
        if size > MAX_NUMBER {
            return Err(ExportError::BlobSize(*digest));
        }
        let put = self.put(digest, size, open);
        match &put {
            Ok(_) => {
                self.last = Some(*digest);
                self.written.insert(*digest, WrittenBlob { size, is_listed: false });
            }
            Err(error) => self.has_failed = !error.leaves_the_bundle_whole(),
        }
        put
    }

    fn put<R: Read>(
        &mut self,
        digest: &Sha256,
        size: u64,
        open: impl FnOnce() -> io::Result<R>,
    ) -> Result<BlobOutcome, ExportError> {
        let Self { root, sink, copying, .. } = self;
        if let BlobSink::Folder(folder) = sink
            && folder.has(digest, size, copying).map_err(ExportError::at(root, BLOBS[0]))?
        {
            return Ok(BlobOutcome::Kept);
        }
        let mut source = open().map_err(|source| ExportError::Source { digest: *digest, source })?;
        match sink {
            BlobSink::Folder(folder) => folder.write(root, digest, size, &mut source, copying),
            BlobSink::Parts(parts) => parts.write(root, digest, size, &mut source, copying),
        }?;
        Ok(BlobOutcome::Written)
    }

    /// Begins the manifest, once every blob is there.
    ///
    /// # Errors
    /// [`ExportError`]
    pub fn list(self, head: ManifestHead, key: &SigningKey) -> Result<BundleListing<'_>, ExportError> {
        if self.has_failed {
            return Err(ExportError::Failed);
        }
        head.check()?;
        if head.key_id != key.id() {
            return Err(ExportError::OtherKey(head.key_id));
        }
        BundleListing::begin(self, head, key)
    }
}
