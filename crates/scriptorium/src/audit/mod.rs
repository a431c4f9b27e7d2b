//! Checks again what is stored, and what registries say of pinned releases.
//!
//! `walk` checks a whole store, slowly (`pace`) when `pass` does so in a running proxy; `pins` asks the registries; `releases`
//! lists what a store holds.
//! Owns what is compared with what, and what an operator is told to do about a difference. Must not know how findings
//! are shown.

mod archive;
mod document;
pub(crate) mod finding;
mod framing;
pub(crate) mod pace;
pub(crate) mod pass;
pub(crate) mod pins;
pub(crate) mod releases;
pub(crate) mod walk;

pub(crate) use finding::AuditReport;
pub(crate) use pace::ReadRate;
pub(crate) use walk::{AuditOptions, walk};

#[cfg(test)]
mod tests;
