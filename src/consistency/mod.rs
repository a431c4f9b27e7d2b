//! One truth out of several answers: of two sides that speak at once, and of one side over time.
//!
//! Owns the comparison of what is said (`reconcile`, `trust`), what may never change (`pins`, `history`), what was refused (`refusals`) and what is
//! contradictory now (`divergences`). Must not know HTTP, nor how answers are fetched or cached.

pub mod divergences;
pub mod history;
pub mod pins;
pub mod reconcile;
pub mod refusals;
pub mod trust;

pub use divergences::{About, Divergence, Divergences, Testimony};
pub use history::History;
pub use pins::{Bound, Pin, PinError, Pins, Proof};
pub use reconcile::{Difference, Exact, Kind, Source, is_late, reconcile};
pub use refusals::{Refusal, Refusals};
pub use trust::reconcile_trust;
