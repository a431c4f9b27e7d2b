//! The sources as one tree: file, then environment, then flags, each value remembering where it came from.
//!
//! Owns TOML syntax and how later sources lie over earlier ones. Must not know which keys exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::load::Overrides;
use super::value::Location;

/// What the environment's settings start with. A variable without a double underscore behind it is none of ours:
/// Kubernetes sets `SCRIPTORIUM_SERVICE_HOST` and its like for a service of that name.
const PREFIX: &str = "SCRIPTORIUM_";
const SEPARATOR: &str = "__";
/// Deeper than any key; what lies below is left in one piece and told about as unknown.
const DEEPEST: usize = 8;

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Tree,
}

/// A TOML value, as far as a configuration goes.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Leaf(Scalar),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Bool(bool),
    Integer(i64),
    Text(String),
    /// Floats, dates and integers past 64 bits, which no key takes.
    Other,
}

impl Default for Node {
    fn default() -> Self {
        Self { origin: Origin::Unset, value: Tree::Table(BTreeMap::new()) }
    }
}

impl Node {
    /// Reads a file; syntax errors come with line and column.
    pub(super) fn from_file(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let whole = Origin::File { path: path.to_owned(), position: None };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("expected a readable TOML file: {error}");
            vec![ConfigError { origin: whole, key: String::new(), message }]
        })?;
        let locate =
            |at: usize| Origin::File { path: path.to_owned(), position: Some(line_and_column(&text, at)) };
        let (table, errors) = DeTable::parse_recoverable(&text);
        if errors.is_empty() {
            return Ok(Self { origin: locate(0), value: table_of(table.get_ref(), &locate) });
        }
        let told = errors.iter().map(|error| ConfigError {
            origin: locate(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            message: format!("not TOML: {}", error.message()),
        });
        Err(told.collect())
    }

    /// Lays `SCRIPTORIUM_SECTION__KEY` variables over what is there; list elements are named by number.
    pub(super) fn overlay_environment(&mut self, env: &BTreeMap<String, String>) -> Vec<ConfigError> {
        let mut settings: Vec<_> =
            env.iter().filter_map(|(name, text)| Some((path_of(name)?, name, text))).collect();
        // A parent before its children, and element 2 before element 10.
        settings.sort_by_cached_key(|(path, ..)| {
            path.iter().map(|part| (part.len(), part.clone())).collect::<Vec<_>>()
        });
        let mut errors = Vec::new();
        for (path, name, text) in settings {
            let origin = Origin::Environment(name.clone());
            if let Err(message) = self.set(&path, Self::from_environment(text, &origin)) {
                errors.push(ConfigError { origin, key: path.join("."), message: message.to_owned() });
            }
        }
        errors
    }

    /// Lays the command line over everything.
    pub(super) fn overlay_flags(&mut self, flags: Overrides) {
        let Tree::Table(root) = &mut self.value else { return };
        if let Some(url) = flags.upstream {
            let origin = Origin::Flag("--upstream");
            let entry = [("name", "upstream"), ("url", &url)]
                .map(|(key, text)| (key.to_owned(), Self::text(text, &origin)));
            let only = Self { origin: origin.clone(), value: Tree::Table(entry.into()) };
            root.insert("upstreams".to_owned(), Self { origin, value: Tree::List(vec![only]) });
        }
        let settings = [
            ("server", "listen", "--listen", flags.listen),
            ("storage", "url", "--data", flags.data.map(location)),
        ];
        for (section, key, flag, text) in settings {
            let Some(text) = text else { continue };
            let origin = Origin::Flag(flag);
            let section = root.entry(section.to_owned()).or_default();
            if let Tree::Table(table) = &mut section.value {
                table.insert(key.to_owned(), Self::text(&text, &origin));
            }
        }
    }

    fn text(text: &str, origin: &Origin) -> Self {
        Self { origin: origin.clone(), value: Tree::Leaf(Scalar::Text(text.to_owned())) }
    }

    /// A list or an inline table is taken as TOML at once; what a scalar is depends on the key that reads it.
    fn from_environment(text: &str, origin: &Origin) -> Self {
        match DeValue::parse(text) {
            Ok(value) if value.get_ref().is_array() || value.get_ref().is_table() => {
                Self { origin: origin.clone(), value: tree_of(value.get_ref(), &|_| origin.clone()) }
            }
            Ok(_) | Err(_) => Self::text(text, origin),
        }
    }

    fn set(&mut self, path: &[String], node: Self) -> Result<(), &'static str> {
        let Some((part, rest)) = path.split_first() else {
            *self = node;
            return Ok(());
        };
        // Numbers name elements, so the first one to arrive makes an absent value a list.
        if part.parse::<usize>().is_ok() && matches!(&self.value, Tree::Table(table) if table.is_empty()) {
            self.value = Tree::List(Vec::new());
        }
        let absent = || Self { origin: node.origin.clone(), ..Self::default() };
        match &mut self.value {
            Tree::Table(table) => table.entry(part.clone()).or_insert_with(absent).set(rest, node),
            Tree::List(list) => {
                let index: usize = part.parse().map_err(|_| "expected the number of a list element")?;
                if index == list.len() {
                    list.push(absent());
                }
                list.get_mut(index)
                    .ok_or("expected list elements to be numbered from 0 without a gap")?
                    .set(rest, node)
            }
            Tree::Leaf(_) => Err("expected a key, and this one's parent holds a plain value"),
        }
    }
}

fn location(folder: PathBuf) -> String {
    Location::File(std::path::absolute(&folder).unwrap_or(folder)).to_string()
}

/// A scalar out of the text of an environment variable, where the text is one in TOML.
pub(super) fn parse_scalar(text: &str) -> Option<Scalar> {
    match tree_of(DeValue::parse(text).ok()?.get_ref(), &|_| Origin::Unset) {
        Tree::Leaf(scalar) => Some(scalar),
        Tree::Table(_) | Tree::List(_) => None,
    }
}

fn path_of(variable: &str) -> Option<Vec<String>> {
    let path = variable.strip_prefix(PREFIX)?;
    path.contains(SEPARATOR).then(|| path.splitn(DEEPEST, SEPARATOR).map(str::to_ascii_lowercase).collect())
}

fn tree_of(value: &DeValue<'_>, locate: &impl Fn(usize) -> Origin) -> Tree {
    match value {
        DeValue::Table(table) => table_of(table, locate),
        DeValue::Array(array) => {
            Tree::List(array.iter().map(|value| node_of(value, value.span().start, locate)).collect())
        }
        DeValue::Boolean(flag) => Tree::Leaf(Scalar::Bool(*flag)),
        DeValue::String(text) => Tree::Leaf(Scalar::Text(text.to_string())),
        DeValue::Integer(digits) => Tree::Leaf(
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(Scalar::Other, Scalar::Integer),
        ),
        DeValue::Float(_) | DeValue::Datetime(_) => Tree::Leaf(Scalar::Other),
    }
}

fn table_of(table: &DeTable<'_>, locate: &impl Fn(usize) -> Origin) -> Tree {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), node_of(value, key.span().start, locate)));
    Tree::Table(entries.collect())
}

fn node_of(value: &Spanned<DeValue<'_>>, at: usize, locate: &impl Fn(usize) -> Origin) -> Node {
    Node { origin: locate(at), value: tree_of(value.get_ref(), locate) }
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
