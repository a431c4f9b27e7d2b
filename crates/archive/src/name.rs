//! Volume names: `name` or `@scope/name`, parsed once and valid ever after.
//!
//! Owns the grammar of names. Must not know URLs beyond what a name needs, nor which registry serves it.

use std::fmt;
use std::str::FromStr;

use crate::text_form;
use compact_str::CompactString;

/// Longest `name` part, in characters.
const MAX_NAME: usize = 128;
/// Longest `scope` part, in characters.
const MAX_SCOPE: usize = 64;

/// Why a text is no volume name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `name` or `@scope/name`: lowercase letters, digits and single inner hyphens, \
     at most 128 characters (scope: 64)"
)]
pub struct InvalidName;

/// A volume's user-facing name. Names up to 24 bytes do not touch the heap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeName(CompactString);

impl VolumeName {
    /// `name` or `@scope/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope without its `@`, if there is one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        Some(self.0.strip_prefix('@')?.split_once('/')?.0)
    }

    /// The part after the scope.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }
}

impl FromStr for VolumeName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = match text.strip_prefix('@') {
            Some(scoped) => scoped
                .split_once('/')
                .is_some_and(|(scope, name)| segment(scope, MAX_SCOPE) && segment(name, MAX_NAME)),
            None => segment(text, MAX_NAME),
        };
        if valid { Ok(Self(text.into())) } else { Err(InvalidName) }
    }
}

/// Lowercase ASCII letters, digits and hyphens; no hyphen first, last or doubled.
fn segment(text: &str, longest: usize) -> bool {
    let mut last = b'-';
    let well_formed = text.bytes().all(|byte| {
        let before = std::mem::replace(&mut last, byte);
        matches!(byte, b'a'..=b'z' | b'0'..=b'9') || (byte == b'-' && before != b'-')
    });
    well_formed && last != b'-' && text.len() <= longest
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(VolumeName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_the_grammar_and_nothing_else() {
        for good in ["a", "0", "a-b", "@a/b", "@acme/review-agent", &"x".repeat(128)] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "@a",
            "@/b",
            "@a/",
            "@a/b/c",
            "@@a/b",
            "a b",
            "é",
            "a\0",
            "..",
            "%40a/b",
            &"x".repeat(129),
        ] {
            assert_eq!(bad.parse::<VolumeName>(), Err(InvalidName), "{bad}");
        }
        assert!(format!("@{}/a", "s".repeat(64)).parse::<VolumeName>().is_ok());
        assert!(format!("@{}/a", "s".repeat(65)).parse::<VolumeName>().is_err());
    }

    #[test]
    fn parts() {
        let scoped: VolumeName = "@acme/x".parse().unwrap();
        assert_eq!((scoped.scope(), scoped.name()), (Some("acme"), "x"));
        let plain: VolumeName = "x".parse().unwrap();
        assert_eq!((plain.scope(), plain.name()), (None, "x"));
    }

    proptest! {
        #[test]
        fn parse_then_print_is_identity(text in "(@[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}/)?[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}") {
            prop_assert_eq!(text.parse::<VolumeName>().unwrap().to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            if let Ok(name) = text.parse::<VolumeName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
