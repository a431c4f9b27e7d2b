//! Who may read what a registry has.
//!
//! Owns the text forms of `readers`. Must not know tokens, nor what is done about somebody who may not read.

use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, is_name};

/// Who may read what a registry has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Readers {
    /// Everybody.
    #[default]
    Anyone,
    /// Every client with a token that holds.
    Tokens,
    /// The tokens of this list.
    Listed(Vec<ListedReader>),
}

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ListedReader {
    /// The token, or every token of the issuer, with this name.
    Name(String),
    /// Every token of this group.
    Group(String),
}

/// What stands before the name of a group.
const GROUP: &str = "group:";

impl Readers {
    /// Reads a word; a list is read entry by entry.
    pub(crate) fn word(text: &str) -> Option<Self> {
        match text {
            "anyone" => Some(Self::Anyone),
            "tokens" => Some(Self::Tokens),
            _ => None,
        }
    }

    /// Whether some clients may not read.
    pub(crate) fn are_restricted(&self) -> bool {
        *self != Self::Anyone
    }
}

impl FromStr for ListedReader {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (make, name): (fn(String) -> Self, _) = match text.strip_prefix(GROUP) {
            Some(group) => (Self::Group, group),
            None => (Self::Name, text),
        };
        if is_name(name) { Ok(make(name.to_owned())) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for ListedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Group(name) => write!(f, "{GROUP}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_or_a_group() {
        for text in ["ci-main", "group:release", "anyone", "group"] {
            assert_eq!(text.parse::<ListedReader>().unwrap().to_string(), text);
        }
        for bad in ["", "group:", "group:a b", "a:b", "group:a:b", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<ListedReader>().is_err(), "{bad}");
        }
    }
}
