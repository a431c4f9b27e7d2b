//! Patterns of the claims in a signed token.
//!
//! Owns their grammar and what they match. Must not know where a claim comes from.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A text in which each star stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClaimPattern(String);

/// A claim and the pattern that its value must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedClaim {
    pub(crate) name: String,
    pub(crate) pattern: ClaimPattern,
}

impl ClaimPattern {
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(start) else { return false };
        let (between, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        for part in between.split('*').filter(|part| !part.is_empty()) {
            // The first place leaves the most for what follows.
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(end)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClaimPattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClaimPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("acme/*", "acme/tools", true),
            ("acme/*", "acme/", true),
            ("acme/*", "acme/group/tools", true),
            ("acme/*", "acme", false),
            ("acme/*", "evil-acme/tools", false),
            ("acme/tools", "acme/tools", true),
            ("acme/tools", "acme/tools2", false),
            ("*", "", true),
            ("**", "x", true),
            ("refs/*/v*.0", "refs/tags/v1.0", true),
            ("refs/*/v*.0", "refs/tags/v1.1", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "xabyabz", true),
            ("", "", true),
            ("", "x", false),
            ("repo:é*", "repo:éa", true),
        ] {
            let parsed: ClaimPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(text), matches, "{pattern} {text}");
        }
    }
}
