//! Reading a bundle, which is hostile until it is not, and may be so even when it is signed.
//!
//! Owns the order of the checks: bounds, the signature, the manifest, then blobs. Must not know what is done with what is read, nor
//! what time it is.
//!
//! The manifest is copied once, and only the copy is read: its signature, and every later pass over its items, are about the
//! same bytes, whatever happens in the folder meanwhile. A blob is not copied: whoever reads one is told before its last byte
//! whether it was right.

mod blob;
mod index;
mod inspect;
mod part;
mod problem;
mod watch;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::Sha256;

use super::folder::{BundleFolder, EntryFault};
use super::hashing::Hashing;
use super::keys::TrustedKey;
use super::layout::{MANIFEST, MAX_MANIFEST, MAX_SIGNATURE, SIGNATURE};
use super::manifest::{ManifestHead, ManifestItem, ManifestReadError, read_manifest};
use super::signature::{BadSignature, SignatureVerdict, judge};
pub use blob::{BlobMismatch, BlobReader};
pub use index::{BlobIndex, BlobRefusal};
pub use inspect::Inspection;
pub use problem::{BlobFault, BundleProblem, ProblemSubject};

/// Why there is no bundle to read.
#[derive(Debug, thiserror::Error)]
pub enum BundleOpenError {
    /// The folder, or what is in it, cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no manifest: not a bundle, or one that was not finished.
    #[error("{path} does not exist; expected a bundle, which has a manifest")]
    NoManifest {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The manifest is a link, a pipe or a device.
    #[error("{path} is not a regular file")]
    Special {
        /// The file.
        path: PathBuf,
    },
    /// The manifest's copy cannot be written or read.
    #[error("the copy of the manifest: {0}")]
    Scratch(#[source] io::Error),
    /// The manifest is larger than any.
    #[error("the manifest is larger than {MAX_MANIFEST} bytes")]
    TooLarge,
}

/// A bundle whose manifest was copied and whose signature was judged. Nothing of it was believed yet.
pub struct OpenBundle {
    root: Arc<BundleFolder>,
    manifest: File,
    digest: Sha256,
    signature: SignatureVerdict,
}

impl OpenBundle {
    /// Opens a folder. `scratch` is a file that nobody else knows, for the copy of the manifest; what was in it is lost.
    ///
    /// # Errors
    /// [`BundleOpenError`] when there is no manifest. A signature that is missing or bad is no error: see
    /// [`OpenBundle::signature`].
    pub fn open(path: &Path, trusted: &[TrustedKey], mut scratch: File) -> Result<Self, BundleOpenError> {
        let root = BundleFolder::open(path)
            .map_err(|source| BundleOpenError::Io { path: path.to_owned(), source })?;
        let at = |name: &str, source| BundleOpenError::Io { path: root.path_of(name), source };
        let source = root.read(MANIFEST).map_err(|fault| match fault {
            EntryFault::Missing => BundleOpenError::NoManifest { path: root.path_of(MANIFEST) },
            EntryFault::Special => BundleOpenError::Special { path: root.path_of(MANIFEST) },
            EntryFault::Io(source) => at(MANIFEST, source),
        })?;
        let digest = copy(source, &mut scratch).map_err(|failure| match failure {
            CopyError::Source(source) => at(MANIFEST, source),
            CopyError::Scratch(source) => BundleOpenError::Scratch(source),
            CopyError::TooLarge => BundleOpenError::TooLarge,
        })?;
        let signature = match read_signature(&root) {
            Ok(text) => judge(&text, Copied::of(&scratch), trusted).map_err(BundleOpenError::Scratch)?,
            Err(EntryFault::Missing) => SignatureVerdict::Missing,
            Err(EntryFault::Special) => SignatureVerdict::Bad(BadSignature::Special),
            Err(EntryFault::Io(error)) => return Err(at(SIGNATURE, error)),
        };
        Ok(Self { digest, root: Arc::new(root), manifest: scratch, signature })
    }

    /// What the signature is worth. Look at it before anything else.
    #[must_use]
    pub fn signature(&self) -> &SignatureVerdict {
        &self.signature
    }

    /// The digest of the manifest's bytes, which names this bundle in the order of its key.
    #[must_use]
    pub fn manifest_digest(&self) -> &Sha256 {
        &self.digest
    }

    /// Reads the whole manifest and gives its head. Only then is it known to be one.
    ///
    /// # Errors
    /// [`ManifestReadError`]
    pub fn head(&self) -> Result<ManifestHead, ManifestReadError> {
        self.items(|_| Ok::<_, ManifestReadError>(()))
    }

    /// Reads the manifest from its beginning, item by item; as often as is wanted, and always the same bytes.
    ///
    /// # Errors
    /// [`ManifestReadError`], or what `visit` gave.
    pub fn items<E: From<ManifestReadError>>(
        &self,
        visit: impl FnMut(ManifestItem<'_>) -> Result<(), E>,
    ) -> Result<ManifestHead, E> {
        read_manifest(|| Copied::of(&self.manifest), visit)
    }

    /// Reads every blob and every part, and says what is wrong with them.
    ///
    /// # Errors
    /// [`ManifestReadError`] when there is no telling what should be there.
    pub fn inspect(&self) -> Result<Inspection, ManifestReadError> {
        self.inspect_watched(|_, _| {})
    }

    /// The same, which tells `watch` how many bytes of blobs were read, of how many.
    ///
    /// # Errors
    /// [`ManifestReadError`] when there is no telling what should be there.
    pub fn inspect_watched(&self, mut watch: impl FnMut(u64, u64)) -> Result<Inspection, ManifestReadError> {
        Inspection::of(self, &mut watch)
    }
}

/// Why the manifest was not copied.
enum CopyError {
    Source(io::Error),
    Scratch(io::Error),
    TooLarge,
}

/// Copies the manifest within its bound, and gives its digest.
fn copy(source: File, scratch: &mut File) -> Result<Sha256, CopyError> {
    scratch.set_len(0).and_then(|()| scratch.rewind()).map_err(CopyError::Scratch)?;
    if source.metadata().map_err(CopyError::Source)?.len() > MAX_MANIFEST {
        return Err(CopyError::TooLarge);
    }
    let mut source = Hashing::new(source.take(MAX_MANIFEST + 1));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = source.read(&mut buffer).map_err(CopyError::Source)?;
        if source.bytes > MAX_MANIFEST {
            return Err(CopyError::TooLarge);
        }
        if read == 0 {
            return Ok(source.hasher.finish());
        }
        scratch.write_all(&buffer[..read]).map_err(CopyError::Scratch)?;
    }
}

fn read_signature(root: &BundleFolder) -> Result<Vec<u8>, EntryFault> {
    let mut text = Vec::new();
    let file = root.read(SIGNATURE)?;
    file.take(MAX_SIGNATURE).read_to_end(&mut text).map_err(EntryFault::Io)?;
    Ok(text)
}

/// Reads the manifest's copy without moving where others read it.
struct Copied<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> Copied<'a> {
    fn of(file: &'a File) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Copied<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Copied<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}
