//! Blobs as files: `blobs/sha256/<hex>`.
//!
//! Owns that a file has its name only once all of it was written and its digest is right. Must not know the manifest.

use std::io::{self, Read, Write};

use archive::Sha256;

use super::{Copying, ExportError};
use crate::folder::{BundleFolder, EntryFault};
use crate::layout::{BLOBS, PARTIAL};

/// Blobs of so many bytes are on their way to the medium while the next ones are written.
const FLUSHED_AT_ONCE: u64 = 1 << 20;

/// The folder of the blobs.
pub(super) struct BlobFolder(BundleFolder);

impl BlobFolder {
    pub(super) fn make(root: &BundleFolder) -> io::Result<Self> {
        let [above, below] = BLOBS;
        root.made(above)?.made(below).map(Self)
    }

    /// Whether an earlier run wrote this blob, which is read to find out.
    pub(super) fn has(&self, digest: &Sha256, size: u64, copying: &mut Copying) -> io::Result<bool> {
        let mut file = match self.0.read(&digest.hex()) {
            Ok(file) => file,
            // A rename replaces whatever it is.
            Err(EntryFault::Missing | EntryFault::Special) => return Ok(false),
            Err(EntryFault::Io(error)) => return Err(error),
        };
        if file.metadata()?.len() != size {
            return Ok(false);
        }
        Ok(copying.copy(&mut file, (digest, size), |_| Ok(())).is_ok())
    }

    pub(super) fn write(
        &self,
        root: &BundleFolder,
        digest: &Sha256,
        size: u64,
        source: &mut impl Read,
        copying: &mut Copying,
    ) -> Result<(), ExportError> {
        let io = ExportError::at(&self.0, &digest.hex());
        let mut file = root.create(PARTIAL).map_err(&io)?;
        let copied = copying.copy(source, (digest, size), |bytes| file.write_all(bytes));
        if size >= FLUSHED_AT_ONCE {
            BundleFolder::begin_flush(&file);
        }
        match copied {
            Ok(()) => root.rename(PARTIAL, &self.0, &digest.hex()).map_err(&io),
            Err(failure) => {
                // The error told is that of the copy; the next blob takes the name anyway.
                let _ = root.remove(PARTIAL);
                Err(failure.told(digest, io))
            }
        }
    }

    /// Removes blobs of an earlier bundle.
    pub(super) fn remove_others(&self, is_listed: impl Fn(&Sha256) -> bool) -> io::Result<()> {
        let is_other = |name: &str| Sha256::from_hex(name).is_ok_and(|digest| !is_listed(&digest));
        for name in self.0.names(is_other)? {
            self.0.remove(&name)?;
        }
        Ok(())
    }
}

/// The folder of the blobs and the one above it, where there are any.
fn existing(root: &BundleFolder) -> io::Result<Option<(BundleFolder, BundleFolder)>> {
    let [above, below] = BLOBS;
    let found = root.folder(above).and_then(|above| above.folder(below).map(|below| (above, below)));
    match found {
        Ok(found) => Ok(Some(found)),
        Err(EntryFault::Missing | EntryFault::Special) => Ok(None),
        Err(EntryFault::Io(error)) => Err(error),
    }
}

/// Removes all blobs of an earlier bundle, and their folders unless something else is in them.
pub(super) fn remove_all(root: &BundleFolder) -> io::Result<()> {
    let Some((outer, inner)) = existing(root)? else { return Ok(()) };
    BlobFolder(inner).remove_others(|_| false)?;
    outer.remove_empty(BLOBS[1]);
    root.remove_empty(BLOBS[0]);
    Ok(())
}
