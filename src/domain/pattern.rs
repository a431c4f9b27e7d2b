//! Patterns over volume names: what an upstream is asked for.
//!
//! Owns their grammar and what they match. Must not know upstreams, nor the order patterns are tried in.

use std::fmt;
use std::str::FromStr;

use super::VolumeName;
use super::text::text_form;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `*`, a volume name, or the start of one and a `*`: `@scope/*`, `@scope/tools-*`, `tools-*`"
)]
pub struct InvalidPattern;

/// A set of volume names: all of them, one, or those that start alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum VolumePattern {
    /// `*`
    All,
    /// `name` or `@scope/name`
    Exact(VolumeName),
    /// `@scope/*`, `@scope/start*` or `start*`; the last one matches unscoped names only.
    Prefix(String),
}

impl VolumePattern {
    /// Whether `name` is in the set.
    #[must_use]
    pub fn matches(&self, name: &VolumeName) -> bool {
        match self {
            Self::All => true,
            Self::Exact(exact) => exact == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Whether a name may be in both sets.
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
            // A prefix is sound when some name starts with it; one more letter makes the shortest.
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
