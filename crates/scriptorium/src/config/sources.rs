//! The sources as one tree: file, then environment, then flags. Each value keeps where it came from.
//!
//! Owns TOML syntax and the precedence of sources. Must not know which keys exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::error::{ConfigError, ValueOrigin};
use super::value::Location;

/// The prefix of variables that are settings. They also contain a double underscore: Kubernetes sets
/// `SCRIPTORIUM_SERVICE_HOST` and the like for a service of that name.
pub(super) const PREFIX: &str = "SCRIPTORIUM_";
const SEPARATOR: &str = "__";
/// More levels than any key has. The name of a variable is not split further, so that it stays an unknown
/// key.
const MOST_LEVELS: usize = 8;

/// The settings on the command line, which override every other source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    /// `--upstream`: the only upstream, for every volume.
    pub(crate) upstream: Option<String>,
    /// `--listen`
    pub(crate) listen: Option<String>,
    /// `--data`: the folder of the storage.
    pub(crate) data: Option<PathBuf>,
    /// The command works on the store only, so the configuration may name no upstream.
    pub(crate) beside: bool,
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct SourceValue {
    pub(super) origin: ValueOrigin,
    pub(super) tree: SourceTree,
}

/// A TOML value whose parts have origins of their own.
#[derive(Debug, Clone)]
pub(super) enum SourceTree {
    Table(BTreeMap<String, SourceValue>),
    List(Vec<SourceValue>),
    /// A boolean, an integer, a text, or a value that no key takes.
    Plain(Value),
}

impl Default for SourceValue {
    fn default() -> Self {
        Self { origin: ValueOrigin::Unset, tree: SourceTree::Table(BTreeMap::new()) }
    }
}

impl SourceValue {
    /// Reads a file; syntax errors have line and column.
    pub(super) fn from_file(path: &Path) -> Result<Self, Vec<ConfigError>> {
        match Self::recovered(path)? {
            (whole, errors) if errors.is_empty() => Ok(whole),
            (_, errors) => Err(errors),
        }
    }

    /// What can be read of a file, and its syntax errors.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub(super) fn recovered(path: &Path) -> Result<(Self, Vec<ConfigError>), Vec<ConfigError>> {
        let at = |position| ValueOrigin::File { path: path.to_owned(), position };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("expected a readable TOML file: {error}");
            vec![ConfigError { origin: at(None), key: None, message }]
        })?;
        let locate = |byte: usize| at(Some(line_and_column(&text, byte)));
        let (table, errors) = DeTable::parse_recoverable(&text);
        let read = Self { origin: locate(0), tree: table_of(table.get_ref(), &locate) };
        let refused = errors.iter().map(|error| ConfigError {
            origin: locate(error.span().map_or(0, |span| span.start)),
            key: None,
            message: format!("not TOML: {}", error.message()),
        });
        Ok((read, refused.collect()))
    }

    /// Lays `SCRIPTORIUM_SECTION__KEY` variables over the file; a number names the element of a list.
    pub(super) fn overlay_environment(&mut self, env: &BTreeMap<String, String>) -> Vec<ConfigError> {
        let mut settings: Vec<_> =
            env.iter().filter_map(|(name, text)| Some((path_of(name)?, name, text))).collect();
        // A parent before its children, and element 2 before element 10.
        settings.sort_by_cached_key(|(path, ..)| {
            path.iter().map(|part| (part.len(), part.clone())).collect::<Vec<_>>()
        });
        let mut errors = Vec::new();
        for (path, name, text) in settings {
            let origin = ValueOrigin::Environment(name.clone());
            let set = match text.contains(char::REPLACEMENT_CHARACTER) {
                true => Err("expected UTF-8 text"),
                false => self.set(&path, Self::from_variable(text, &origin)),
            };
            if let Err(message) = set {
                errors.push(ConfigError { origin, key: Some(path.join(".")), message: message.to_owned() });
            }
        }
        errors
    }

    /// Lays the command line over file and environment.
    pub(super) fn overlay_flags(&mut self, flags: Overrides) {
        let SourceTree::Table(root) = &mut self.tree else { return };
        if let Some(url) = flags.upstream {
            let origin = ValueOrigin::Flag("--upstream");
            let keys = [("name", "upstream"), ("url", &url)];
            let keys = keys.map(|(key, text)| (key.to_owned(), Self::text(text, &origin)));
            let only = Self { origin: origin.clone(), tree: SourceTree::Table(keys.into()) };
            root.insert("upstreams".to_owned(), Self { origin, tree: SourceTree::List(vec![only]) });
        }
        let settings = [
            ("server", "listen", "--listen", flags.listen),
            ("storage", "url", "--data", flags.data.map(location)),
        ];
        for (section, key, flag, text) in settings {
            let Some(text) = text else { continue };
            let section = root.entry(section.to_owned()).or_default();
            if let SourceTree::Table(table) = &mut section.tree {
                table.insert(key.to_owned(), Self::text(&text, &ValueOrigin::Flag(flag)));
            }
        }
    }

    /// A value in TOML, which no source gives.
    pub(super) fn of_toml(text: &str) -> Option<Self> {
        let tree = tree_of(DeValue::parse(text).ok()?.get_ref(), &|_| ValueOrigin::Unset);
        Some(Self { origin: ValueOrigin::Unset, tree })
    }

    /// The plain values that this may mean. A variable is text, whatever its key expects; so the TOML in the
    /// text is tried first, then the text itself.
    pub(super) fn plain(&self) -> impl Iterator<Item = Value> {
        let (toml, value) = match (&self.tree, &self.origin) {
            (SourceTree::Plain(value), ValueOrigin::Environment(_)) => {
                (value.as_str().and_then(plain_toml), Some(value.clone()))
            }
            (SourceTree::Plain(value), _) => (None, Some(value.clone())),
            (SourceTree::Table(_) | SourceTree::List(_), _) => (None, None),
        };
        toml.into_iter().chain(value)
    }

    /// Tells `found` of this value, whose name is `name`, and of everything in it.
    pub(super) fn each(&self, name: &str, found: &mut dyn FnMut(&str, &ValueOrigin)) {
        found(name, &self.origin);
        match &self.tree {
            SourceTree::Table(table) => {
                table.iter().for_each(|(key, value)| value.each(&format!("{name}.{key}"), found));
            }
            SourceTree::List(list) => {
                list.iter().enumerate().for_each(|(at, value)| value.each(&format!("{name}[{at}]"), found));
            }
            SourceTree::Plain(_) => {}
        }
    }

    /// The value as TOML, without where its parts came from.
    pub(super) fn into_toml(self) -> Value {
        match self.tree {
            SourceTree::Table(table) => {
                Value::Table(table.into_iter().map(|(key, value)| (key, value.into_toml())).collect())
            }
            SourceTree::List(list) => Value::Array(list.into_iter().map(Self::into_toml).collect()),
            SourceTree::Plain(value) => value,
        }
    }

    fn text(text: &str, origin: &ValueOrigin) -> Self {
        Self { origin: origin.clone(), tree: SourceTree::Plain(Value::String(text.to_owned())) }
    }

    /// A list or an inline table is read as TOML here; what a plain value is depends on its key.
    fn from_variable(text: &str, origin: &ValueOrigin) -> Self {
        match DeValue::parse(text) {
            Ok(value) if value.get_ref().is_array() || value.get_ref().is_table() => {
                Self { origin: origin.clone(), tree: tree_of(value.get_ref(), &|_| origin.clone()) }
            }
            Ok(_) | Err(_) => Self::text(text, origin),
        }
    }

    fn set(&mut self, path: &[String], value: Self) -> Result<(), &'static str> {
        let Some((part, rest)) = path.split_first() else {
            *self = value;
            return Ok(());
        };
        // A number names an element, so the first one makes an absent value a list.
        if part.parse::<usize>().is_ok() && matches!(&self.tree, SourceTree::Table(table) if table.is_empty())
        {
            self.tree = SourceTree::List(Vec::new());
        }
        let absent = || Self { origin: value.origin.clone(), ..Self::default() };
        match &mut self.tree {
            SourceTree::Table(table) => table.entry(part.clone()).or_insert_with(absent).set(rest, value),
            SourceTree::List(list) => {
                let index: usize = part.parse().map_err(|_| "expected the number of a list element")?;
                if index == list.len() {
                    list.push(absent());
                }
                let element = list.get_mut(index);
                element.ok_or("expected list elements to be numbered from 0 without a gap")?.set(rest, value)
            }
            SourceTree::Plain(_) => Err("expected a key, and this one's parent holds a plain value"),
        }
    }
}

fn location(folder: PathBuf) -> String {
    Location::File(std::path::absolute(&folder).unwrap_or(folder)).to_string()
}

fn plain_toml(text: &str) -> Option<Value> {
    match SourceValue::of_toml(text)?.tree {
        SourceTree::Plain(value) => Some(value),
        SourceTree::Table(_) | SourceTree::List(_) => None,
    }
}

fn path_of(variable: &str) -> Option<Vec<String>> {
    let path = variable.strip_prefix(PREFIX).filter(|path| path.contains(SEPARATOR))?;
    Some(path.splitn(MOST_LEVELS, SEPARATOR).map(str::to_ascii_lowercase).collect())
}

fn tree_of(value: &DeValue<'_>, locate: &impl Fn(usize) -> ValueOrigin) -> SourceTree {
    // Stands for integers of more than 64 bits, which no key takes.
    let other = Value::Float(f64::NAN);
    match value {
        DeValue::Table(table) => table_of(table, locate),
        DeValue::Array(array) => {
            SourceTree::List(array.iter().map(|value| located(value, value.span().start, locate)).collect())
        }
        DeValue::Boolean(flag) => SourceTree::Plain(Value::Boolean(*flag)),
        DeValue::String(text) => SourceTree::Plain(Value::String(text.to_string())),
        DeValue::Integer(digits) => SourceTree::Plain(
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(other, Value::Integer),
        ),
        DeValue::Float(digits) => SourceTree::Plain(digits.as_str().parse().map_or(other, Value::Float)),
        // A key that takes a day takes it without quotes too.
        DeValue::Datetime(date) => SourceTree::Plain(Value::String(date.to_string())),
    }
}

fn table_of(table: &DeTable<'_>, locate: &impl Fn(usize) -> ValueOrigin) -> SourceTree {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), located(value, key.span().start, locate)));
    SourceTree::Table(entries.collect())
}

fn located(value: &Spanned<DeValue<'_>>, at: usize, locate: &impl Fn(usize) -> ValueOrigin) -> SourceValue {
    SourceValue { origin: locate(at), tree: tree_of(value.get_ref(), locate) }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
