//! A bundle, compared with its version's manifest while it arrives.
//!
//! Owns the comparison of each entry and of the whole. Must not know where the manifest comes from, nor where the bundle
//! goes.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use archive::{ArchiveError, EntryKind, Excerpt, Sha256, TarEntry, TarReader};
use sha2::Digest;

use super::NullspaceRefusal;
use super::manifest::{BundleEntry, BundleKind, BundleManifest};

/// Why a bundle was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bundle is at fault.
    #[error(transparent)]
    Refused(#[from] NullspaceRefusal),
    /// The bytes stopped arriving.
    #[error("the bundle's bytes stopped arriving")]
    Source(#[source] io::Error),
}

impl From<ArchiveError> for BundleError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Source(error) => Self::Source(error),
            ArchiveError::Profile(violation) => NullspaceRefusal::Tar(violation.to_string()).into(),
            other => NullspaceRefusal::Tar(other.to_string()).into(),
        }
    }
}

/// What the bundle of a version must be.
#[derive(Debug)]
pub struct BundleDescription {
    manifest: Arc<BundleManifest>,
    /// The bundle digest that the sender declares.
    declared: String,
}

impl BundleDescription {
    /// A bundle with the entries of `manifest` and the digest that its sender `declared`.
    #[must_use]
    pub fn new(manifest: Arc<BundleManifest>, declared: String) -> Self {
        Self { manifest, declared }
    }

    /// Reads a tar to its end. Returns its bundle digest, if its entries are those of the manifest.
    ///
    /// # Errors
    /// [`BundleError`] names the first difference.
    pub fn read(&self, tar: impl Read) -> Result<Sha256, BundleError> {
        let BundleManifest { entries, bundle_digest, .. } = &*self.manifest;
        let (mut tar, mut seen) = (TarReader::forwarded(tar), BTreeSet::new());
        while let Some(entry) = tar.next_entry()? {
            let differs = |what: String| mismatch(format!("`{}` {what}", Excerpt::from(&*entry.path)));
            let Some((path, expected)) = entries.get_key_value(&entry.path) else {
                return Err(differs("is not in it".to_owned()));
            };
            compare_header(&entry, expected).map_err(differs)?;
            let digest = digest(&entry, &mut tar)?;
            if digest != expected.digest {
                let expected = Excerpt::from(&*expected.digest);
                return Err(differs(format!("has the digest `{digest}`, expected `{expected}`")));
            }
            if !seen.insert(path) {
                return Err(differs("comes twice".to_owned()));
            }
        }
        if let Some(missing) = entries.keys().find(|path| !seen.contains(path)) {
            return Err(mismatch(format!("`{}` is missing", Excerpt::from(&**missing))));
        }
        let found = self.manifest.digest();
        match bundle_digest {
            Some(expected) if *expected != found.hex() => {
                let (expected, found) = (Excerpt::from(&**expected), found.hex());
                Err(mismatch(format!("the digest over its entries is {found}, expected `{expected}`")))
            }
            _ => Ok(found),
        }
    }

    /// Compares the digest of the received bundle with the digest that its sender declared.
    ///
    /// # Errors
    /// [`NullspaceRefusal::Bundle`] if they differ.
    pub fn check(&self, found: &Sha256) -> Result<(), NullspaceRefusal> {
        let found = found.hex();
        if found == self.declared {
            return Ok(());
        }
        let declared = Excerpt::from(&*self.declared);
        let difference =
            format!("X-Nullspace-Bundle-Digest is `{declared}`, and what came has the digest {found}");
        Err(NullspaceRefusal::Bundle(difference))
    }
}

fn mismatch(what: String) -> BundleError {
    NullspaceRefusal::Bundle(what).into()
}

/// Compares the header of `entry` with its manifest.
fn compare_header(entry: &TarEntry, expected: &BundleEntry) -> Result<(), String> {
    let kind = BundleKind::from(&entry.kind);
    if kind != expected.kind {
        return Err(format!("is a {}, expected a {}", kind.as_str(), expected.kind.as_str()));
    }
    if entry.size != expected.size {
        return Err(format!("has {} bytes, expected {}", entry.size, expected.size));
    }
    if !expected.may_have(entry.mode) {
        return Err(format!("has the mode {:o}, expected {:o}", entry.mode, expected.mode));
    }
    Ok(())
}

/// The digest of a file's bytes or of a link's target. A directory has none.
fn digest<R: Read>(entry: &TarEntry, tar: &mut TarReader<R>) -> Result<String, ArchiveError> {
    match &entry.kind {
        EntryKind::Symlink { target } => Ok(Sha256::of(target.as_bytes()).hex()),
        EntryKind::File => {
            let mut hasher = sha2::Sha256::new();
            while let Some(bytes) = tar.content()? {
                hasher.update(bytes);
            }
            Ok(Sha256::new(hasher.finalize().into()).hex())
        }
        EntryKind::Directory => Ok(String::new()),
    }
}
