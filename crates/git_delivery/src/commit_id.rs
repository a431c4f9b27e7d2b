//! Names of commits and trees: SHA-1 digests.
//!
//! Owns their text form. Must not know what an object holds.

use std::fmt;
use std::str::FromStr;

use gix_hash::ObjectId;

/// Why a text names no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 40 lowercase hexadecimal digits")]
pub struct InvalidCommitId;

/// The name of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub(crate) ObjectId);

/// The name of a tree: what a commit holds, whoever made the commit and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(pub(crate) ObjectId);

impl FromStr for CommitId {
    type Err = InvalidCommitId;

    fn from_str(text: &str) -> Result<Self, InvalidCommitId> {
        let lowercase = text.len() == 40 && !text.contains(|char: char| char.is_ascii_uppercase());
        let id = lowercase.then(|| ObjectId::from_hex(text.as_bytes()).ok()).flatten();
        id.map(Self).ok_or(InvalidCommitId)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_text_form_is_a_name() {
        let text = "9fceb02d0ae598e95dc970b74767f19372d61af8";
        assert_eq!(text.parse::<CommitId>().unwrap().to_string(), text);
        for bad in
            ["", &text[1..], &text.to_uppercase(), &text.replace('9', "g"), &format!("{text}{}", &text[..24])]
        {
            assert_eq!(bad.parse::<CommitId>(), Err(InvalidCommitId), "{bad}");
        }
    }
}
