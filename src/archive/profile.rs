//! The archive profile: what an archive may contain.
//!
//! Owns the rules for entries together. Beyond the specification's list it refuses a file that is another entry's
//! parent, and two paths that are one where neither case nor Unicode form counts (`names`). Must not know tar's encoding.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::names::fold;
use super::{ArchiveError, Excerpt, Excess, PathFault};

/// Most bytes the paths of one archive may take together.
pub(super) const MAX_PATHS: u64 = 32 << 20;

/// What in an archive breaks the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A block that should be a header is none.
    #[error("expected a tar header with a valid checksum and valid numbers")]
    Header,
    /// The tar ends inside an entry.
    #[error("the tar ends in the middle of an entry")]
    Truncated,
    /// Something follows the tar's end.
    #[error("expected only zero bytes after the end of the tar")]
    TrailingData,
    /// An extension header is longer than any honest one.
    #[error("an extension header of {size} bytes, expected at most {limit}")]
    ExtensionSize {
        /// Its size.
        size: u64,
        /// The most there may be.
        limit: u64,
    },
    /// A pax header that cannot be read.
    #[error("expected pax records of the form `<length> <key>=<value>`")]
    Pax,
    /// A global pax header that would rename or resize every entry.
    #[error("a global pax header must not set `{key}`")]
    GlobalOverride {
        /// What it sets.
        key: Excerpt,
    },
    /// Readers would disagree about the entry's extension headers.
    #[error("more than one extension header of a kind before one entry, or a global one behind another")]
    Ambiguous,
    /// A pax record that readers read differently.
    #[error("the pax record `{key}` is given twice, is empty, or is read differently from reader to reader")]
    PaxKey {
        /// Its key.
        key: Excerpt,
    },
    /// Two sizes.
    #[error("`{path}` has one size in its pax header and another in its own")]
    PaxSize {
        /// The entry.
        path: Excerpt,
    },
    /// A prefix that only some readers see.
    #[error("`{path}` has a path prefix in a header whose format has none")]
    Prefix {
        /// The entry, without the prefix.
        path: Excerpt,
    },
    /// Neither a regular file nor a directory.
    #[error("`{path}` is {found}, expected regular files and directories only")]
    EntryType {
        /// The entry.
        path: Excerpt,
        /// What it is.
        found: &'static str,
    },
    /// A directory with bytes of its own.
    #[error("the directory `{path}` has content")]
    DirectoryContent {
        /// The directory.
        path: Excerpt,
    },
    /// A path outside the rules.
    #[error("the path `{path}` {fault}")]
    Path {
        /// The path.
        path: Excerpt,
        /// The rule it breaks.
        fault: PathFault,
    },
    /// Two entries with one path.
    #[error("`{path}` occurs more than once")]
    Duplicate {
        /// The path.
        path: Excerpt,
    },
    /// Two paths that are one for some file systems.
    #[error("`{path}` and `{other}` are one name where neither case nor Unicode form counts")]
    Alias {
        /// The path.
        path: Excerpt,
        /// The one that was there before.
        other: Excerpt,
    },
    /// A file that another entry needs as its directory.
    #[error("`{path}` is a file, yet other entries lie below it")]
    FileAsParent {
        /// The file.
        path: Excerpt,
    },
}

/// What an accepted path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// Carries no content and is not part of the tree.
    Directory,
    /// A regular file.
    File(FileRecord),
}

/// A regular file of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileRecord {
    /// Whether an execute bit is set.
    pub(super) executable: bool,
    /// Where its content starts among the contents of all files, in the order they came.
    pub(super) offset: u64,
    /// The content's length.
    pub(super) len: u64,
}

/// The entries accepted so far.
///
/// Keys are folded paths with NUL for `/`, which no path contains and which sorts below every other byte: so whatever
/// lies below a path follows it directly, and one look to either side finds a file in a parent's place, and a folder
/// that is written in two ways.
#[derive(Default)]
pub(super) struct Index {
    nodes: BTreeMap<Box<str>, Placed>,
    path_bytes: u64,
}

/// One entry in its place.
struct Placed {
    /// The path with NUL for `/`, where the key differs from it.
    written: Option<Box<str>>,
    node: Node,
}

impl Placed {
    fn written<'a>(&'a self, key: &'a str) -> &'a str {
        self.written.as_deref().unwrap_or(key)
    }
}

impl Index {
    /// The number of entries.
    pub(super) fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// Adds an entry whose path was accepted, unless it clashes with one before it.
    pub(super) fn admit(&mut self, path: &str, node: Node) -> Result<(), ArchiveError> {
        self.path_bytes += path.len() as u64;
        if self.path_bytes > MAX_PATHS {
            return Err(Excess::Paths { limit: MAX_PATHS }.into());
        }
        let written: Box<str> = path.replace('/', "\0").into();
        let key = folded(&written);
        self.check_neighbours(&key, &written, node)?;
        if let Some(there) = self.nodes.get(&key) {
            return Err(match there.written(&key) == &*written {
                true => Violation::Duplicate { path: path.into() },
                false => alias(&written, there.written(&key)),
            }
            .into());
        }
        let written = (written != key).then_some(written);
        self.nodes.insert(key, Placed { written, node });
        Ok(())
    }

    fn check_neighbours(&self, key: &str, written: &str, node: Node) -> Result<(), Violation> {
        let before = self.nodes.range::<str, _>((Bound::Unbounded, Bound::Excluded(key))).next_back();
        let after = self.nodes.range::<str, _>((Bound::Excluded(key), Bound::Unbounded)).next();
        for (other, placed) in before.into_iter().chain(after) {
            let other_written = placed.written(other);
            if !agree((key, written), (other, other_written)) {
                return Err(alias(written, other_written));
            }
        }
        let file = match (before, after) {
            (Some((before, placed)), _)
                if matches!(placed.node, Node::File(_)) && lies_below(key, before) =>
            {
                placed.written(before)
            }
            (_, Some((after, _))) if matches!(node, Node::File(_)) && lies_below(after, key) => written,
            _ => return Ok(()),
        };
        Err(Violation::FileAsParent { path: (&*path_of(file)).into() })
    }

    /// The files in the order the tree digest wants: by the bytes of their paths.
    pub(super) fn into_files(self) -> Vec<(String, FileRecord)> {
        let mut files: Vec<_> = self
            .nodes
            .into_iter()
            .filter_map(|(key, placed)| match placed.node {
                Node::File(record) => Some((path_of(placed.written(&key)), record)),
                Node::Directory => None,
            })
            .collect();
        files.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        files
    }
}

/// Each segment folded for itself, since folding may bring a slash.
fn folded(written: &str) -> Box<str> {
    if written.is_ascii() {
        return written.to_ascii_lowercase().into();
    }
    written.split('\0').map(fold).collect::<Vec<_>>().join("\0").into()
}

/// Whether two paths write the folders alike that they share, each given folded and as it is written.
fn agree(one: (&str, &str), other: (&str, &str)) -> bool {
    let shared = one.0.split('\0').zip(other.0.split('\0')).take_while(|(one, other)| one == other).count();
    let (mut one, mut other) = (one.1.split('\0'), other.1.split('\0'));
    (0..shared).all(|_| one.next() == other.next())
}

fn alias(path: &str, other: &str) -> Violation {
    Violation::Alias { path: (&*path_of(path)).into(), other: (&*path_of(other)).into() }
}

fn lies_below(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('\0'))
}

fn path_of(key: &str) -> String {
    key.replace('\0', "/")
}

#[cfg(test)]
mod tests;
