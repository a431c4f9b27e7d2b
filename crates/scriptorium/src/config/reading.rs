//! The state while a configuration is read: errors so far, keys that were given, and the environment.
//!
//! Owns this state. Must not know any key, nor the form of a value.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, ValueOrigin};

/// Errors and given keys while the sources are read.
pub(super) struct ConfigReading<'a> {
    /// The environment, for keys that name a variable.
    pub(super) env: &'a BTreeMap<String, String>,
    file: Option<&'a Path>,
    /// The errors so far.
    pub(super) errors: Vec<ConfigError>,
    given: BTreeMap<String, ValueOrigin>,
}

impl<'a> ConfigReading<'a> {
    pub(super) fn new(env: &'a BTreeMap<String, String>, file: Option<&'a Path>) -> Self {
        Self { env, file, errors: Vec::new(), given: BTreeMap::new() }
    }

    /// Records that `origin` gives `key`.
    pub(super) fn give(&mut self, key: String, origin: ValueOrigin) {
        self.given.insert(key, origin);
    }

    /// Whether any source gives `key`.
    pub(super) fn was_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Records that the value of `key`, which `origin` gives, is wrong.
    pub(super) fn refuse_at(
        &mut self,
        origin: ValueOrigin,
        key: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.errors.push(ConfigError { origin, key: key.into(), message: message.into() });
    }

    /// Records that `key` is wrong, with the place where it was given.
    pub(super) fn refuse(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let origin = self.origin(&key);
        self.refuse_at(origin, key, message);
    }

    /// Where `key` was given; the file as a whole if it was not.
    pub(super) fn origin(&self, key: &str) -> ValueOrigin {
        let whole = self
            .file
            .map_or(ValueOrigin::Unset, |path| ValueOrigin::File { path: path.to_owned(), position: None });
        self.given.get(key).cloned().unwrap_or(whole)
    }
}
