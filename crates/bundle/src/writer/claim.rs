//! Taking a folder over for a new bundle.
//!
//! Owns what may be removed from a folder that is not empty: what an earlier export wrote, and nothing in a folder where there was
//! none. Must not know what is written next.

use std::io::Read;

use archive::Sha256;

use super::{ExportError, blobs, parts};
use crate::folder::{BundleFolder, EntryFault};
use crate::layout::{BLOBS, MANIFEST, PARTIAL, SIGNATURE, UNFINISHED, is_part};

/// How every manifest begins, of whichever version.
const BEGINNING: &[u8] = b"{\"format\":\"scriptorium-bundle/";

/// Marks the folder, and takes from an earlier bundle its signature, its manifest and its parts. Its blobs can be of use.
pub(super) fn claim(root: &BundleFolder) -> Result<(), ExportError> {
    let io = ExportError::at(root, UNFINISHED);
    let is_marked = !matches!(root.read(UNFINISHED), Err(EntryFault::Missing));
    if !is_marked && !has_manifest(root)? {
        expect_unused(root)?;
    }
    root.create(UNFINISHED).map_err(&io)?;
    // Without its signature what is there is no bundle any more, before anything of it changes.
    root.remove(SIGNATURE).and_then(|()| root.sync()).map_err(&io)?;
    root.remove(MANIFEST).and_then(|()| root.remove(PARTIAL)).map_err(&io)?;
    parts::remove_all(root).map_err(io)
}

/// Whether the folder has a manifest. One of something else than a bundle is an error.
fn has_manifest(root: &BundleFolder) -> Result<bool, ExportError> {
    let file = match root.read(MANIFEST) {
        Ok(file) => file,
        // A link is replaced, and what it leads to is not touched.
        Err(EntryFault::Missing | EntryFault::Special) => return Ok(false),
        Err(EntryFault::Io(error)) => return Err(ExportError::at(root, MANIFEST)(error)),
    };
    let mut beginning = Vec::new();
    let read = file.take(BEGINNING.len() as u64).read_to_end(&mut beginning);
    read.map_err(ExportError::at(root, MANIFEST))?;
    if beginning == BEGINNING {
        Ok(true)
    } else {
        Err(ExportError::Occupied { path: root.path_of(MANIFEST) })
    }
}

fn expect_unused(root: &BundleFolder) -> Result<(), ExportError> {
    let parts = root.names(is_part).map_err(ExportError::at(root, MANIFEST))?;
    if let Some(part) = parts.first() {
        return Err(ExportError::Occupied { path: root.path_of(part) });
    }
    let blobs = blobs::names(root, |name| Sha256::from_hex(name).is_ok());
    match blobs.map_err(ExportError::at(root, BLOBS[0]))?.first() {
        None => Ok(()),
        Some(_) => Err(ExportError::Occupied { path: root.path_of(BLOBS[0]) }),
    }
}
