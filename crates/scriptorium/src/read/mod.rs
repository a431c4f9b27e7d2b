//! Documents: what a registry answered, and whether it may be served now.
//!
//! ```text
//!  documents ─ get ──> judge ── held, as decision says ──────> shelf: memory over the store
//!                        └──── ask, then settle ─> asker ────> a registry, once for all requests that wait
//! ```
//! Owns freshness, the stored form of documents, and holding answers against each other before one is given. Must not know
//! HTTP framing on either side, files, nor where bytes are kept.

mod answer;
mod asker;
mod blocks;
mod compositions;
pub(crate) mod content;
pub(crate) mod decision;
mod definite;
pub(crate) mod directives;
pub(crate) mod document;
pub(crate) mod documents;
pub(crate) mod envelope;
mod environment;
pub(crate) mod failure;
pub(crate) mod freshness;
mod governing;
mod hearing;
pub(crate) mod inspect;
mod invalidations;
mod judge;
pub(crate) mod keeping;
mod listing;
mod long_reads;
#[cfg(test)]
mod model;
pub(crate) mod outcome;
pub(crate) mod place;
mod reading;
pub(crate) mod rendition;
mod renewal;
mod restrictions;
mod several;
mod shelf;
mod shown;
mod sightings;
mod standing;
mod stock;
pub(crate) mod trial;
mod turn;
mod unkept;
mod waits;

pub(crate) use crate::upstream::{BackgroundWork, FetchContext};
pub(crate) use answer::CachedAnswer;
pub(crate) use document::Document;
pub(crate) use documents::Documents;
pub(crate) use failure::ReadFailure;
pub(crate) use long_reads::{LongRead, LongReadRefusal};
pub(crate) use outcome::Outcome;
pub(crate) use turn::LifecycleTurn;
