//! Archives: is this `.tar.gz` the release it claims to be, and harmless to unpack?
//!
//! Owns the archive profile, the canonical framing, the tree digest and the manifest checks. Bytes flow one way, never
//! held whole:
//!
//! ```text
//! gzip (bytes, budget) → entries (tar framing) → profile (what may be in it) → hashing (the tree) ┐
//!                                                └────────────── manifest (who it says it is) ────┴→ verify
//! ```
//!
//! What is framed in a way that not every extractor reads alike (`framing`) is packed anew (`pack`).
//!
//! Must not know where archives come from, how they are stored, or what a client is told about a refusal.

mod entries;
mod error;
mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
mod framing;
mod gzip;
mod hashing;
mod header;
mod manifest;
mod names;
mod pack;
mod pax;
mod profile;
mod spill;
mod tree;
mod verify;

pub use error::{ArchiveError, Excess};
pub use excerpt::Excerpt;
pub use framing::{Departure, Framing};
pub use manifest::{ManifestError, Permission};
pub use names::PathFault;
pub use pack::{RECIPE, pack};
pub use profile::Violation;
pub use spill::Scratch;
pub use tree::TreeHasher;
pub use verify::{Examined, Expected, Limits, examine, verify};
