//! What a selection says at its end.
//!
//! Owns the words in which a caller is told what is selected, why, and what is missing. Must not know how it was found.

use std::fmt;

use archive::{Integrity, LifecycleState, Version, VolumeName, VolumePattern};

use super::root::Root;

/// A release by its name, `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleaseName {
    pub volume: VolumeName,
    pub version: Version,
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.version)
    }
}

/// The first reason found for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// This root selects it.
    Root(Root),
    /// This selected release depends on it.
    DependencyOf(ReleaseName),
    /// The solution of this root release has it.
    SolutionOf(ReleaseName),
}

/// A release that the mirror takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedRelease {
    pub name: ReleaseName,
    pub state: LifecycleState,
    pub integrity: Option<Integrity>,
    pub because: Because,
}

impl SelectedRelease {
    /// Whether files are wanted; otherwise documents only.
    #[must_use]
    pub fn wants_files(&self) -> bool {
        self.state.serves_bytes()
    }
}

/// Whom a lack concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingSubject {
    Root(Root),
    Release(ReleaseName),
}

/// Something that should be in the mirror and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub subject: MissingSubject,
    pub reason: String,
}

/// How many names search gave for a pattern; none where it could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternYield {
    pub pattern: VolumePattern,
    pub names: usize,
}

/// The whole of what a mirror takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// By name, then by version from low to high.
    pub releases: Vec<SelectedRelease>,
    /// Roots in their order, then releases in theirs.
    pub missing: Vec<Missing>,
    /// How many more things are missing than are told.
    pub untold: usize,
    /// In the order of the roots.
    pub patterns: Vec<PatternYield>,
    /// Volumes that exist and that a root names, and that search did not list for a pattern which matches them.
    pub unlisted: Vec<VolumeName>,
}
