//! How much one selection may take: memory and work.
//!
//! Owns the bounds, their defaults and the error that names the one that was reached. Must not know what is counted where.

/// The most that one selection may see and do. Whoever reaches one gets a [`BoundExceeded`] that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionBounds {
    /// Volumes whose indexes are asked for, or given.
    pub volumes: usize,
    /// Rows of all indexes together.
    pub rows: usize,
    /// Dependencies of all rows together.
    pub dependencies: usize,
    /// Lacks of roots that are told, and as many of releases; further ones are counted.
    pub missing: usize,
    /// Steps of the solver for one root release, each some ten microseconds. A root release that needs more is reported as missing.
    pub steps_per_root: u64,
    /// Steps of the solver for all root releases together.
    pub steps: u64,
}

impl Default for SelectionBounds {
    fn default() -> Self {
        Self {
            volumes: 200_000,
            rows: 5_000_000,
            dependencies: 20_000_000,
            missing: 100_000,
            steps_per_root: 200_000,
            steps: 10_000_000,
        }
    }
}

/// A bound that this selection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundExceeded {
    #[error("more than {0} volumes would have to be read; expected roots that select fewer")]
    Volumes(usize),
    #[error("the indexes have more than {0} rows together; expected roots that select fewer volumes")]
    Rows(usize),
    #[error("the rows have more than {0} dependencies together; expected roots that select fewer volumes")]
    Dependencies(usize),
    #[error(
        "the solver took more than {0} steps for all roots together; expected fewer roots, or another closure"
    )]
    Steps(u64),
}
