//! The errors of a configuration, with the place of each.
//!
//! Owns where a value came from and the text of errors. Must not show a value: it may be a secret in the
//! wrong place.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueOrigin {
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line and column, counted from 1; unset if the file as a whole is meant.
        position: Option<(usize, usize)>,
    },
    /// The environment variable of this name.
    Environment(String),
    /// The command line flag of this name.
    Flag(&'static str),
    /// No source: it was not given.
    Unset,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, position: None } => write!(f, "{}", path.display()),
            Self::File { path, position: Some((line, column)) } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
            Self::Unset => f.write_str("configuration"),
        }
    }
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}", self.sentence())]
pub(crate) struct ConfigError {
    /// Where the value came from.
    pub origin: ValueOrigin,
    /// The key, such as `upstreams[0].url`; none if the file could not be read or is not TOML.
    pub key: Option<String>,
    /// The expected value.
    pub message: String,
}

impl ConfigError {
    /// The error without its place.
    pub(crate) fn sentence(&self) -> String {
        match &self.key {
            Some(key) => format!("{key}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Whether it is about `key`, or about a part of its value.
    pub(super) fn is_about(&self, key: &str) -> bool {
        let rest = self.key.as_deref().and_then(|own| own.strip_prefix(key));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// Every error, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
