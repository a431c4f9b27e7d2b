//! A release's logical identity: `pkg:volume/<name>@<version>`, a scope written `%40<scope>/`.
//!
//! There is one spelling: no qualifiers, no subpath, nothing encoded that need not be. Only the `+` before build metadata
//! has two, for the specification writes versions as they are and purls in general encode it. Owns the mapping between a
//! purl and (name, version). Identities are compared parsed, never as bytes: a purl and a user-facing name spell the same
//! volume differently.

use std::fmt;
use std::str::FromStr;

use super::{Version, VolumeName};

const PREFIX: &str = "pkg:volume/";

/// Why a text is no volume purl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `pkg:volume/<name>@<version>` or `pkg:volume/%40<scope>/<name>@<version>`")]
pub struct InvalidPurl;

/// The logical identity of one release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Purl {
    /// The volume.
    pub name: VolumeName,
    /// The release of it.
    pub version: Version,
}

impl Purl {
    /// The identity of `version` of `name`.
    #[must_use]
    pub fn new(name: &VolumeName, version: &Version) -> Self {
        Self { name: name.clone(), version: version.clone() }
    }
}

impl FromStr for Purl {
    type Err = InvalidPurl;

    fn from_str(text: &str) -> Result<Self, InvalidPurl> {
        let (name, version) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('@')).ok_or(InvalidPurl)?;
        let (scope, name) = match name.strip_prefix("%40") {
            Some(scoped) => ("@", scoped),
            None => ("", name),
        };
        // Neither a name nor a version has a letter that is encoded otherwise.
        let (name, version) = (format!("{scope}{name}"), version.replace("%2B", "+"));
        let name: VolumeName = name.parse().map_err(|_| InvalidPurl)?;
        if name.scope().is_some() == scope.is_empty() {
            return Err(InvalidPurl);
        }
        Ok(Self { name, version: version.parse().map_err(|_| InvalidPurl)? })
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        if let Some(scope) = self.name.scope() {
            write!(f, "%40{scope}/")?;
        }
        let version = self.version.to_string().replace('+', "%2B");
        write!(f, "{}@{version}", self.name.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scoped_and_unscoped() {
        let scoped: Purl = "pkg:volume/%40acme/x@1.2.3".parse().unwrap();
        assert_eq!((scoped.name.as_str(), scoped.version.to_string().as_str()), ("@acme/x", "1.2.3"));
        assert_eq!("pkg:volume/x@1.0.0%2Bb".parse(), "pkg:volume/x@1.0.0+b".parse::<Purl>());
        for bad in
            ["", "pkg:npm/x@1.0.0", "pkg:volume/x", "pkg:volume/@1.0.0", "pkg:volume/X@1.0.0", "x@1.0.0"]
        {
            assert_eq!(bad.parse::<Purl>(), Err(InvalidPurl), "{bad}");
        }
    }

    #[test]
    fn no_other_spelling_is_one() {
        for bad in [
            "pkg:volume/@acme/x@1.0.0",
            "pkg:volume/%40acme%2Fx@1.0.0",
            "pkg:volume/%40%61cme/x@1.0.0",
            "pkg:volume/acme/x@1.0.0",
            "pkg:volume/%4Oacme/x@1.0.0",
            "pkg:volume/%2540acme/x@1.0.0",
            "pkg:volume/%78@1.0.0",
            "pkg:volume/x@1%2E0.0",
            "pkg:volume/x@1.0.0%2bb",
            "pkg:volume/x@1.0.0?a=b",
            "pkg:volume/x@1.0.0#tool/y",
            "pkg:volume//x@1.0.0",
            "pkg:volume/x/@1.0.0",
            "pkg:volume/x@@1.0.0",
            "pkg:volume/x@1.0.0/",
            "pkg://volume/x@1.0.0",
            "pkg:/volume/x@1.0.0",
            "PKG:volume/x@1.0.0",
            "pkg:Volume/x@1.0.0",
            " pkg:volume/x@1.0.0",
            "pkg:volume/x@1.0.0 ",
            "pkg:volume/x@v1.0.0",
        ] {
            assert_eq!(bad.parse::<Purl>(), Err(InvalidPurl), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parse_then_print_is_identity(text in "pkg:volume/(%40[a-z0-9]{1,9}/)?[a-z0-9]{1,9}@[1-9]\\.0\\.0(-rc\\.[1-9])?(%2Bb[0-9])?") {
            prop_assert_eq!(text.parse::<Purl>().unwrap().to_string(), text);
        }
    }
}
