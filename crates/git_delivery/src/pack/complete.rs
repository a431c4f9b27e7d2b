//! Whether a repository has all that a commit holds.
//!
//! Owns the visit of each tree, once however often it occurs. What a tree's entries are called is judged when an archive is
//! made of it. Must not know how objects are stored.

use std::collections::BTreeSet;

use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use gix_object::{Kind, TreeRefIter};

use crate::objects::{GitObjects, ObjectError};
use crate::{CommitId, FetchError, GitAllowance};

pub(super) fn check(
    objects: &GitObjects,
    commit: CommitId,
    allowance: &GitAllowance<'_>,
) -> Result<(), FetchError> {
    let (_, tree) = objects.tree_of(commit, allowance)?;
    let (mut seen, mut open, mut bytes) = (BTreeSet::from([tree.0]), vec![tree.0], Vec::new());
    while let Some(id) = open.pop() {
        objects.read(&id, Kind::Tree, allowance, &mut bytes)?;
        for entry in TreeRefIter::from_bytes(&bytes, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|_| ObjectError::Malformed(id))?;
            let child = ObjectId::from(entry.oid);
            match entry.mode.kind() {
                EntryKind::Tree if seen.insert(child) => open.push(child),
                EntryKind::Tree => {}
                // The commit of a submodule lies in another repository.
                EntryKind::Commit => {}
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    if !objects.contains(&child) {
                        return Err(ObjectError::Missing(child).into());
                    }
                }
            }
        }
    }
    Ok(())
}
