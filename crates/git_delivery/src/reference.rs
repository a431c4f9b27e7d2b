//! References: how a release names its commit.
//!
//! Owns their form, and which of a server's references one means. Must not know how a server lists them.

use std::fmt;
use std::str::FromStr;

use bstr::ByteSlice;

use crate::CommitId;

/// The longest name of a reference.
const MAX_LENGTH: usize = 255;

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a tag, a branch, `refs/…`, or a commit of 40 hexadecimal digits")]
pub struct InvalidReference;

/// What a release names its commit by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GitReference {
    /// The commit itself.
    Commit(CommitId),
    /// A name: whole (`refs/tags/v1`), or that of a tag or, if there is no such tag, of a branch.
    Name(ReferenceName),
}

/// The name of a reference, in the form that Git allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceName(String);

impl ReferenceName {
    /// The whole names that this may stand for; the first one that is there counts.
    pub(crate) fn candidates(&self) -> Vec<String> {
        let Self(name) = self;
        if name.starts_with("refs/") {
            return vec![name.clone()];
        }
        // In the order in which Git looks.
        let below_refs = name.starts_with("tags/") || name.starts_with("heads/");
        let below_refs = below_refs.then(|| format!("refs/{name}"));
        below_refs.into_iter().chain([format!("refs/tags/{name}"), format!("refs/heads/{name}")]).collect()
    }
}

impl FromStr for GitReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if let Ok(commit) = text.to_ascii_lowercase().parse() {
            return Ok(Self::Commit(commit));
        }
        let name = ReferenceName(text.to_owned());
        let well_formed = |name: &String| gix_validate::reference::name(name.as_bytes().as_bstr()).is_ok();
        match text.len() <= MAX_LENGTH && name.candidates().iter().all(well_formed) {
            true => Ok(Self::Name(name)),
            false => Err(InvalidReference),
        }
    }
}

impl fmt::Display for GitReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) => commit.fmt(f),
            Self::Name(name) => f.write_str(&name.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_commit_or_a_name_that_git_allows() {
        let commit = "9fceb02d0ae598e95dc970b74767f19372d61af8";
        for text in [commit, &commit.to_uppercase()] {
            assert!(matches!(text.parse(), Ok(GitReference::Commit(named)) if named.to_string() == commit));
        }
        for name in ["v1.2.3", "release/1", "refs/tags/v1", "9fceb02", "안녕"] {
            let parsed = name.parse::<GitReference>().unwrap();
            assert!(matches!(parsed, GitReference::Name(_)), "{name}");
            assert_eq!(parsed.to_string(), name);
        }
        let long = "a".repeat(256);
        for bad in [
            "", "a\nb", "a b", "a..b", "/a", "a/", "refs/", "a.lock", "-\0", "HEAD^", "a:b", "a~1", "x@{1}",
            &long,
        ] {
            assert_eq!(bad.parse::<GitReference>(), Err(InvalidReference), "{bad:?}");
        }
    }

    #[test]
    fn a_short_name_is_a_tag_before_it_is_a_branch() {
        let candidates = |text: &str| match text.parse() {
            Ok(GitReference::Name(name)) => name.candidates(),
            other => panic!("{other:?}"),
        };
        assert_eq!(candidates("v1"), ["refs/tags/v1", "refs/heads/v1"]);
        assert_eq!(candidates("refs/changes/1"), ["refs/changes/1"]);
        assert_eq!(candidates("tags/v1"), ["refs/tags/v1", "refs/tags/tags/v1", "refs/heads/tags/v1"]);
        assert_eq!(candidates("heads/main")[0], "refs/heads/main");
    }
}
