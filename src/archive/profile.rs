//! The archive profile: what an archive may contain.
//!
//! Owns the rules for paths, one by one and together. Beyond the specification's list it refuses a line
//! feed in a path (two trees could share one digest, since a record's header ends with one), a file that is
//! another entry's parent, and paths longer than any file system takes. Must not know tar's encoding.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{ArchiveError, Excerpt, Excess};

/// Longest path, in bytes.
pub(super) const MAX_PATH: usize = 4096;
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
    #[error("more than one extension header of a kind before one entry")]
    Ambiguous,
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
    /// A file that another entry needs as its directory.
    #[error("`{path}` is a file, yet other entries lie below it")]
    FileAsParent {
        /// The file.
        path: Excerpt,
    },
}

/// The rule a path breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// No path at all.
    #[error("is empty")]
    Empty,
    /// Longer than 4096 bytes.
    #[error("is longer than {MAX_PATH} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Has a NUL or a line feed.
    #[error("has a NUL or a line feed")]
    Control,
    /// Starts at the root.
    #[error("is absolute; expected one relative to the volume's root")]
    Absolute,
    /// Has a `.` or `..` segment.
    #[error("has a `.` or `..` segment")]
    DotSegment,
    /// Has an empty segment.
    #[error("has an empty segment")]
    EmptySegment,
}

/// Accepts a path as the profile wants it.
pub(super) fn accept_path(raw: &[u8]) -> Result<&str, Violation> {
    well_formed(raw).map_err(|fault| Violation::Path { path: Excerpt::new(raw), fault })
}

fn well_formed(raw: &[u8]) -> Result<&str, PathFault> {
    if raw.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    let path = str::from_utf8(raw).map_err(|_| PathFault::NotUtf8)?;
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.contains(['\0', '\n']) {
        return Err(PathFault::Control);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(PathFault::EmptySegment),
            "." | ".." => return Err(PathFault::DotSegment),
            _ => {}
        }
    }
    Ok(path)
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
/// Keys have NUL for `/`, which no path contains and which sorts below every other byte: so whatever lies
/// below a path follows it directly, and one look to either side finds a file in a parent's place.
#[derive(Default)]
pub(super) struct Index {
    nodes: BTreeMap<Box<str>, Node>,
    path_bytes: u64,
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
        let key: Box<str> = path.replace('/', "\0").into();
        self.check_neighbours(&key, node)?;
        match self.nodes.insert(key, node) {
            None => Ok(()),
            Some(_) => Err(Violation::Duplicate { path: path.into() }.into()),
        }
    }

    fn check_neighbours(&self, key: &str, node: Node) -> Result<(), Violation> {
        let before = self.nodes.range::<str, _>((Bound::Unbounded, Bound::Excluded(key))).next_back();
        let file = match (before, node) {
            (Some((before, Node::File(_))), _) if lies_below(key, before) => before,
            (_, Node::File(_)) => {
                let after = self.nodes.range::<str, _>((Bound::Excluded(key), Bound::Unbounded)).next();
                match after {
                    Some((after, _)) if lies_below(after, key) => key,
                    _ => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        Err(Violation::FileAsParent { path: (&*path_of(file)).into() })
    }

    /// The files in the order the tree digest wants: by the bytes of their paths.
    pub(super) fn into_files(self) -> Vec<(String, FileRecord)> {
        let mut files: Vec<_> = self
            .nodes
            .into_iter()
            .filter_map(|(key, node)| match node {
                Node::File(record) => Some((path_of(&key), record)),
                Node::Directory => None,
            })
            .collect();
        files.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        files
    }
}

fn lies_below(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('\0'))
}

fn path_of(key: &str) -> String {
    key.replace('\0', "/")
}

#[cfg(test)]
mod tests;
