//! One line of a volume's index, as far as a selection looks at it.
//!
//! Owns the form in which rows are given. Must not know JSON, nor what a selection makes of a row.

use archive::{Integrity, LifecycleState, Version};

/// One row. Names and ranges are texts, since a registry may write anything; a release with one that cannot be read is
/// selected like any other, reported, and part of no solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    pub version: Version,
    pub state: LifecycleState,
    pub integrity: Option<Integrity>,
    /// Name and range of each dependency.
    pub dependencies: Vec<(String, String)>,
}
