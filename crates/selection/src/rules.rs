//! How a mirror selects.
//!
//! Owns the choices that an operator makes beside the roots. Must not know how they are carried out.

use super::bounds::SelectionBounds;

/// Which of the available versions that match a root are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootVersions {
    #[default]
    Highest,
    All,
}

/// Which dependencies of the root releases are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closure {
    /// None.
    None,
    /// For every dependency the highest available version that matches, until nothing is new.
    Highest,
    /// For every dependency each available version that matches, until nothing is new.
    All,
    /// As `Highest`, and for every root release one complete solution of its dependencies, with one version a volume.
    #[default]
    Resolve,
}

/// How a mirror selects, beside its roots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectionRules {
    pub versions: RootVersions,
    pub closure: Closure,
    /// Whether prereleases take part, by SemVer order. Without it a prerelease counts only where a root names it exactly.
    pub prereleases: bool,
    pub bounds: SelectionBounds,
}
