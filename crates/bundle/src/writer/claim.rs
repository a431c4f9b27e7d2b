//! Taking a folder over for a new bundle.
//!
//! Owns which folder is taken: an empty one, or one that an earlier export wrote into, from which that alone is removed. Must not
//! know what is written next.

use std::io::Read;

use super::{ExportError, parts};
use crate::folder::{BundleFolder, EntryFault};
use crate::layout::{MANIFEST, PARTIAL, SIGNATURE, UNFINISHED};

/// How every manifest begins, of whichever version.
const BEGINNING: &[u8] = b"{\"format\":\"scriptorium-bundle/";

/// Marks the folder, and takes from an earlier bundle its signature, its manifest and its parts. Its blobs can be of use.
pub(super) fn claim(root: &BundleFolder) -> Result<(), ExportError> {
    let io = ExportError::at(root, UNFINISHED);
    let is_marked = !matches!(root.read(UNFINISHED), Err(EntryFault::Missing));
    if !is_marked && !has_manifest(root)? {
        expect_empty(root)?;
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

fn expect_empty(root: &BundleFolder) -> Result<(), ExportError> {
    match root.first_entry().map_err(ExportError::at(root, MANIFEST))? {
        None => Ok(()),
        Some(name) => Err(ExportError::Occupied { path: root.path_of(&name) }),
    }
}
