//! A dependency's range: comparators that must all hold, divided by commas, spaces or both.
//!
//! Owns the portable grammar, which is narrower than any package manager's: whole versions only, nothing partial, no
//! `||`, no wildcards, no tags, no build metadata. Must not know which versions match; this proxy resolves nothing.

use std::str::FromStr;

use super::Version;

/// A range as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(String);

/// Why a text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected whole versions without build metadata, each after one of ^ ~ < <= > >= = or nothing")]
pub struct InvalidRange;

const OPERATORS: [&str; 7] = ["<=", ">=", "^", "~", "<", ">", "="];

impl VersionRange {
    /// The range.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let comparators = |part: &str| {
            let mut comparators = part.split_whitespace().peekable();
            comparators.peek().is_some() && comparators.all(is_comparator)
        };
        let valid = text.trim() == text && text.split(',').all(comparators);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidRange) }
    }
}

fn is_comparator(text: &str) -> bool {
    let operand = OPERATORS.iter().find_map(|operator| text.strip_prefix(operator)).unwrap_or(text);
    !operand.contains('+') && operand.parse::<Version>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjunctions_of_whole_versions_and_nothing_else() {
        for good in [
            "1.2.3",
            "=1.2.3",
            "^1.2.3",
            "~1.2.3",
            "<1.2.3",
            "<=1.2.3",
            ">1.2.3",
            "1.2.3-rc.1",
            ">=1.5.0, <3.0.0",
            ">=1.5.0 <3.0.0",
            ">=1.5.0 , <3.0.0",
            ">=1.5.0,<3.0.0",
            ">=1.0.0  <2.0.0-0",
        ] {
            assert_eq!(good.parse::<VersionRange>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "1",
            "^1.2",
            "1.x",
            "*",
            "latest",
            "1.0.0 - 2.0.0",
            "^1.0.0 || ^2.0.0",
            "1.2.3+b",
            ",1.0.0",
            "1.0.0,",
            "1.0.0,,2.0.0",
            " 1.0.0",
            "1.0.0 ",
            "> 1.0.0",
            "==1.0.0",
            "!1.0.0",
            "^^1.0.0",
            "v1.0.0",
        ] {
            assert_eq!(bad.parse::<VersionRange>(), Err(InvalidRange), "{bad}");
        }
    }
}
