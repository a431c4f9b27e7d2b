//! The state while a configuration is read: errors so far, keys that were given, and the environment.
//!
//! Owns this state. Must not know any key, nor the form of a value.

use std::collections::BTreeMap;
use std::iter::successors;
use std::path::Path;

use super::error::{ConfigError, ValueOrigin};

/// Errors and given keys while the sources are read.
pub(super) struct ConfigReading<'a> {
    /// The environment, for keys that name a variable.
    pub(super) env: &'a BTreeMap<String, String>,
    file: Option<&'a Path>,
    /// The errors so far.
    pub(super) errors: Vec<ConfigError>,
    /// How many of them are about values, and not about rules between keys; unset until all values are read.
    values: Option<usize>,
    /// What is valid and probably not meant, one sentence each.
    pub(super) notes: Vec<String>,
    given: BTreeMap<String, ValueOrigin>,
}

impl<'a> ConfigReading<'a> {
    pub(super) fn new(env: &'a BTreeMap<String, String>, file: Option<&'a Path>) -> Self {
        Self { env, file, errors: Vec::new(), values: None, notes: Vec::new(), given: BTreeMap::new() }
    }

    /// Records that `origin` gives `key`, or the table of this name.
    pub(super) fn give(&mut self, key: String, origin: ValueOrigin) {
        self.given.insert(key, origin);
    }

    /// Whether any source gives `key`.
    pub(super) fn was_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Records that every value is read. What follows is about rules between keys.
    pub(super) fn end_values(&mut self) {
        self.values = Some(self.errors.len());
    }

    /// Whether the value of `key` is known: none was refused. A rule between keys waits for all of its values.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.errors.iter().take(self.values.unwrap_or(usize::MAX)).all(|error| !error.is_about(key))
    }

    /// Records that the value of `key`, which `origin` gives, is wrong.
    pub(super) fn refuse_at(
        &mut self,
        origin: ValueOrigin,
        key: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.errors.push(ConfigError { origin, key: Some(key.into()), message: message.into() });
    }

    /// Records that `key` is wrong, with the place where it was given.
    pub(super) fn refuse(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let origin = self.origin(&key);
        self.refuse_at(origin, key, message);
    }

    /// Where `key` was given, else the table that it belongs to; the file as a whole if neither was.
    pub(super) fn origin(&self, key: &str) -> ValueOrigin {
        let whole = || {
            self.file.map_or(ValueOrigin::Unset, |path| ValueOrigin::File {
                path: path.to_owned(),
                position: None,
            })
        };
        let tables = successors(Some(key), |key| key.rsplit_once('.').map(|(table, _)| table));
        tables.into_iter().find_map(|key| self.given.get(key).cloned()).unwrap_or_else(whole)
    }
}
