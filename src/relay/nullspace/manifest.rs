//! What a version's bundle must hold, and what is remembered of it between its creation and its upload.
//!
//! Owns the manifest's form, the bundle digest and the memory of manifests, which may be empty at any time. Must not
//! know how a bundle is packed.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use moka::sync::Cache;
use serde::Deserialize;
use sha2::Digest;

use super::Refused;
use super::route::plainly;
use crate::domain::Sha256;
use crate::relay::token::Owner;

/// Bytes of manifests that are remembered.
const MOST: u64 = 64 << 20;

/// Longest path.
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
    kind: Kind,
    included: bool,
    #[serde(default)]
    size: u64,
    mode: Option<u32>,
    digest: Option<String>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// What no bundle can hold.
    #[serde(other)]
    Special,
}

impl Kind {
    /// The API's word for it, which is part of the bundle digest.
    pub(super) fn as_str(self) -> &'static str {
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
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) size: u64,
    mode: u32,
    /// Empty where the kind has none.
    pub(super) digest: String,
}

impl Entry {
    /// Whether a tar may have `mode` for it: the permissions alone, as the API's client packs them, or all of it.
    pub(super) fn may_have(&self, mode: u32) -> bool {
        let declared = if self.mode == 0 { self.kind.usual_mode() } else { self.mode };
        mode == declared || mode == declared & 0o777
    }

    /// The mode as declared.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }
}

/// What a bundle must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) config_digest: String,
    /// Where it says one.
    pub(super) bundle_digest: Option<String>,
    /// What is included, by its path.
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Manifest {
    /// The manifest in a version's document, a request or an answer; `None` when there is none.
    ///
    /// # Errors
    /// [`Refused::Manifest`] when no bundle can be held against it.
    pub(super) fn of_version(document: &[u8], most: u64) -> Result<Option<Self>, Refused> {
        let Ok(version) = serde_json::from_slice::<VersionDocument>(document) else { return Ok(None) };
        let Some(manifest) = version.bundle_manifest else { return Ok(None) };
        let bundle_digest = manifest.bundle_digest.or(version.bundle_digest);
        let mut entries = BTreeMap::new();
        for entry in manifest.entries.into_iter().filter(|entry| entry.included) {
            let EntryDocument { path, kind, size, mode, digest, .. } = entry;
            let fault =
                fault(&path, kind).or_else(|| (size > 0 && kind != Kind::File).then_some("has a size"));
            if let Some(fault) = fault {
                return Err(Refused::Manifest(format!("`{}` {fault}", excerpt(&path))));
            }
            let entry = Entry { kind, size, mode: mode.unwrap_or(0), digest: digest.unwrap_or_default() };
            if entries.insert(path.clone(), entry).is_some() {
                return Err(Refused::Manifest(format!("`{}` occurs more than once", excerpt(&path))));
            }
            if entries.len() as u64 > most {
                return Err(Refused::Manifest(format!("it has more than {most} entries")));
            }
        }
        if let Some(path) = entries.keys().find(|path| below_a_file(path, &entries)) {
            let fault = "lies below what is no directory";
            return Err(Refused::Manifest(format!("`{}` {fault}", excerpt(path))));
        }
        Ok(Some(Self { config_digest: manifest.config_digest, bundle_digest, entries }))
    }

    /// About what it takes in memory.
    fn weight(&self) -> u64 {
        let entry = |(path, entry): (&String, &Entry)| {
            path.len() + entry.digest.len() + size_of::<(String, Entry)>() + 2 * size_of::<usize>()
        };
        self.entries.iter().map(entry).sum::<usize>() as u64 + 1024
    }
}

/// Why no bundle may have an entry at `path`.
fn fault(path: &str, kind: Kind) -> Option<&'static str> {
    if kind == Kind::Special {
        return Some("is neither a file nor a directory nor a symbolic link");
    }
    if path.is_empty() || path.len() > MAX_PATH || path.contains('\0') {
        return Some("is empty, too long or has a NUL");
    }
    let away = path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    away.then_some("is not a path below the project")
}

fn below_a_file(path: &str, entries: &BTreeMap<String, Entry>) -> bool {
    let mut parents = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    parents.any(|parent| entries.get(parent).is_some_and(|entry| entry.kind != Kind::Dir))
}

/// The start of a client's text, for one line of a message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}

/// The digest of a bundle.
pub(super) struct BundleHasher(sha2::Sha256);

impl BundleHasher {
    /// That of a bundle for the configuration with this digest.
    pub(super) fn new(config_digest: &str) -> Self {
        let mut hasher = sha2::Sha256::new();
        hasher.update(b"config:");
        hasher.update(config_digest);
        hasher.update(b"\n");
        Self(hasher)
    }

    /// Adds an entry; they come in the order of their paths.
    pub(super) fn add(&mut self, path: &str, kind: Kind, mode: u32, size: u64, digest: &str) {
        let (mode, size) = (mode.to_string(), size.to_string());
        for (place, field) in [path, kind.as_str(), &mode, &size, digest].into_iter().enumerate() {
            if place > 0 {
                self.0.update(b"\0");
            }
            self.0.update(field);
        }
        self.0.update(b"\n");
    }

    /// The digest of what was added.
    pub(super) fn finish(self) -> Sha256 {
        Sha256::new(self.0.finalize().into())
    }
}

/// A version: its deployment's name and its own.
type Version = (String, String);

/// The manifests of versions that were created through here, for those who created them.
#[derive(Debug)]
pub(super) struct Manifests(Cache<Version, (Owner, Arc<Manifest>)>);

impl Manifests {
    /// None yet.
    pub(super) fn new() -> Self {
        let weigh = |(deployment, version): &Version, held: &(Owner, Arc<Manifest>)| {
            let names = (deployment.len() + version.len()) as u64;
            u32::try_from(held.1.weight() + names).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }

    /// Remembers what `owner` asked to create, whose answer names the version.
    pub(super) fn remember(&self, deployment: &str, answer: &[u8], owner: Owner, manifest: Arc<Manifest>) {
        let id = serde_json::from_slice::<VersionDocument>(answer).ok().and_then(|version| version.id);
        if let Some(id) = id {
            self.0.insert((plainly(deployment).into_owned(), id), (owner, manifest));
        }
    }

    /// What `owner` created.
    pub(super) fn of(&self, deployment: &str, version: &str, owner: &Owner) -> Option<Arc<Manifest>> {
        let held = self.0.get(&(plainly(deployment).into_owned(), plainly(version).into_owned()))?;
        held.0.is(owner).then_some(held.1)
    }
}
