//! What is held here and whether it may still be served: documents, sealed files, and the one fetch for each.
//!
//! Owns freshness, single-flight, the stored form of documents and the filling of both. Must not know HTTP
//! framing on either side, nor where bytes are kept.

mod advertised;
mod answer;
mod archives;
mod definite;
pub mod directives;
pub mod document;
pub mod documents;
pub mod envelope;
pub mod failure;
#[cfg(test)]
mod faults;
mod fill;
pub mod flight;
pub mod freshness;
mod heal;
mod held;
mod ingest;
pub mod inspect;
mod invalidation;
pub mod keeping;
#[cfg(test)]
mod model;
pub mod outcome;
mod parsing;
mod pieces;
pub mod place;
mod readings;
mod refused;
mod relocate;
pub mod rendition;
mod sealed_file;
pub mod sealed_files;
mod seed;
mod settle;
mod several;
mod shown;
mod trust_artifacts;
mod turns;
mod waits;
mod wanted;
mod withheld;

pub use crate::upstream::Errand;
pub use document::Document;
pub use documents::{Answer, Documents};
pub use failure::Failure;
pub use ingest::{Bounds, verify_arriving};
pub use outcome::Outcome;
pub use readings::{Full, Reading};
pub use sealed_files::SealedFiles;
