//! Where an operator wrote something: file, line, column and key.
//!
//! Owns its text form in messages. Must not know what was written.

use std::fmt;

/// A place in a file of rules or in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file; empty if it is not known.
    pub source: String,
    /// The key, as in `policy.rules[3].match`.
    pub key: String,
    /// Line and column, counted from 1.
    pub position: Option<(usize, usize)>,
}

impl Place {
    /// The key `key` in `source`.
    #[must_use]
    pub fn new(source: &str, key: impl Into<String>) -> Self {
        Self { source: source.to_owned(), key: key.into(), position: None }
    }

    /// The place of `key` within this one.
    #[must_use]
    pub fn below(&self, key: &str) -> Self {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Self { key, ..self.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            match self.position {
                Some((line, column)) => write!(f, "{}:{line}:{column}: ", self.source)?,
                None => write!(f, "{}: ", self.source)?,
            }
        }
        f.write_str(&self.key)
    }
}
