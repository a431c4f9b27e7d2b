//! Names that are easily mistaken for others.
//!
//! Owns what a reader may overlook: one edit, a hyphen, and letters that look alike. Must not know why a name is protected.

use ahash::{HashMap, HashSet};
use archive::VolumeName;

/// Names for which no other name may be mistaken.
#[derive(Debug, Clone)]
pub(crate) struct ProtectedNames {
    names: Vec<VolumeName>,
    exact: HashSet<VolumeName>,
    /// The first name of each look.
    looks: HashMap<String, usize>,
    /// The names by their length, with the letters of each.
    by_length: HashMap<usize, Vec<(usize, Letters)>>,
}

/// How a name is mistaken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resemblance<'a> {
    /// One letter more, less or another.
    OneEdit(&'a VolumeName),
    /// Equal but for hyphens and letters that look alike.
    LooksAlike(&'a VolumeName),
}

impl ProtectedNames {
    pub(crate) fn new(names: Vec<VolumeName>) -> Self {
        let mut looks = HashMap::default();
        let mut by_length: HashMap<usize, Vec<_>> = HashMap::default();
        for (at, name) in names.iter().enumerate() {
            looks.entry(look(name)).or_insert(at);
            by_length.entry(name.as_str().len()).or_default().push((at, Letters::of(name)));
        }
        Self { exact: names.iter().cloned().collect(), looks, by_length, names }
    }

    /// The name for which `name` may be mistaken; none for a protected name.
    pub(crate) fn resembled(&self, name: &VolumeName) -> Option<Resemblance<'_>> {
        if self.exact.contains(name) {
            return None;
        }
        if let Some(at) = self.looks.get(&look(name)) {
            return self.names.get(*at).map(Resemblance::LooksAlike);
        }
        let (length, letters) = (name.as_str().len(), Letters::of(name));
        let near = (length.saturating_sub(1)..=length + 1)
            .filter_map(|length| self.by_length.get(&length))
            .flatten();
        near.filter(|(_, other)| letters.may_be_one_edit_from(*other))
            .filter_map(|(at, _)| self.names.get(*at))
            .find(|protected| strsim::levenshtein(protected.as_str(), name.as_str()) == 1)
            .map(Resemblance::OneEdit)
    }

    /// Whether both protect the same names.
    pub(crate) fn are(&self, other: &Self) -> bool {
        self.exact == other.exact
    }
}

/// A name as a hasty reader sees it: without hyphens, and with one letter for those that look alike.
fn look(name: &VolumeName) -> String {
    let seen = |c| match c {
        '-' => None,
        '0' => Some('o'),
        '1' | 'i' => Some('l'),
        other => Some(other),
    };
    name.as_str().chars().filter_map(seen).collect()
}

/// Which characters stand in a name, whatever their order.
#[derive(Debug, Clone, Copy)]
struct Letters(u64);

impl Letters {
    fn of(name: &VolumeName) -> Self {
        Self(name.as_str().bytes().fold(0, |letters, byte| letters | 1 << (byte % 64)))
    }

    /// One edit takes away at most one character and adds at most one.
    fn may_be_one_edit_from(self, other: Self) -> bool {
        (self.0 ^ other.0).count_ones() <= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resembles(protected: &[&str], name: &str) -> Option<String> {
        let names = ProtectedNames::new(protected.iter().map(|name| name.parse().unwrap()).collect());
        let name = name.parse().unwrap();
        names.resembled(&name).map(|resemblance| format!("{resemblance:?}"))
    }

    #[test]
    fn what_a_reader_overlooks() {
        let protected = ["@acme/review-tool", "lamp", "go-lint"];
        for near in [
            "lamps",
            "amp",
            "lam",
            "lump",
            "l-amp",
            "1amp",
            "iamp",
            "@acme/reviewtool",
            "@acme/review-too1",
            "@acme/rev1ew-t00l",
            "@acne/review-tool",
            "golint",
            "g0lint",
            "go-llnt",
            "g0-l1nt",
            "@acme/review-toool",
        ] {
            assert!(resembles(&protected, near).is_some(), "{near}");
        }
        for far in [
            "lamp",
            "go-lint",
            "lapm",
            "lampoon",
            "am",
            "review-tool",
            "@acme/lamp",
            "@other/review-tool",
            "saw",
        ] {
            assert_eq!(resembles(&protected, far), None, "{far}");
        }
        assert_eq!(resembles(&["lamp"], "lumps"), None, "two edits");
        assert_eq!(resembles(&["lamp"], "1amp").as_deref(), Some("LooksAlike(lamp)"));
        assert_eq!(resembles(&["lamp"], "lump").as_deref(), Some("OneEdit(lamp)"));
    }

    /// The definition, name by name.
    fn plainly(protected: &[VolumeName], name: &VolumeName) -> bool {
        !protected.contains(name)
            && protected
                .iter()
                .any(|one| strsim::levenshtein(one.as_str(), name.as_str()) == 1 || look(one) == look(name))
    }

    proptest! {
        #[test]
        fn the_index_finds_what_the_definition_does(
            protected in prop::collection::vec("(@[ab]/)?[l1io0a](-?[l1io0ab]){0,4}", 1..6),
            name in "(@[ab]/)?[l1io0a](-?[l1io0ab]){0,4}",
        ) {
            let protected: Vec<VolumeName> = protected.iter().map(|name| name.parse().unwrap()).collect();
            let name = name.parse().unwrap();
            let found = ProtectedNames::new(protected.clone()).resembled(&name).is_some();
            prop_assert_eq!(found, plainly(&protected, &name));
        }
    }
}
