//! Reading: a tree of sources into typed values, every error collected, unknown keys included.
//!
//! Owns the walk that reads. Must not know any key by name; `schema` does.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, Origin};
use super::kind::{Kind, Scope};
use super::schema::{Visitor, Walk};
use super::source::{Node, Scalar, Tree, parse_scalar};

/// Takes values out of one table at a time; what is left in it when its walk ends is unknown.
pub(super) struct Reader<'a> {
    env: &'a BTreeMap<String, String>,
    file: Option<&'a Path>,
    /// The table being read.
    here: Frame,
    /// What was wrong so far.
    pub(super) errors: Vec<ConfigError>,
    /// Keys that were given.
    given: BTreeMap<String, Origin>,
}

#[derive(Default)]
struct Frame {
    path: String,
    origin: Option<Origin>,
    left: BTreeMap<String, Node>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a BTreeMap<String, String>, file: Option<&'a Path>) -> Self {
        Self { env, file, here: Frame::default(), errors: Vec::new(), given: BTreeMap::new() }
    }

    /// Reads the outermost table.
    pub(super) fn read_root<T>(&mut self, root: Node, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.enter(String::new(), root, walk)
    }

    /// Whether any source names `key`.
    pub(super) fn was_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Where `key` came from; the file as a whole where it was not given.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let whole =
            || self.file.map_or(Origin::Unset, |path| Origin::File { path: path.to_owned(), position: None });
        self.given.get(key).cloned().unwrap_or_else(whole)
    }

    /// Records that `key` is wrong.
    pub(super) fn error(&mut self, origin: Origin, key: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ConfigError { origin, key: key.into(), message: message.into() });
    }

    fn path(&self, key: &str) -> String {
        if self.here.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.here.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.here.known.push(key);
        let node = self.here.left.remove(key)?;
        self.given.insert(self.path(key), node.origin.clone());
        Some(node)
    }

    /// Reads a table with `walk`, then tells of the keys that `walk` did not ask for.
    fn enter<T>(&mut self, path: String, node: Node, walk: impl FnOnce(&mut Self) -> T) -> T {
        let left = match node.value {
            Tree::Table(left) => left,
            Tree::List(_) | Tree::Leaf(_) => {
                self.error(node.origin.clone(), path.clone(), "expected a table");
                BTreeMap::new()
            }
        };
        let frame = Frame { path, origin: Some(node.origin), left, known: Vec::new() };
        let outer = std::mem::replace(&mut self.here, frame);
        let answer = walk(self);
        for (key, node) in std::mem::take(&mut self.here.left) {
            self.error(node.origin, self.path(&key), unknown(&key, &self.here.known));
        }
        self.here = outer;
        answer
    }

    fn value<T>(&mut self, path: &str, kind: &Kind<T>, node: &Node) -> Option<T> {
        // Paths in the file start from its folder, others from the working directory.
        let folder = match &node.origin {
            Origin::File { path, .. } => path.parent().unwrap_or(path),
            Origin::Environment(_) | Origin::Flag(_) | Origin::Unset => Path::new(""),
        };
        let scope = Scope { folder, env: self.env };
        let value = match &node.value {
            Tree::Leaf(scalar) => typed(scalar, &node.origin)
                .and_then(|scalar| (kind.read)(&scalar, &scope))
                .or_else(|| (kind.read)(scalar, &scope)),
            Tree::Table(_) | Tree::List(_) => None,
        };
        if value.is_none() {
            self.error(node.origin.clone(), path, format!("expected {}", kind.expected));
        }
        value
    }

    fn refuse_repeats(&mut self, list: &[Node], path: &str, key: &'static str) {
        let mut first = BTreeMap::new();
        for (index, element) in list.iter().enumerate() {
            let Tree::Table(table) = &element.value else { continue };
            let Some(Node { origin, value: Tree::Leaf(Scalar::Text(text)) }) = table.get(key) else {
                continue;
            };
            let earlier = *first.entry(text).or_insert(index);
            if earlier != index {
                let message = format!("expected a {key} of its own; {path}[{earlier}] has the same");
                self.error(origin.clone(), format!("{path}[{index}].{key}"), message);
            }
        }
    }
}

impl Visitor for Reader<'_> {
    fn setting<T: Clone + PartialEq + 'static>(&mut self, key: &'static str, kind: &Kind<T>, now: &T) -> T {
        self.optional(key, kind, Some(now)).unwrap_or_else(|| now.clone())
    }

    fn optional<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        _: Option<&T>,
    ) -> Option<T> {
        let node = self.take(key)?;
        let path = self.path(key);
        self.value(&path, kind, &node)
    }

    fn required<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        _: Option<&T>,
    ) -> Option<T> {
        if !self.here.left.contains_key(key) {
            let origin = self.here.origin.clone().unwrap_or(Origin::Unset);
            self.error(origin, self.path(key), format!("missing; expected {}", kind.expected));
        }
        self.optional(key, kind, None)
    }

    fn list<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        now: &[T],
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return now.to_vec() };
        let path = self.path(key);
        let Tree::List(list) = &node.value else {
            self.error(node.origin, path, format!("expected a list, each of it {}", kind.expected));
            return now.to_vec();
        };
        let elements = list.iter().enumerate();
        let values: Vec<_> = elements
            .filter_map(|(index, node)| self.value(&format!("{path}[{index}]"), kind, node))
            .collect();
        values
    }

    fn section<T>(&mut self, key: &'static str, now: &T, walk: fn(&mut Self, &T) -> T) -> T {
        let node = self.take(key).unwrap_or_default();
        self.enter(self.path(key), node, |reader| walk(reader, now))
    }

    fn table<T>(&mut self, key: &'static str, _: Option<&T>, walk: Walk<Self, T>) -> Option<T> {
        let node = self.take(key)?;
        self.enter(self.path(key), node, |reader| walk(reader, None))
    }

    fn tables<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        unique: &[&'static str],
        _: &[T],
        walk: Walk<Self, T>,
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let path = self.path(key);
        let Tree::List(list) = node.value else {
            self.error(node.origin, path, format!("expected a list of tables, each under [[{key}]]"));
            return Vec::new();
        };
        for key in unique {
            self.refuse_repeats(&list, &path, key);
        }
        let elements = list.into_iter().enumerate();
        elements
            .filter_map(|(index, node)| {
                self.enter(format!("{path}[{index}]"), node, |reader| walk(reader, None))
            })
            .collect()
    }
}

/// An environment variable is text, whatever the key wants; TOML says what else the text may be.
fn typed(scalar: &Scalar, origin: &Origin) -> Option<Scalar> {
    match (scalar, origin) {
        (Scalar::Text(text), Origin::Environment(_)) => parse_scalar(text),
        _ => None,
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
