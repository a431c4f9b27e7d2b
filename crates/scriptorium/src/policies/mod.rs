//! Policy: what an operator allows in, and what is known of each release by which the rules judge it.
//!
//! ```text
//! index, exact metadata, archive, trust ─> evidence ─┐
//! advisories of registries, files ─> AdvisoryBook ───┼─> PolicyInForce ─> verdict
//! rules and waivers ─────────────────────────────────┘
//! ```
//! The rules are the crate `policy`'s: a pure function. `read` asks it wherever a document is given, and keeps the verdict
//! with the document. A verdict dies with the revision of the policy, with a fact that it rests on, or by its own time.
//!
//! Owns the rules in force, and the evidence. Must not know which documents exist, nor what a client is told.

mod book;
mod evidence;
mod in_force;
mod outages;
mod register;
mod verdict;

pub(crate) use book::{AdvisoryBook, BookSource};
pub(crate) use evidence::{ReleaseEvidence, VolumeEvidence, delivery_of};
pub(crate) use in_force::{JudgedRelease, PolicyDesk, PolicyInForce};
pub(crate) use outages::TrustOutages;
pub(crate) use register::{EvidenceRegister, FoundEvidence};
pub(crate) use verdict::{KeptVerdict, PolicyFinding, PolicyRefusal, ReleaseFinding, moment};
