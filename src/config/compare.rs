//! Comparing: the keys in which two configurations differ.
//!
//! Owns the walk that compares. It sees secrets too, and tells of keys alone. Must not know what a change leads to.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::model::Config;
use super::schema::{self, Visitor, Walk};

type Values = BTreeMap<String, Box<dyn Any>>;

/// Walks one configuration beside the values of another.
#[derive(Default)]
struct Comparison {
    /// The table being walked.
    path: String,
    /// Values of the other configuration that were not met with yet.
    other: Values,
    /// Values that the other configuration does not have.
    own: Values,
}

impl Config {
    /// The keys in which two configurations differ, such as `cache.index_ttl`; a list of tables is one key.
    #[must_use]
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut first = Comparison::default();
        schema::config(&mut first, self);
        let mut second = Comparison { other: first.own, ..Comparison::default() };
        schema::config(&mut second, other);
        second.own.into_keys().chain(second.other.into_keys()).collect()
    }
}

impl Comparison {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn meet<T: PartialEq + 'static>(&mut self, key: &str, value: T) {
        let path = self.path_of(key);
        let other = self.other.remove(&path);
        if other.as_deref().and_then(<dyn Any>::downcast_ref) != Some(&value) {
            self.own.insert(path, Box::new(value));
        }
    }

    fn within<T>(&mut self, key: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        let inner = self.path_of(key);
        let outer = std::mem::replace(&mut self.path, inner);
        let answer = walk(self);
        self.path = outer;
        answer
    }
}

impl Visitor for Comparison {
    fn setting<T: Clone + PartialEq + 'static>(&mut self, key: &'static str, _: &Kind<T>, now: &T) -> T {
        self.meet(key, now.clone());
        now.clone()
    }

    fn list<T: Clone + PartialEq + 'static>(&mut self, key: &'static str, _: &Kind<T>, now: &[T]) -> Vec<T> {
        self.meet(key, now.to_vec());
        now.to_vec()
    }

    fn section<T>(&mut self, key: &'static str, now: &T, walk: fn(&mut Self, &T) -> T) -> T {
        self.within(key, |comparison| walk(comparison, now))
    }

    fn table<T>(&mut self, key: &'static str, now: Option<&T>, walk: Walk<Self, T>) -> Option<T> {
        now?;
        self.within(key, |comparison| walk(comparison, now))
    }

    fn tables<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        _: &[&'static str],
        now: &[T],
        _: Walk<Self, T>,
    ) -> Vec<T> {
        self.meet(key, now.to_vec());
        now.to_vec()
    }
}
