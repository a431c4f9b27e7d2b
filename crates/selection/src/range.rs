//! Ranges of versions: comparators that must all hold, separated by commas or spaces.
//!
//! Owns the grammar of a dependency's range, which is strict (whole versions, no `||`, no wildcard, no tag, no build
//! metadata), the grammar of a root's range, which may be partial (`^2.0`, `2`), and which versions they contain:
//!
//! | range | contains |
//! |---|---|
//! | `1.2.3`, `=1.2.3` | 1.2.3 with any build metadata |
//! | `^1.2.3`, `^0.2.3`, `^0.0.3` | from that version, below 2.0.0, 0.3.0, 0.0.4, and no prerelease of these |
//! | `~1.2.3` | from that version, below 1.3.0, and no prerelease of it |
//! | `<1.2.3`, `<=`, `>`, `>=` | by SemVer precedence: `<2.0.0` contains 2.0.0-rc.1 |
//! | `2`, `=2.1` (roots) | every version that begins so; `>2` is from 3.0.0 on, prereleases included, `<2` ends before those of 2.0.0 |
//!
//! Whether a prerelease takes part at all is asked separately ([`VersionRange::matches`]).
//! Must not know which versions exist.

mod operand;

use std::fmt;
use std::ops::Bound;

use archive::Version;
use pubgrub::Ranges;

use operand::Operand;

/// A set of versions, as the solver sees it.
pub(crate) type VersionSet = Ranges<semver::Version>;

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersionRange {
    #[error("expected whole versions without build metadata, each after one of ^ ~ < <= > >= = or nothing")]
    Dependency,
    #[error(
        "expected versions without build metadata (`1.2.3`, `1.2`, `1`), each after one of ^ ~ < <= > >= = or nothing"
    )]
    Root,
}

const OPERATORS: [&str; 7] = ["<=", ">=", "^", "~", "<", ">", "="];

/// A range. Since all comparators must hold it is one interval, with its beginning and without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: Box<str>,
    from: semver::Version,
    below: Option<semver::Version>,
    /// Major, minor and patch of the operands that are prereleases.
    prereleases_of: Vec<(u64, u64, u64)>,
}

impl VersionRange {
    /// The range of a dependency.
    ///
    /// # Errors
    /// [`InvalidVersionRange`] for everything outside the strict grammar.
    pub fn of_dependency(text: &str) -> Result<Self, InvalidVersionRange> {
        Self::parse(text, Operand::whole).ok_or(InvalidVersionRange::Dependency)
    }

    /// The range of a root, whose operands may be partial.
    ///
    /// # Errors
    /// [`InvalidVersionRange`] for everything outside that grammar.
    pub fn of_root(text: &str) -> Result<Self, InvalidVersionRange> {
        Self::parse(text, Operand::whole_or_partial).ok_or(InvalidVersionRange::Root)
    }

    fn parse(text: &str, operand: fn(&str) -> Option<Operand>) -> Option<Self> {
        if text.trim() != text {
            return None;
        }
        let mut range =
            Self { text: text.into(), from: operand::lowest(), below: None, prereleases_of: Vec::new() };
        for part in text.split(',') {
            let mut comparators = part.split_whitespace().peekable();
            comparators.peek()?;
            for comparator in comparators {
                let operator = OPERATORS.into_iter().find(|operator| comparator.starts_with(operator));
                let operator = operator.unwrap_or_default();
                range.narrow(operator, &operand(comparator.strip_prefix(operator)?)?);
            }
        }
        Some(range)
    }

    fn narrow(&mut self, operator: &str, operand: &Operand) {
        if let Some(of) = operand.prerelease_of() {
            self.prereleases_of.push(of);
        }
        // No version at all follows the highest one, so nothing can be from there on.
        let nothing = || Some(operand::lowest());
        let (from, below) = match operator {
            "^" => (Some(operand.first()), operand.after_compatible()),
            "~" => (Some(operand.first()), operand.after_similar()),
            ">=" => (Some(operand.first()), None),
            ">" => operand.after().map_or_else(|| (None, nothing()), |after| (Some(after), None)),
            "<" => (None, Some(operand.before())),
            "<=" => (None, operand.after()),
            _ => (Some(operand.first()), operand.after()),
        };
        if let Some(from) = from {
            self.from = from.max(std::mem::replace(&mut self.from, operand::lowest()));
        }
        if let Some(below) = below {
            self.below =
                Some(self.below.take().map_or_else(|| below.clone(), |held| held.min(below.clone())));
        }
    }

    /// Whether `version` is within, by SemVer precedence.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        let version = version.as_semver();
        self.from <= *version && self.below.as_ref().is_none_or(|below| version < below)
    }

    /// Whether `version` is within and takes part: a prerelease does with `prereleases`, and without where an operand is a
    /// prerelease of the same major, minor and patch (the rule of Cargo and npm, which a resolver is expected to follow).
    #[must_use]
    pub fn matches(&self, version: &Version, prereleases: bool) -> bool {
        self.contains(version) && (prereleases || self.lets_in(version))
    }

    /// Whether no version can be within.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.below.as_ref().is_some_and(|below| *below <= self.from)
    }

    /// Whether every version that `narrow` contains is within.
    #[must_use]
    pub fn includes(&self, narrow: &Self) -> bool {
        let below = match (&self.below, &narrow.below) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => narrow <= wide,
            (Some(_), None) => false,
        };
        narrow.is_empty() || (self.from <= narrow.from && below)
    }

    fn lets_in(&self, version: &Version) -> bool {
        let version = version.as_semver();
        version.pre.is_empty() || self.prereleases_of.contains(&(version.major, version.minor, version.patch))
    }

    /// The range as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The range as a set for the solver.
    pub(crate) fn to_set(&self) -> VersionSet {
        let end = self.below.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        Ranges::from_range_bounds::<_, semver::Version>((Bound::Included(self.from.clone()), end.cloned()))
    }
}

/// A version with any build metadata.
pub(crate) fn builds(version: &Version) -> VersionSet {
    let version = semver::Version { build: semver::BuildMetadata::EMPTY, ..version.as_semver().clone() };
    VersionRange::of_dependency(&version.to_string()).map_or_else(|_| Ranges::empty(), |range| range.to_set())
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
