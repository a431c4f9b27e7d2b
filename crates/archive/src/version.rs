//! Release versions: SemVer 2.0.0, prerelease and build metadata included.
//!
//! Owns the bound on a version's length; the grammar is the `semver` crate's. Must not know ranges, nor
//! which version somebody picks.

use std::fmt;
use std::str::FromStr;

use crate::text_form;

/// Longest version accepted, in bytes. SemVer sets none; a file name and a log line need one.
const MAX_VERSION: usize = 256;

/// Why a text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a SemVer 2.0.0 version such as `1.2.3` or `1.2.3-rc.1`, at most 256 bytes")]
pub struct InvalidVersion;

/// A SemVer 2.0.0 version. Two that differ in build metadata only are different releases.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    /// The parsed form, for code that orders and matches versions.
    #[must_use]
    pub fn as_semver(&self) -> &semver::Version {
        &self.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text.len() > MAX_VERSION {
            return Err(InvalidVersion);
        }
        semver::Version::parse(text).map(Self).map_err(|_| InvalidVersion)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

text_form!(Version);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_semver_and_nothing_else() {
        for good in ["0.0.0", "1.2.3", "1.2.3-rc.1", "1.2.3+b.07", "1.2.3-a-b.0+x"] {
            assert_eq!(good.parse::<Version>().unwrap().to_string(), good);
        }
        for bad in
            ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3 ", "1.2.3/..", "*", "latest"]
        {
            assert_eq!(bad.parse::<Version>(), Err(InvalidVersion), "{bad}");
        }
        assert!(format!("1.0.0-{}", "a".repeat(251)).parse::<Version>().is_err());
    }

    #[test]
    fn build_metadata_distinguishes() {
        assert_ne!("1.0.0+a".parse::<Version>(), "1.0.0+b".parse::<Version>());
    }

    proptest! {
        #[test]
        fn parse_then_print_is_identity(text in "(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})\\.(0|[1-9][0-9]{0,5})(-[a-z][0-9a-zA-Z-]{0,5}(\\.[a-z][a-z0-9]{0,3}){0,2})?(\\+[0-9A-Za-z-]{1,6})?") {
            prop_assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            if let Ok(version) = text.parse::<Version>() {
                prop_assert_eq!(version.to_string(), text);
            }
        }
    }
}
