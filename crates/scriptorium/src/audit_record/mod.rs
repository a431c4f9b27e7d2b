//! The audit record: one line for each write, refusal by policy, import, reload and action of an operator, each chained to
//! the line before.
//!
//! ```text
//! pipeline, admin, reload, policy ─ AuditEntry ─> record (a bounded queue) ─> writer (one thread) ─> file ─> chain
//! commands beside the proxy ───────────────────────────────────────────────────────────────────────> file ─> chain
//! ```
//! Owns the form of a line, the chain, and what happens when a line cannot be written. Must not know what is recorded, nor
//! decide anything by it. No token and no credential is ever part of an entry.

mod chain;
mod entry;
mod file;
mod record;
mod verify;
mod writer;

pub(crate) use entry::{Actor, AuditAction, AuditEntry};
pub(crate) use file::{AuditFile, AuditFileError};
pub(crate) use record::{AuditRecord, AuditedRequest, PendingEntry};
pub(crate) use verify::{ChainVerifier, Misfit};
