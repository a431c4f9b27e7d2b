//! Sections: structs whose fields are the keys of a table. They can be read, printed, compared and described.
//!
//! Owns required keys, unknown keys and nested tables. Must not know any key by name, nor the form of a plain
//! value.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::about::{AppliedBy, KeyAbout, Nested};
use super::error::ValueOrigin;
use super::format::{Compare, Print, ValueFormat};
use super::reading::ConfigReading;
use super::sources::{SourceTree, SourceValue};

/// A struct whose fields are the keys of one table.
pub(super) trait Section: Clone + PartialEq + 'static {
    /// Reads every key; `None` if nothing can stand in for a required one that is missing or bad.
    fn read(table: &mut TableReader<'_, '_>) -> Option<Self>;

    /// The keys, in the order of their declaration.
    fn keys() -> Vec<ConfigKey<Self>>;
}

/// One key of the section `S`.
pub(super) struct ConfigKey<S> {
    about: KeyAbout,
    print: Print<S>,
    compare: Compare<S>,
}

impl<S: 'static> ConfigKey<S> {
    /// A key whose value `field` finds and `format` describes. A key without a default is required.
    pub(super) fn new<T: 'static>(
        name: &'static str,
        why: &'static [&'static str],
        applied_by: Option<AppliedBy>,
        format: ValueFormat<T>,
        default: Option<&T>,
        field: fn(&S) -> &T,
    ) -> Self {
        let ValueFormat { expected, example, nested, print, compare, read: _ } = format;
        let (required, default) = (default.is_none(), default.and_then(&print));
        let about = KeyAbout { name, why, expected, example, required, default, applied_by, nested };
        ConfigKey { about, print, compare }.added_to(field)
    }

    /// The same key, in a section that adds those of `S`.
    pub(super) fn added_to<Outer: 'static>(self, field: fn(&Outer) -> &S) -> ConfigKey<Outer> {
        let Self { about, print, compare } = self;
        ConfigKey {
            about,
            print: Box::new(move |outer| print(field(outer))),
            compare: Box::new(move |both, path, found| compare(both.map(|one| one.map(field)), path, found)),
        }
    }
}

/// The description of each key of a section.
pub(super) fn about<S: Section>() -> Vec<KeyAbout> {
    S::keys().into_iter().map(|key| key.about).collect()
}

/// The table that reads as `section`.
pub(super) fn print<S: Section>(section: &S) -> Table {
    let entry = |key: ConfigKey<S>| Some((key.about.name.to_owned(), (key.print)(section)?));
    S::keys().into_iter().filter_map(entry).collect()
}

/// Adds the full names of the keys in which two sections at `path` differ.
pub(super) fn compare<S: Section>(both: [Option<&S>; 2], path: &str, found: &mut BTreeSet<String>) {
    for key in S::keys() {
        (key.compare)(both, &below(path, key.about.name), found);
    }
}

/// A table with the keys of `S`.
pub(super) fn table<S: Section>() -> ValueFormat<S> {
    ValueFormat {
        expected: "a table".to_owned(),
        example: None,
        nested: Nested::Table(about::<S>()),
        read: Box::new(|given, path, reading| TableReader::read(given, path, reading)),
        print: Box::new(|section| Some(Value::Table(print(section)))),
        compare: Box::new(compare),
    }
}

/// A list of tables with the keys of `S`. No two have the same value of a key in `unique`.
pub(super) fn tables<S: Section>(unique: &'static [&'static str]) -> ValueFormat<Vec<S>> {
    let read = move |given: SourceValue, path: &str, reading: &mut ConfigReading<'_>| {
        let SourceTree::List(list) = given.tree else {
            let message = format!("expected a list of tables, each under [[{path}]]");
            reading.refuse_at(given.origin, path, message);
            return None;
        };
        for key in unique {
            refuse_repeats(&list, path, key, reading);
        }
        let tables = list.into_iter().enumerate();
        Some(
            tables
                .filter_map(|(index, table)| TableReader::read(table, &format!("{path}[{index}]"), reading))
                .collect(),
        )
    };
    ValueFormat {
        expected: "a list of tables".to_owned(),
        nested: Nested::Tables(about::<S>()),
        read: Box::new(read),
        ..table().list()
    }
}

/// Reads the keys of one table; those that remain are unknown.
pub(super) struct TableReader<'t, 'a> {
    path: &'t str,
    origin: ValueOrigin,
    /// What is no table lacks no key.
    is_table: bool,
    /// The values that were not read yet.
    left: BTreeMap<String, SourceValue>,
    known: Vec<&'static str>,
    reading: &'t mut ConfigReading<'a>,
}

impl<'t, 'a> TableReader<'t, 'a> {
    /// Reads the table at `path` as a section.
    pub(super) fn read<S: Section>(
        given: SourceValue,
        path: &'t str,
        reading: &'t mut ConfigReading<'a>,
    ) -> Option<S> {
        let SourceValue { origin, tree } = given;
        let (left, is_table) = match tree {
            SourceTree::Table(left) => (left, true),
            SourceTree::List(_) | SourceTree::Plain(_) => {
                reading.refuse_at(origin.clone(), path, "expected a table");
                (BTreeMap::new(), false)
            }
        };
        reading.give(path.to_owned(), origin.clone());
        let mut table = Self { path, origin, is_table, left, known: Vec::new(), reading };
        let section = S::read(&mut table);
        for (key, given) in table.left {
            let message = unknown(&key, &table.known);
            table.reading.refuse_at(given.origin, below(path, &key), message);
        }
        section
    }

    /// The value of `key`, or its default if none is given or if it is bad.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        format: ValueFormat<T>,
        default: impl FnOnce() -> T,
    ) -> T {
        self.take(key, &format).unwrap_or_else(default)
    }

    /// The value of `key`; its absence is an error. After an error its example stands in for it, so that the section is there and
    /// its other keys are checked all the same.
    pub(super) fn required<T>(&mut self, key: &'static str, format: ValueFormat<T>) -> Option<T> {
        if self.is_table && !self.left.contains_key(key) {
            let message = format!("missing; expected {}", format.expected);
            self.reading.refuse_at(self.origin.clone(), below(self.path, key), message);
        }
        self.take(key, &format).or_else(|| format.stand_in())
    }

    fn take<T>(&mut self, key: &'static str, format: &ValueFormat<T>) -> Option<T> {
        self.known.push(key);
        let given = self.left.remove(key)?;
        let path = below(self.path, key);
        self.reading.give(path.clone(), given.origin.clone());
        (format.read)(given, &path, self.reading)
    }
}

/// The full name of `key` in the table at `path`, as TOML writes it: a key without characters is `""`.
fn below(path: &str, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let quoted = || Value::from(key).to_string();
    let key = if key.is_empty() || !key.bytes().all(is_bare) { quoted() } else { key.to_owned() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn refuse_repeats(list: &[SourceValue], path: &str, key: &str, reading: &mut ConfigReading<'_>) {
    let mut first = BTreeMap::new();
    for (index, element) in list.iter().enumerate() {
        let SourceTree::Table(table) = &element.tree else { continue };
        let Some(SourceValue { origin, tree: SourceTree::Plain(Value::String(text)) }) = table.get(key)
        else {
            continue;
        };
        let earlier = *first.entry(text).or_insert(index);
        if earlier != index {
            let message = format!("expected a {key} of its own; {path}[{earlier}] has the same");
            reading.refuse_at(origin.clone(), format!("{path}[{index}].{key}"), message);
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (strsim::osa_distance(key, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= known.len() / 3 => {
            format!("unknown key; did you mean `{known}`?")
        }
        Some(_) | None => format!("unknown key; expected one of {}", known.join(", ")),
    }
}
