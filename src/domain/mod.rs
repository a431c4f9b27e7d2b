//! What Agent Volumes are, as types that cannot hold a bad value.
//!
//! Owns names, versions, identities, lifecycle, the documents and their links. Must not know I/O, time,
//! HTTP servers, storage or configuration: everything here is a pure function of its input.

pub mod advisories;
pub mod change;
pub mod check;
pub mod digest;
pub mod document;
pub mod further;
pub mod lifecycle;
pub mod link;
pub mod name;
pub mod pattern;
pub mod percent;
pub mod problem;
pub mod purl;
pub mod range;
pub mod registry;
pub mod search;
pub mod several;
mod text;
pub mod version;

pub use advisories::AdvisoryQuery;
pub use change::{Change, UploadId};
pub use check::{Dist, Facts, Release, Row, Rows, Trust};
pub use digest::{Integrity, Sha256};
pub use document::{AdvisoryId, DocumentKey, General, Resource};
pub use link::Template;
pub use name::VolumeName;
pub use pattern::VolumePattern;
pub use problem::Problem;
pub use purl::Purl;
pub use range::VersionRange;
pub use registry::Registry;
pub use search::SearchQuery;
pub use version::Version;
