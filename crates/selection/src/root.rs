//! Roots: what an operator asks a mirror to take.
//!
//! Owns their grammar: `@acme/*`, `tools-*`, `*`, `name`, `name@range`, `name@1.2.3`. Must not know which releases exist.

use std::fmt;
use std::str::FromStr;

use archive::{InvalidPattern, Version, VolumeName, VolumePattern};

use super::range::{InvalidVersionRange, VersionRange};

/// Why a text is no root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoot {
    #[error("`{0}`: {1}")]
    Name(String, archive::InvalidName),
    #[error("`{0}`: {1}")]
    Pattern(String, InvalidPattern),
    #[error("`{0}`: {1}")]
    Range(String, InvalidVersionRange),
}

/// What a root names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootKind {
    /// Every volume with such a name.
    Pattern(VolumePattern),
    /// A volume.
    Name(VolumeName),
    /// The versions of a volume in a range.
    Range(VolumeName, VersionRange),
    /// One release. Without build metadata it is the release without any, or else the best of those that differ in that
    /// alone.
    Exact(VolumeName, Version),
}

/// A root with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    text: Box<str>,
    kind: RootKind,
}

impl Root {
    /// What the root names.
    #[must_use]
    pub fn kind(&self) -> &RootKind {
        &self.kind
    }

    /// The root as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The volume that the root names; none for a pattern.
    #[must_use]
    pub fn volume(&self) -> Option<&VolumeName> {
        match &self.kind {
            RootKind::Pattern(_) => None,
            RootKind::Name(name) | RootKind::Range(name, _) | RootKind::Exact(name, _) => Some(name),
        }
    }
}

impl FromStr for Root {
    type Err = InvalidRoot;

    fn from_str(text: &str) -> Result<Self, InvalidRoot> {
        Ok(Self { text: text.into(), kind: kind(text)? })
    }
}

fn kind(text: &str) -> Result<RootKind, InvalidRoot> {
    let excerpt = || text.chars().take(200).flat_map(char::escape_debug).collect::<String>();
    if text.ends_with('*') {
        return text
            .parse()
            .map(RootKind::Pattern)
            .map_err(|invalid| InvalidRoot::Pattern(excerpt(), invalid));
    }
    // The `@` of a scope is the first character.
    let at = text.char_indices().skip(1).find(|(_, character)| *character == '@').map(|(at, _)| at);
    let (name, range) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let name: VolumeName = name.parse().map_err(|invalid| InvalidRoot::Name(excerpt(), invalid))?;
    let Some(range) = range else { return Ok(RootKind::Name(name)) };
    if let Ok(version) = range.strip_prefix('=').unwrap_or(range).parse() {
        return Ok(RootKind::Exact(name, version));
    }
    let range = VersionRange::of_root(range).map_err(|invalid| InvalidRoot::Range(excerpt(), invalid))?;
    Ok(RootKind::Range(name, range))
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_what_it_says() {
        let kind = |text: &str| text.parse::<Root>().unwrap().kind;
        assert!(matches!(kind("*"), RootKind::Pattern(_)));
        assert!(matches!(kind("@acme/*"), RootKind::Pattern(_)));
        assert!(matches!(kind("tools-*"), RootKind::Pattern(_)));
        assert!(matches!(kind("lint"), RootKind::Name(name) if name.as_str() == "lint"));
        assert!(matches!(kind("@acme/lint"), RootKind::Name(name) if name.as_str() == "@acme/lint"));
        for range in ["^2.0", "2", "~1", ">=1.0.0 <2.0.0", ">=1, <3", "=2.1", "1.2"] {
            let root = kind(&format!("@acme/x@{range}"));
            assert!(matches!(root, RootKind::Range(_, held) if held.as_str() == range), "{range}");
        }
        for version in ["1.2.3", "=1.2.3", "1.2.3-rc.1", "1.2.3+build"] {
            assert!(matches!(kind(&format!("x@{version}")), RootKind::Exact(..)), "{version}");
        }
        assert_eq!("x@^2.0".parse::<Root>().unwrap().to_string(), "x@^2.0");
    }

    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "@",
            "@@",
            "Lint",
            "lint@",
            "lint@latest",
            "lint@1.x",
            "lint@^1 || ^2",
            "lint@ ^1",
            "a b",
            "@acme*",
            "@acme/*@^2",
            "*@1.0.0",
            "lint@1.0.0@2.0.0",
            "lint@^1.0.0+b",
            "lint@1.2-rc.1",
            "lint@==1.0.0",
            "é@1",
        ] {
            assert!(bad.parse::<Root>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_its_root_and_says_what_was_expected() {
        let message = "lint@latest".parse::<Root>().unwrap_err().to_string();
        assert!(message.starts_with("`lint@latest`: expected versions"), "{message}");
    }
}
