//! Sets of volume names, as the patterns of a rule give them.
//!
//! Owns how a name is found among many patterns, and whether one set includes another. Must not know rules.

use std::fmt;

use ahash::HashSet;
use archive::{VolumeName, VolumePattern};

/// The names that one of some patterns matches.
#[derive(Debug, Clone)]
pub(crate) struct PatternSet {
    written: Vec<VolumePattern>,
    exact: HashSet<VolumeName>,
    wide: Vec<VolumePattern>,
}

impl PatternSet {
    pub(crate) fn new(written: Vec<VolumePattern>) -> Self {
        let (mut exact, mut wide) = (HashSet::default(), Vec::new());
        for pattern in &written {
            match pattern {
                VolumePattern::Exact(name) => {
                    exact.insert(name.clone());
                }
                VolumePattern::All | VolumePattern::Prefix(_) => wide.push(pattern.clone()),
            }
        }
        Self { written, exact, wide }
    }

    pub(crate) fn written(&self) -> &[VolumePattern] {
        &self.written
    }

    pub(crate) fn contains(&self, name: &VolumeName) -> bool {
        self.exact.contains(name) || self.wide.iter().any(|pattern| pattern.matches(name))
    }

    /// The pattern that contains `name`.
    pub(crate) fn which(&self, name: &VolumeName) -> Option<&VolumePattern> {
        self.written.iter().find(|pattern| pattern.matches(name))
    }

    /// Whether every name of `pattern` is here, as far as single patterns show it.
    pub(crate) fn includes_pattern(&self, pattern: &VolumePattern) -> bool {
        match pattern {
            VolumePattern::Exact(name) => self.contains(name),
            VolumePattern::All | VolumePattern::Prefix(_) => {
                self.wide.iter().any(|wide| includes(wide, pattern))
            }
        }
    }

    /// Whether every name of `other` is here, likewise.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        other.written.iter().all(|pattern| self.includes_pattern(pattern))
    }

    /// The names, if every pattern is one.
    pub(crate) fn names(&self) -> Option<&HashSet<VolumeName>> {
        self.wide.is_empty().then_some(&self.exact)
    }
}

/// Whether every name of `narrow` is one of `wide`.
fn includes(wide: &VolumePattern, narrow: &VolumePattern) -> bool {
    match (wide, narrow) {
        (VolumePattern::All, _) => true,
        (wide, VolumePattern::Exact(name)) => wide.matches(name),
        (VolumePattern::Prefix(wide), VolumePattern::Prefix(narrow)) => narrow.starts_with(wide.as_str()),
        (
            VolumePattern::Exact(_) | VolumePattern::Prefix(_),
            VolumePattern::All | VolumePattern::Prefix(_),
        ) => false,
    }
}

/// A few of the patterns.
impl fmt::Display for PatternSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::listed::listed(&self.written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(patterns: &[&str]) -> PatternSet {
        PatternSet::new(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
    }

    #[test]
    fn a_set_includes_what_its_patterns_do() {
        for (wide, narrow, includes) in [
            (&["*"][..], &["@acme/*", "lamp"][..], true),
            (&["@acme/*", "la*"], &["@acme/x", "@acme/y-*", "lamp", "lam*"], true),
            (&["lamp"], &["lamp"], true),
            (&["lamp"], &["lamp*"], false),
            (&["lamp*"], &["la*"], false),
            (&["@acme/*"], &["*"], false),
        ] {
            assert_eq!(set(wide).includes(&set(narrow)), includes, "{wide:?} {narrow:?}");
        }
    }

    proptest! {
        #[test]
        fn a_set_contains_what_a_pattern_matches(
            patterns in prop::collection::vec("\\*|@a/[xy]{0,2}\\*|[xy]{1,3}\\*?", 1..5),
            name in "(@a/)?[xy]{1,4}",
        ) {
            let name: VolumeName = name.parse().unwrap();
            let patterns: Vec<VolumePattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let set = PatternSet::new(patterns.clone());
            prop_assert_eq!(set.contains(&name), patterns.iter().any(|pattern| pattern.matches(&name)));
            prop_assert_eq!(set.which(&name).is_some(), set.contains(&name));
        }

        #[test]
        fn what_is_included_is_contained(
            wide in prop::collection::vec("\\*|@a/[xy]{0,2}\\*|[xy]{1,3}\\*?", 1..4),
            narrow in prop::collection::vec("\\*|@a/[xy]{0,2}\\*|[xy]{1,3}\\*?", 1..4),
            name in "(@a/)?[xy]{1,4}",
        ) {
            let name: VolumeName = name.parse().unwrap();
            let sets = [wide, narrow].map(|set| PatternSet::new(set.iter().map(|one| one.parse().unwrap()).collect()));
            let [wide, narrow] = &sets;
            if wide.includes(narrow) && narrow.contains(&name) {
                prop_assert!(wide.contains(&name));
            }
        }
    }
}
