//! What is held here and whether it may still be served: documents, archives, and the one fetch for each.
//!
//! Owns freshness, single-flight, the stored form of documents and the filling of both. Must not know HTTP
//! framing on either side, nor where bytes are kept.

pub mod archives;
pub mod document;
pub mod documents;
pub mod envelope;
pub mod failure;
mod fill;
pub mod flight;
pub mod freshness;
mod ingest;
pub mod inspect;
mod invalidation;
pub mod outcome;
mod settle;

pub use archives::Archives;
pub use document::Document;
pub use documents::{Answer, Documents};
pub use failure::Failure;
pub use outcome::Outcome;
