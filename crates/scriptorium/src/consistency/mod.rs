//! Comparing answers: those of two sources at one moment, and those of one source over time.
//!
//! Owns the comparison (`reconcile`, `trust`), what may never change (`pins`, `history`), archives that were refused
//! (`refusals`), and the open contradictions (`divergences`). Must not know HTTP, nor how answers are fetched or cached.

pub(crate) mod divergences;
pub(crate) mod history;
pub(crate) mod pins;
pub(crate) mod reconcile;
pub(crate) mod refusals;
pub(crate) mod trust;

pub(crate) use divergences::{About, Divergence, Divergences, Testimony};
pub(crate) use history::History;
pub(crate) use pins::{Bound, Pin, PinError, PinnedCommit, Pins, Proof};
pub(crate) use reconcile::{ClaimSource, Difference, DifferenceKind, ExactAnswer, is_late, reconcile};
pub(crate) use refusals::{ArchiveRefusal, ArchiveRefusals};
pub(crate) use trust::reconcile_trust;
