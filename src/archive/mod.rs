//! Archives: is this `.tar.gz` the release it claims to be, and harmless to unpack?
//!
//! Owns the archive profile, the tree digest and the manifest checks. Bytes flow one way, never held whole:
//!
//! ```text
//! gzip (bytes, budget) → entries (tar framing) → profile (what may be in it) → hashing (the tree) ┐
//!                                                └────────────── manifest (who it says it is) ────┴→ verify
//! ```
//!
//! Must not know where archives come from, how they are stored, or what a client is told about a refusal.

mod entries;
mod error;
mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
mod gzip;
mod hashing;
mod manifest;
mod pax;
mod profile;
mod spill;
mod tree;
mod verify;

pub use error::{ArchiveError, Excess};
pub use excerpt::Excerpt;
pub use manifest::{ManifestError, Permission};
pub use profile::{PathFault, Violation};
pub use spill::Scratch;
pub use tree::TreeHasher;
pub use verify::{Expected, Limits, Verified, verify};
