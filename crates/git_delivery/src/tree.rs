//! The archive of a commit: its tree, written by the canonical writer.
//!
//! Owns the rules of the tree. Files are taken as they are stored: no attribute, filter or line ending changes them. The order of a Git tree
//! is the order of the tree digest, so no file waits for another.
//!
//! | refused | because |
//! |---|---|
//! | symbolic links and submodules | the specification allows regular files only |
//! | any other mode than 40000, 100644, 100755 and 100664 | Git writes no other; the last is an old form of 100644 |
//! | `.git`, and every name that a file system takes for it | Git would not check it out |
//! | `.`, `..`, an empty name, a slash in a name | they lead out of the folder, or give one file two paths |
//! | entries out of order, or twice | Git reads such a tree in several ways |
//! | paths outside the archive profile | as in any archive |
//!
//! Trees may share subtrees, so a few of them can stand for billions of files. Every visit of an entry counts against
//! `max_entries` of the archive, and trees that are open at once against `max_held`. Must not know where objects are stored.

use std::cmp::Ordering;
use std::io::Write;

use archive::{ArchiveError, ArchiveLimits, Excerpt, Excess, Integrity, TreePacker};
use bstr::ByteSlice;
use gix_hash::ObjectId;
use gix_object::tree::{EntryKind, EntryRef, name_order};
use gix_object::{Kind, TreeRefIter};

use crate::objects::{GitObjects, ObjectError};
use crate::{CommitId, GitAllowance, GitExcess, TreeId};

/// Why a commit gives no archive.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// An entry that is no regular file.
    #[error("`{path}` is {found}, expected regular files and folders only")]
    EntryType {
        /// Its path.
        path: Excerpt,
        /// What it is.
        found: &'static str,
    },
    /// A name that no checkout accepts.
    #[error("`{0}` is a name that Git does not check out")]
    Name(Excerpt),
    /// The tree does not fit the archive profile or its limits, or temporary storage failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl From<GitExcess> for TreeError {
    fn from(excess: GitExcess) -> Self {
        Self::Object(excess.into())
    }
}

/// The archive of a commit.
#[derive(Debug)]
pub struct CommitArchive<W> {
    /// Where the archive was written to.
    pub sink: W,
    /// The digest of its tree.
    pub integrity: Integrity,
    /// The commit.
    pub commit: CommitId,
    /// The commit's tree. Two commits with one tree give one archive.
    pub tree: TreeId,
}

/// Writes the archive of `commit` into `sink`. The name of a tag stands for the commit that it points at.
///
/// # Errors
/// [`TreeError`]; whatever was written into the sink by then is worth nothing.
pub fn archive_commit<W: Write>(
    objects: &GitObjects,
    commit: CommitId,
    limits: &ArchiveLimits,
    allowance: &GitAllowance<'_>,
    sink: W,
) -> Result<CommitArchive<W>, TreeError> {
    let (commit, tree) = objects.tree_of(commit, allowance)?;
    let packer = TreePacker::new(sink, *limits);
    let mut walk = Walk { objects, allowance, max_entries: limits.max_entries, entries: 0, packer };
    walk.tree(tree.0)?;
    let (sink, integrity) = walk.packer.finish()?;
    Ok(CommitArchive { sink, integrity, commit, tree })
}

/// A tree that is being written.
struct Walk<'a, W: Write> {
    objects: &'a GitObjects,
    allowance: &'a GitAllowance<'a>,
    max_entries: u64,
    /// Entries visited so far.
    entries: u64,
    packer: TreePacker<W>,
}

/// A tree whose entries are being visited.
struct OpenTree {
    id: ObjectId,
    bytes: Vec<u8>,
    /// Where the next entry begins.
    next: usize,
    /// The entry before it: where its name lies in `bytes`, and whether it was a tree.
    last: Option<(std::ops::Range<usize>, bool)>,
    /// The length of the tree's path, with its slash.
    path: usize,
}

impl OpenTree {
    fn next_entry(&mut self) -> Result<Option<EntryRef<'_>>, TreeError> {
        let malformed = ObjectError::Malformed(self.id);
        let rest = &self.bytes[self.next..];
        let mut entries = TreeRefIter::from_bytes(rest, gix_hash::Kind::Sha1);
        let Some(entry) = entries.next() else { return Ok(None) };
        let Ok(entry) = entry else { return Err(malformed.into()) };
        let is_tree = entry.mode.is_tree();
        if let Some((last, was_tree)) = &self.last {
            let last = &self.bytes[last.clone()];
            if name_order(last, *was_tree, entry.filename, is_tree) != Ordering::Less {
                return Err(malformed.into());
            }
        }
        self.next += entries.offset_to_next_entry(rest);
        // A name ends one NUL and one digest before the next entry.
        let end = self.next - 1 - entry.oid.as_bytes().len();
        self.last = Some((end - entry.filename.len()..end, is_tree));
        Ok(Some(entry))
    }
}

impl<W: Write> Walk<'_, W> {
    fn tree(&mut self, root: ObjectId) -> Result<(), TreeError> {
        let max_depth = self.allowance.limits().max_tree_depth;
        let (mut path, mut held) = (Vec::new(), 0);
        let mut open = vec![self.open(root, &path, &mut held)?];
        while let Some(tree) = open.last_mut() {
            path.truncate(tree.path);
            let Some(EntryRef { mode, filename, oid }) = tree.next_entry()? else {
                held -= open.pop().map_or(0, |tree| tree.bytes.len());
                continue;
            };
            path.extend_from_slice(filename);
            self.count()?;
            check_name(filename, &path)?;
            let found = match mode.kind() {
                EntryKind::Tree => "a folder of an unknown mode",
                EntryKind::Link => "a symbolic link",
                EntryKind::Commit => "a submodule",
                EntryKind::Blob | EntryKind::BlobExecutable => "a file of an unknown mode",
            };
            let id = oid.to_owned();
            match mode.value() {
                0o040_000 => {
                    path.push(b'/');
                    if open.len() == max_depth {
                        return Err(GitExcess::TreeDepth(max_depth).into());
                    }
                    open.push(self.open(id, &path, &mut held)?);
                }
                0o100_644 | 0o100_664 => self.file(&path, false, id)?,
                0o100_755 => self.file(&path, true, id)?,
                _ => return Err(TreeError::EntryType { path: Excerpt::new(&path), found }),
            }
        }
        Ok(())
    }

    fn open(&self, id: ObjectId, path: &[u8], held: &mut usize) -> Result<OpenTree, TreeError> {
        let mut bytes = Vec::new();
        self.objects.read(&id, Kind::Tree, self.allowance, &mut bytes)?;
        *held += bytes.len();
        self.allowance.hold(*held as u64)?;
        Ok(OpenTree { id, bytes, next: 0, last: None, path: path.len() })
    }

    fn count(&mut self) -> Result<(), TreeError> {
        self.entries += 1;
        if self.entries > self.max_entries {
            return Err(ArchiveError::TooLarge(Excess::Entries(self.max_entries)).into());
        }
        self.allowance.check_time()?;
        Ok(())
    }

    fn file(&mut self, path: &[u8], executable: bool, id: ObjectId) -> Result<(), TreeError> {
        let mut blob = self.objects.open_object(&id, Kind::Blob, self.allowance)?;
        self.packer.file(path, executable, blob.len())?;
        while let Some(piece) = blob.next_piece(self.allowance)? {
            self.packer.content(piece)?;
        }
        Ok(())
    }
}

/// The longest name that a file system takes.
const MAX_NAME: usize = 255;

/// Refuses what Git itself refuses to check out. The archive profile judges the whole path.
fn check_name(name: &[u8], path: &[u8]) -> Result<(), TreeError> {
    use gix_validate::path::component::Options;
    let options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let accepted = gix_validate::path::component(name.as_bstr(), None, options);
    if accepted.is_err() || name.len() > MAX_NAME {
        return Err(TreeError::Name(Excerpt::new(path)));
    }
    Ok(())
}
