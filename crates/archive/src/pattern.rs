//! Patterns of volume names: all names, one name, or those with one beginning.
//!
//! Owns their grammar and what they match. Must not know what a pattern is for, nor the order of patterns.

use std::fmt;
use std::str::FromStr;

use crate::name::VolumeName;
use crate::text_form;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `*`, a volume name, or the start of one and a `*`: `@scope/*`, `@scope/tools-*`, `tools-*`"
)]
pub struct InvalidPattern;

/// A set of volume names: all, one, or those with one beginning.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VolumePattern {
    /// `*`
    All,
    /// `name` or `@scope/name`
    Exact(VolumeName),
    /// `@scope/*`, `@scope/start*` or `start*`, which matches only names without a scope
    Prefix(String),
}

impl VolumePattern {
    /// Whether `name` is one of these.
    #[must_use]
    pub fn matches(&self, name: &VolumeName) -> bool {
        match self {
            Self::All => true,
            Self::Exact(exact) => exact == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix.as_str()),
        }
    }

    /// What each of the names begins with; empty for all names.
    #[must_use]
    pub fn beginning(&self) -> &str {
        match self {
            Self::All => "",
            Self::Exact(name) => name.as_str(),
            Self::Prefix(prefix) => prefix,
        }
    }

    /// Whether one name may match both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern.matches(name),
            (Self::Prefix(one), Self::Prefix(two)) => {
                one.starts_with(two.as_str()) || two.starts_with(one.as_str())
            }
        }
    }
}

impl FromStr for VolumePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        match text.strip_suffix('*') {
            None => text.parse().map(Self::Exact).map_err(|_| InvalidPattern),
            Some("") => Ok(Self::All),
            // A prefix is valid when a name may begin with it; the shortest such name has one letter more.
            Some(prefix) => match format!("{prefix}x").parse::<VolumeName>() {
                Ok(_) => Ok(Self::Prefix(prefix.to_owned())),
                Err(_) => Err(InvalidPattern),
            },
        }
    }
}

impl fmt::Display for VolumePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Exact(name) => fmt::Display::fmt(name, f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

text_form!(VolumePattern);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matching<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
        let pattern: VolumePattern = pattern.parse().unwrap();
        names.iter().copied().filter(|name| pattern.matches(&name.parse().unwrap())).collect()
    }

    #[test]
    fn matches_what_it_says() {
        let names = ["tools", "tools-a", "tool", "@acme/tools-a", "@acme/x", "@acme-corp/x"];
        assert_eq!(matching("*", &names), names);
        assert_eq!(matching("tools", &names), ["tools"]);
        assert_eq!(matching("tools-*", &names), ["tools-a"]);
        assert_eq!(matching("tool*", &names), ["tools", "tools-a", "tool"]);
        assert_eq!(matching("@acme/*", &names), ["@acme/tools-a", "@acme/x"]);
        assert_eq!(matching("@acme/tools-*", &names), ["@acme/tools-a"]);
    }

    #[test]
    fn sets_that_share_a_name_meet() {
        for (one, two, meet) in [
            ("*", "lamp", true),
            ("lamp", "lamp", true),
            ("lamp", "saw", false),
            ("la*", "lamp", true),
            ("la*", "lamp*", true),
            ("@acme/*", "@acme/x-*", true),
            ("@acme/*", "@other/*", false),
            ("@acme/*", "acme", false),
        ] {
            let (one, two): (VolumePattern, VolumePattern) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!((one.meets(&two), two.meets(&one)), (meet, meet), "{one} {two}");
        }
    }

    #[test]
    fn refuses_what_no_name_starts_with() {
        for bad in
            ["", "**", "@*", "@acme*", "a*b", "*a", "A*", "-*", "a--*", "@/*", "@a/b/*", "a.*", "@a/-*"]
        {
            assert_eq!(bad.parse::<VolumePattern>(), Err(InvalidPattern), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parse_then_print_is_identity(text in "(@[a-z0-9]{1,9}/)?([a-z0-9]{1,9}-?)?\\*|\\*|(@[a-z0-9]{1,9}/)?[a-z0-9]{1,9}") {
            prop_assert_eq!(text.parse::<VolumePattern>().unwrap().to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            if let Ok(pattern) = text.parse::<VolumePattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }
}
