//! Access: whom a bearer token makes of its sender, and what that holder may read.
//!
//! ```text
//! Authorization ─> bearer ─┬─ tokens    the SHA-256 is configured and the last day is not over ──> TokenHolder
//!                          └─ issuers   a signed token that holds (jwt, keys, verified) ─────────> TokenHolder
//! TokenHolder, readers of a registry ─> rule ─> all of it, some volumes, or nothing: 401 or 403
//! ```
//! A token that does not hold makes nobody of its sender. Owns these rules and the keys in force. Asks nobody: keys come from
//! `issuer_keys`. Must not know rates, registries, nor what is asked for.

mod bearer;
mod distinct;
mod failures;
mod holder;
mod issuers;
mod jwt;
mod keys;
mod proven;
mod rule;
mod signature;
mod tokens;

pub(crate) use bearer::bearer;
pub(crate) use holder::TokenHolder;
pub(crate) use issuers::{IssuerTable, KeyedIssuer};
pub(crate) use keys::{KeySet, NoKeys};
pub(crate) use rule::{AccessRefusal, ReadScope, Readable, readable};
pub(crate) use tokens::HeldTokens;
