//! Archives of Agent Volumes: is this `.tar.gz` the release it claims to be, and harmless to unpack?
//!
//! Owns the archive profile, the canonical framing, the tar reader, the canonical writer, the tree digest, the manifest
//! checks, and the words for a release: names, patterns of names, versions, lifecycle states. Bytes flow one way and are never held whole:
//!
//! ```text
//! gzip (bytes, budget) → reader (tar framing) → profile (what may be in it) → hashing (the tree) ┐
//!                                               └────────────── manifest (who it says it is) ────┴→ verify
//! ```
//!
//! An archive that not every extractor reads alike (`framing`) is packed anew ([`pack()`]).
//!
//! ```
//! use archive::{ArchiveLimits, ExpectedRelease, Scratch, TreeFile, pack_files, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manifest = TreeFile {
//!     path: "volume.toml",
//!     executable: false,
//!     content: b"[volume]\nname = \"lamp\"\nversion = \"1.0.0\"\n",
//! };
//! let (packed, integrity) = pack_files(&[manifest])?;
//!
//! let (name, version) = ("lamp".parse()?, "1.0.0".parse()?);
//! let expected = ExpectedRelease { name: &name, version: &version, integrity: Some(&integrity) };
//! let limits = ArchiveLimits { max_unpacked: 1 << 20, max_entries: 100 };
//! let scratch = || Ok(Box::new(tempfile::tempfile()?) as Box<dyn Scratch>);
//! let verified = verify(&packed[..], || Ok(&packed[..]), scratch, &expected, &limits)?;
//! assert_eq!(verified.examined.integrity, integrity);
//! # Ok(())
//! # }
//! ```
//!
//! Must not know where archives come from, how they are stored, or what a client is told about a refusal.

mod digest;
mod error;
mod excerpt;
#[cfg(test)]
mod fixture;
mod framing;
mod gzip;
mod hashing;
mod header;
mod lifecycle;
mod manifest;
mod name;
mod pack;
mod paths;
mod pattern;
mod pax;
mod profile;
mod purl;
mod reader;
mod spill;
mod text;
mod tree;
mod verify;
mod version;
mod violation;

pub use digest::{Integrity, InvalidDigest, Sha256};
pub use error::{ArchiveError, Excess, ManifestError, Permission};
pub use excerpt::Excerpt;
pub use framing::{Framing, FramingDeparture};
pub use lifecycle::LifecycleState;
pub use manifest::{AccessLevel, DeclaredPermissions, ManifestFacts, ShellAccess};
pub use name::{InvalidName, VolumeName};
pub use pack::{RECIPE, TreeFile, TreePacker, pack, pack_files};
pub use pattern::{InvalidPattern, VolumePattern};
pub use purl::{InvalidPurl, Purl};
pub use reader::{EntryKind, TarEntry, TarReader};
pub use spill::Scratch;
pub use tree::TreeHasher;
pub use verify::{
    ArchiveLimits, Examined, ExpectedRelease, VerifiedArchive, examine, manifest_facts, verify,
};
pub use version::{InvalidVersion, Version};
pub use violation::{PathFault, Violation};
