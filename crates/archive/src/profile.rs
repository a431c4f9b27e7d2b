//! The archive profile: what an archive may contain.
//!
//! Owns the rules for entries together. Beyond the specification's list it refuses a file that is another entry's
//! parent, and two paths that differ only in case or Unicode form (`paths`). Must not know tar's encoding.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::paths::fold;
use super::{ArchiveError, Excess, Violation};

/// The most bytes of all paths of one archive.
pub(crate) const MAX_PATHS: u64 = 32 << 20;

/// The node at an accepted path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeNode {
    /// Has no content and is not part of the tree digest.
    Directory,
    /// A regular file.
    File(FileRecord),
}

/// A regular file of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileRecord {
    /// Whether an execute bit is set.
    pub(crate) executable: bool,
    /// The offset of its content among the contents of all files, in the order of the archive.
    pub(crate) offset: u64,
    /// The content's length.
    pub(crate) len: u64,
}

/// The entries accepted so far.
///
/// Keys are folded paths with NUL for `/`. No path contains NUL, and it sorts before every other byte: all paths below a
/// path follow it directly. So the two neighbours of a path show whether a file is another entry's parent, and whether a
/// folder is written in two ways.
#[derive(Default)]
pub(crate) struct TreeIndex {
    nodes: BTreeMap<Box<str>, PlacedNode>,
    path_bytes: u64,
}

/// One entry in its place.
struct PlacedNode {
    /// The path with NUL for `/`, where the key differs from it.
    written: Option<Box<str>>,
    node: TreeNode,
}

impl PlacedNode {
    fn written<'a>(&'a self, key: &'a str) -> &'a str {
        self.written.as_deref().unwrap_or(key)
    }
}

impl TreeIndex {
    /// The number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// Adds an entry whose path was accepted, unless it clashes with one before it.
    pub(crate) fn admit(&mut self, path: &str, node: TreeNode) -> Result<(), ArchiveError> {
        self.path_bytes += path.len() as u64;
        if self.path_bytes > MAX_PATHS {
            return Err(Excess::Paths(MAX_PATHS).into());
        }
        let written: Box<str> = path.replace('/', "\0").into();
        let key = folded(&written);
        self.check_neighbours(&key, &written, node)?;
        if let Some(there) = self.nodes.get(&key) {
            return Err(match there.written(&key) == &*written {
                true => Violation::Duplicate(path.into()),
                false => alias(&written, there.written(&key)),
            }
            .into());
        }
        let written = (written != key).then_some(written);
        self.nodes.insert(key, PlacedNode { written, node });
        Ok(())
    }

    fn check_neighbours(&self, key: &str, written: &str, node: TreeNode) -> Result<(), Violation> {
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
                if matches!(placed.node, TreeNode::File(_)) && lies_below(key, before) =>
            {
                placed.written(before)
            }
            (_, Some((after, _))) if matches!(node, TreeNode::File(_)) && lies_below(after, key) => written,
            _ => return Ok(()),
        };
        Err(Violation::FileAsParent((&*path_of(file)).into()))
    }

    /// The files in the order of the tree digest: by the bytes of their paths.
    pub(crate) fn into_files(self) -> Vec<(String, FileRecord)> {
        let mut files: Vec<_> = self
            .nodes
            .into_iter()
            .filter_map(|(key, placed)| match placed.node {
                TreeNode::File(record) => Some((path_of(placed.written(&key)), record)),
                TreeNode::Directory => None,
            })
            .collect();
        files.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        files
    }
}

/// Folds each segment alone, since folding may produce a slash.
fn folded(written: &str) -> Box<str> {
    if written.is_ascii() {
        return written.to_ascii_lowercase().into();
    }
    written.split('\0').map(fold).collect::<Vec<_>>().join("\0").into()
}

/// Whether two paths spell their common folders alike. Each path is given folded and as written.
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
