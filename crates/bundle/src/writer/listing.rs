//! The manifest of a bundle that is being written, and its end.
//!
//! Owns that every blob is listed and everything listed is there, and the steps that make a bundle of it: everything onto the
//! medium, the manifest's name, the signature. Must not know how blobs are laid out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use archive::Sha256;

use super::{BlobSink, BundleExport, ExportError, WrittenBlob};
use crate::folder::BundleFolder;
use crate::hashing::Hasher;
use crate::keys::SigningKey;
use crate::layout::{BLOBS, MANIFEST, PARTIAL, SIGNATURE, UNFINISHED};
use crate::manifest::{
    BundlePart, Coverage, ListedItem, ManifestHead, ManifestItem, ManifestWriter, UnorderedItem,
};
use crate::signature::SignatureHasher;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedBundle {
    /// The digest of the manifest's bytes.
    pub manifest: Sha256,
    /// How many blobs there are.
    pub blobs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many tar files they are in; 0 where they are files themselves.
    pub parts: usize,
}

/// A bundle whose manifest is being written. Give every item, list after list; then [`BundleListing::finish`].
pub struct BundleListing<'k> {
    root: BundleFolder,
    written: HashMap<Sha256, WrittenBlob>,
    parts: Vec<BundlePart>,
    head: ManifestHead,
    key: &'k SigningKey,
    manifest: ManifestWriter<BufWriter<HashedManifest>>,
}

/// A manifest's file, and the hashes that name and sign it.
struct HashedManifest {
    file: File,
    hasher: Hasher,
    signature: SignatureHasher,
}

impl Write for HashedManifest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.signature.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'k> BundleListing<'k> {
    pub(super) fn begin(
        export: BundleExport,
        head: ManifestHead,
        key: &'k SigningKey,
    ) -> Result<Self, ExportError> {
        let BundleExport { root, sink, written, .. } = export;
        let parts = match sink {
            BlobSink::Folder(folder) => {
                let others = folder.remove_others(|digest| written.contains_key(digest));
                others.map_err(ExportError::at(&root, BLOBS[0]))?;
                Vec::new()
            }
            BlobSink::Parts(parts) => parts.finish(&root)?,
        };
        let io = ExportError::at(&root, MANIFEST);
        let file = root.create(PARTIAL).map_err(&io)?;
        let hashed =
            HashedManifest { file, hasher: Hasher::default(), signature: SignatureHasher::default() };
        let manifest = ManifestWriter::new(BufWriter::new(hashed), &head).map_err(io)?;
        Ok(Self { root, written, parts, head, key, manifest })
    }

    /// Lists an item. Lists come in the order of [`ManifestSection`](crate::ManifestSection), and their items in that of
    /// [`ListedItem::precedes`]. Parts are listed without being told.
    ///
    /// # Errors
    /// [`ExportError`]
    pub fn item<T: ListedItem>(&mut self, item: &T) -> Result<(), ExportError> {
        match item.as_item() {
            ManifestItem::File(_) if self.head.kind == Coverage::Lifecycle => {
                return Err(ExportError::LifecycleFile);
            }
            ManifestItem::Document(document) => self.mark(document.sha256, document.size)?,
            ManifestItem::File(file) => self.mark(file.sha256, file.size)?,
            ManifestItem::Part(_) => {
                return Err(ExportError::Item(UnorderedItem::Order(T::SECTION)));
            }
            ManifestItem::Pin(_) | ManifestItem::Gap(_) => {}
        }
        self.write(item)
    }

    fn write<T: ListedItem>(&mut self, item: &T) -> Result<(), ExportError> {
        let io = ExportError::at(&self.root, MANIFEST);
        self.manifest.item(item).map_err(|error| match error {
            UnorderedItem::Io(error) => io(error),
            other => ExportError::Item(other),
        })
    }

    fn mark(&mut self, digest: Sha256, size: u64) -> Result<(), ExportError> {
        let blob = self.written.get_mut(&digest).filter(|blob| blob.size == size);
        blob.ok_or(ExportError::NoBlob(digest))?.is_listed = true;
        Ok(())
    }

    /// Ends the manifest, waits until all is on the medium, and signs.
    ///
    /// # Errors
    /// [`ExportError`]; then there is no signature.
    pub fn finish(mut self) -> Result<FinishedBundle, ExportError> {
        let is_unlisted = |(_, blob): &(&Sha256, &WrittenBlob)| !blob.is_listed;
        if let Some((digest, _)) = self.written.iter().find(is_unlisted) {
            return Err(ExportError::Unlisted(*digest));
        }
        let parts = std::mem::take(&mut self.parts);
        parts.iter().try_for_each(|part| self.write(part))?;
        let Self { root, written, head, key, manifest, .. } = self;
        let io = ExportError::at(&root, MANIFEST);
        let hashed = manifest.finish().and_then(|out| out.into_inner().map_err(io::Error::from));
        let HashedManifest { file, hasher, signature } = hashed.map_err(&io)?;
        drop(file);
        root.sync_all().map_err(&io)?;
        root.rename(PARTIAL, &root, MANIFEST).and_then(|()| root.sync()).map_err(io)?;
        let io = ExportError::at(&root, SIGNATURE);
        let mut file = root.create(PARTIAL).map_err(&io)?;
        let text = signature.sign(key, head.created);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(&io)?;
        root.rename(PARTIAL, &root, SIGNATURE).and_then(|()| root.remove(UNFINISHED)).map_err(&io)?;
        root.sync().map_err(io)?;
        let sizes = written.values().map(|blob| blob.size);
        Ok(FinishedBundle {
            manifest: hasher.finish(),
            blobs: written.len(),
            bytes: sizes.fold(0, u64::saturating_add),
            parts: parts.len(),
        })
    }
}
