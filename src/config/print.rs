//! Printing: the effective configuration as TOML that loads again, secrets redacted.
//!
//! Owns the walk that writes. Redaction is a matter of the kind, not of this file.

use toml::{Table, Value};

use super::kind::Kind;
use super::model::Config;
use super::schema::{self, Visitor, Walk};

#[derive(Default)]
struct Printer {
    table: Table,
}

impl Config {
    /// The effective configuration as TOML. `token_env` shows the variable's name only and token digests show
    /// `<redacted>`; all else loads again as it is.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut printer = Printer::default();
        schema::config(&mut printer, self);
        printer.table.to_string()
    }
}

impl Printer {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.table.insert(key.to_owned(), value.into());
    }

    fn inner<T>(&mut self, walk: impl FnOnce(&mut Self) -> T) -> (Table, T) {
        let outer = std::mem::take(&mut self.table);
        let answer = walk(self);
        (std::mem::replace(&mut self.table, outer), answer)
    }
}

impl Visitor for Printer {
    fn setting<T: Clone + PartialEq + 'static>(&mut self, key: &'static str, kind: &Kind<T>, now: &T) -> T {
        self.put(key, (kind.print)(now));
        now.clone()
    }

    fn list<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        now: &[T],
    ) -> Vec<T> {
        self.put(key, now.iter().map(kind.print).collect::<Vec<_>>());
        now.to_vec()
    }

    fn section<T>(&mut self, key: &'static str, now: &T, walk: fn(&mut Self, &T) -> T) -> T {
        let (table, answer) = self.inner(|printer| walk(printer, now));
        self.put(key, table);
        answer
    }

    fn table<T>(&mut self, key: &'static str, now: Option<&T>, walk: Walk<Self, T>) -> Option<T> {
        now?;
        let (table, answer) = self.inner(|printer| walk(printer, now));
        self.put(key, table);
        answer
    }

    fn tables<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        _: &[&'static str],
        now: &[T],
        walk: Walk<Self, T>,
    ) -> Vec<T> {
        let (tables, answers): (Vec<_>, Vec<_>) =
            now.iter().map(|now| self.inner(|printer| walk(printer, Some(now)))).unzip();
        self.put(key, tables);
        answers.into_iter().flatten().collect()
    }
}
