//! The format of a value: how it is read, printed and compared, and the text that says what was expected.
//!
//! Owns plain values, optional values and lists of values. Must not know any key, nor tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Value;

use super::about::Nested;
use super::error::ValueOrigin;
use super::reading::ConfigReading;
use super::sources::{SourceTree, SourceValue};

pub(super) type Read<T> = Box<dyn Fn(SourceValue, &str, &mut ConfigReading<'_>) -> Option<T>>;
pub(super) type Print<T> = Box<dyn Fn(&T) -> Option<Value>>;
pub(super) type Compare<T> = Box<dyn Fn([Option<&T>; 2], &str, &mut BTreeSet<String>)>;

/// How a value of type `T` is written in a configuration.
pub(super) struct ValueFormat<T> {
    /// Completes "expected …".
    pub(super) expected: String,
    /// A value in TOML that is shown instead of the default.
    pub(super) example: Option<&'static str>,
    pub(super) nested: Nested,
    /// Reads the value of the key with the given full name; records what is wrong with it.
    pub(super) read: Read<T>,
    /// `None` if there is nothing to print.
    pub(super) print: Print<T>,
    /// Adds the full names of keys in which two values differ.
    pub(super) compare: Compare<T>,
}

/// What a plain value may refer to.
pub(super) struct Scope<'a> {
    /// The folder from which relative paths start.
    folder: &'a Path,
    /// The environment, for keys that name a variable.
    pub(super) env: &'a BTreeMap<String, String>,
}

impl<'a> Scope<'a> {
    /// Paths in the file start from its folder, others from the working directory.
    fn of(origin: &'a ValueOrigin, env: &'a BTreeMap<String, String>) -> Self {
        let folder = match origin {
            ValueOrigin::File { path, .. } => path.parent().unwrap_or(path),
            ValueOrigin::Environment(_) | ValueOrigin::Flag(_) | ValueOrigin::Unset => Path::new(""),
        };
        Self { folder, env }
    }

    /// The absolute path that `path` means.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        std::path::absolute(self.folder.join(path)).ok()
    }
}

impl<T> ValueFormat<T> {
    /// The example as a value.
    pub(super) fn stand_in(&self) -> Option<T> {
        let (value, nothing) = (SourceValue::of_toml(self.example?)?, BTreeMap::new());
        (self.read)(value, "", &mut ConfigReading::new(&nothing, None))
    }
}

impl<T: PartialEq + 'static> ValueFormat<T> {
    /// A value without parts, which `parse` accepts, or says what is wrong with it where it knows more than that.
    pub(super) fn judged(
        expected: impl Into<String>,
        parse: impl Fn(&Value, &Scope<'_>) -> Result<T, Option<String>> + 'static,
        print: impl Fn(&T) -> Value + 'static,
    ) -> Self {
        let expected = expected.into();
        let message = format!("expected {expected}");
        let read = move |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
            let scope = Scope::of(&given.origin, reading.env);
            let mut wrong = None;
            for value in given.plain() {
                match parse(&value, &scope) {
                    Ok(value) => return Some(value),
                    Err(why) => wrong = why,
                }
            }
            reading.refuse_at(given.origin, key, wrong.as_deref().unwrap_or(&message));
            None
        };
        Self {
            expected,
            example: None,
            nested: Nested::Nothing,
            read: Box::new(read),
            print: Box::new(move |value| Some(print(value))),
            compare: Box::new(compare_whole),
        }
    }

    /// A value without parts, which `parse` accepts.
    pub(super) fn plain(
        expected: impl Into<String>,
        parse: impl Fn(&Value, &Scope<'_>) -> Option<T> + 'static,
        print: impl Fn(&T) -> Value + 'static,
    ) -> Self {
        Self::judged(expected, move |value, scope| parse(value, scope).ok_or(None), print)
    }

    /// A text that `parse` accepts and `T` prints.
    pub(super) fn text(
        expected: impl Into<String>,
        parse: impl Fn(&str, &Scope<'_>) -> Option<T> + 'static,
        print: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let parse = move |value: &Value, scope: &Scope<'_>| parse(value.as_str()?, scope);
        Self::plain(expected, parse, move |value| Value::String(print(value)))
    }

    /// The path of a file, which `open` reads at once, or says why it cannot be used; `path` gives the path back.
    pub(super) fn file(
        expected: &'static str,
        open: impl Fn(PathBuf) -> Result<T, String> + 'static,
        path: impl Fn(&T) -> &Path + 'static,
    ) -> Self {
        let parse = move |value: &Value, scope: &Scope<'_>| {
            let text = value.as_str().filter(|text| !text.is_empty()).ok_or(None)?;
            let path = scope.resolve(text).ok_or(None)?;
            let shown = path.display().to_string();
            open(path).map_err(|why| Some(format!("expected {expected}; {shown}: {why}")))
        };
        Self::judged(expected, parse, move |file| Value::String(path(file).display().to_string()))
    }

    /// A text that the type itself parses and prints.
    pub(super) fn parsed(expected: impl Into<String>) -> Self
    where
        T: FromStr + Display,
    {
        Self::text(expected, |text, _| text.parse().ok(), T::to_string)
    }

    /// The same value, or none.
    pub(super) fn optional(self) -> ValueFormat<Option<T>> {
        let Self { expected, example, nested, read, print, compare } = self;
        ValueFormat {
            expected,
            example,
            nested,
            read: Box::new(move |given, key, reading| read(given, key, reading).map(Some)),
            print: Box::new(move |value| print(value.as_ref()?)),
            compare: Box::new(move |both, key, found| compare(both.map(|one| one?.as_ref()), key, found)),
        }
    }

    /// A list of such values.
    pub(super) fn list(self) -> ValueFormat<Vec<T>> {
        let expected = format!("a list, each of it {}", self.expected);
        let message = format!("expected {expected}");
        let (read, print) = (self.read, self.print);
        let read = move |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
            let SourceTree::List(elements) = given.tree else {
                reading.refuse_at(given.origin, key, &message);
                return None;
            };
            let elements = elements.into_iter().enumerate();
            Some(
                elements
                    .filter_map(|(index, given)| read(given, &format!("{key}[{index}]"), reading))
                    .collect(),
            )
        };
        ValueFormat {
            expected,
            example: self.example,
            nested: self.nested,
            read: Box::new(read),
            print: Box::new(move |values| Some(values.iter().filter_map(&print).collect::<Vec<_>>().into())),
            compare: Box::new(compare_whole),
        }
    }

    /// Notes a value of which `doubt` says what was understood.
    pub(super) fn doubted(self, doubt: impl Fn(&T) -> Option<String> + 'static) -> Self {
        let read = self.read;
        let read = move |given: SourceValue, key: &str, reading: &mut ConfigReading<'_>| {
            let value = read(given, key, reading)?;
            reading.notes.extend(doubt(&value).map(|understood| format!("{key} is {understood}")));
            Some(value)
        };
        Self { read: Box::new(read), ..self }
    }

    /// Shows `toml` as a value of this format.
    pub(super) fn example(self, toml: &'static str) -> Self {
        Self { example: Some(toml), ..self }
    }
}

/// Compares values as one.
fn compare_whole<T: PartialEq>([one, other]: [Option<&T>; 2], key: &str, found: &mut BTreeSet<String>) {
    if one != other {
        found.insert(key.to_owned());
    }
}
