//! The manifest of a version, which lists the entries of its bundle.
//!
//! Owns the manifest's form and the bundle digest. Must not know how a bundle is packed.

use std::collections::BTreeMap;
use std::mem::size_of;

use archive::{EntryKind, Excerpt, Sha256};
use serde::Deserialize;
use sha2::Digest;

use super::NullspaceRefusal;

/// The longest path, in bytes.
const MAX_PATH: usize = 4096;

/// A version, in the answers and requests of the API.
#[derive(Deserialize)]
struct VersionDocument {
    id: Option<String>,
    bundle_digest: Option<String>,
    bundle_manifest: Option<ManifestDocument>,
}

#[derive(Deserialize)]
struct ManifestDocument {
    config_digest: String,
    bundle_digest: Option<String>,
    entries: Vec<EntryDocument>,
}

#[derive(Deserialize)]
struct EntryDocument {
    path: String,
    kind: BundleKind,
    included: bool,
    #[serde(default)]
    size: u64,
    mode: Option<u32>,
    digest: Option<String>,
}

/// The kind of a manifest's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BundleKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A kind that no bundle can have.
    #[serde(other)]
    Special,
}

impl From<&EntryKind> for BundleKind {
    fn from(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::File => Self::File,
            EntryKind::Directory => Self::Dir,
            EntryKind::Symlink { .. } => Self::Symlink,
        }
    }
}

impl BundleKind {
    /// The API's word for it, which is part of the bundle digest.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Special => "special",
        }
    }

    /// The mode that the API's client gives an entry whose manifest has none.
    fn usual_mode(self) -> u32 {
        match self {
            Self::File | Self::Special => 0o644,
            Self::Dir => 0o755,
            Self::Symlink => 0o777,
        }
    }
}

/// An entry that the bundle must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BundleEntry {
    pub(crate) kind: BundleKind,
    pub(crate) size: u64,
    /// As declared; 0 if it is not declared.
    pub(crate) mode: u32,
    /// Empty if the kind has none.
    pub(crate) digest: String,
}

impl BundleEntry {
    /// Whether its tar header may have `mode`: all declared bits, or the permissions alone, as the API's client packs them.
    pub(crate) fn may_have(&self, mode: u32) -> bool {
        let declared = if self.mode == 0 { self.kind.usual_mode() } else { self.mode };
        mode == declared || mode == declared & 0o777
    }
}

/// The entries that a bundle must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleManifest {
    pub(crate) config_digest: String,
    /// The bundle digest, if the manifest declares one.
    pub(crate) bundle_digest: Option<String>,
    /// The included entries, by path.
    pub(crate) entries: BTreeMap<String, BundleEntry>,
}

impl BundleManifest {
    /// The manifest in a version's document, a request or an answer. `None` if the document has none. A manifest may have at
    /// most `most` entries.
    ///
    /// # Errors
    /// [`NullspaceRefusal::Manifest`] if no bundle can be checked against it.
    pub fn of_version(document: &[u8], most: u64) -> Result<Option<Self>, NullspaceRefusal> {
        let Ok(version) = serde_json::from_slice::<VersionDocument>(document) else { return Ok(None) };
        let Some(manifest) = version.bundle_manifest else { return Ok(None) };
        let bundle_digest = manifest.bundle_digest.or(version.bundle_digest);
        let mut entries = BTreeMap::new();
        for entry in manifest.entries.into_iter().filter(|entry| entry.included) {
            let EntryDocument { path, kind, size, mode, digest, .. } = entry;
            let fault =
                fault(&path, kind).or_else(|| (size > 0 && kind != BundleKind::File).then_some("has a size"));
            if let Some(fault) = fault {
                return Err(invalid(&path, fault));
            }
            let entry =
                BundleEntry { kind, size, mode: mode.unwrap_or(0), digest: digest.unwrap_or_default() };
            if entries.insert(path.clone(), entry).is_some() {
                return Err(invalid(&path, "occurs more than once"));
            }
            if entries.len() as u64 > most {
                return Err(NullspaceRefusal::Manifest(format!("it has more than {most} entries")));
            }
        }
        if let Some(path) = entries.keys().find(|path| below_a_file(path, &entries)) {
            return Err(invalid(path, "lies below what is no directory"));
        }
        Ok(Some(Self { config_digest: manifest.config_digest, bundle_digest, entries }))
    }

    /// The bundle digest: the digest of the configuration's digest and of all entries.
    pub(crate) fn digest(&self) -> Sha256 {
        let mut hasher = sha2::Sha256::new();
        hasher.update(format!("config:{}\n", self.config_digest));
        for (path, BundleEntry { kind, size, mode, digest }) in &self.entries {
            hasher.update(format!("{path}\0{}\0{mode}\0{size}\0{digest}\n", kind.as_str()));
        }
        Sha256::new(hasher.finalize().into())
    }

    /// About how many bytes the manifest takes in memory.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let entry = |(path, entry): (&String, &BundleEntry)| {
            path.len() + entry.digest.len() + size_of::<(String, BundleEntry)>() + 2 * size_of::<usize>()
        };
        self.entries.iter().map(entry).sum::<usize>() as u64 + 1024
    }
}

fn invalid(path: &str, fault: &str) -> NullspaceRefusal {
    NullspaceRefusal::Manifest(format!("`{}` {fault}", Excerpt::from(path)))
}

/// Why no bundle may have an entry at `path`.
fn fault(path: &str, kind: BundleKind) -> Option<&'static str> {
    if kind == BundleKind::Special {
        return Some("is neither a file nor a directory nor a symbolic link");
    }
    if path.is_empty() || path.len() > MAX_PATH || path.contains('\0') {
        return Some("is empty, too long or has a NUL");
    }
    let away = path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    away.then_some("is not a path below the project")
}

fn below_a_file(path: &str, entries: &BTreeMap<String, BundleEntry>) -> bool {
    let mut parents = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    parents.any(|parent| entries.get(parent).is_some_and(|entry| entry.kind != BundleKind::Dir))
}

/// The version's id in a registry's answer to its creation.
#[must_use]
pub fn version_id(answer: &[u8]) -> Option<String> {
    serde_json::from_slice::<VersionDocument>(answer).ok().and_then(|version| version.id)
}
