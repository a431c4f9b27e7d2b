//! From the name of a commit, or of a tag, to its tree.
//!
//! Owns how far tags are followed. Must not know where objects are stored.

use gix_object::{CommitRefIter, Kind, TagRefIter};

use super::{GitObjects, ObjectError};
use crate::{CommitId, GitAllowance, TreeId};

/// The most tags that point at each other.
const MAX_TAGS: usize = 8;

impl GitObjects {
    /// The commit that `id` names, itself or through tags, and its tree.
    pub(crate) fn tree_of(
        &self,
        id: CommitId,
        allowance: &GitAllowance<'_>,
    ) -> Result<(CommitId, TreeId), ObjectError> {
        let (mut id, mut bytes) = (id.0, Vec::new());
        for _ in 0..MAX_TAGS {
            match self.read(&id, Kind::Commit, allowance, &mut bytes) {
                Ok(()) => {
                    let tree = CommitRefIter::from_bytes(&bytes, gix_hash::Kind::Sha1).tree_id();
                    return tree
                        .map(|tree| (CommitId(id), TreeId(tree)))
                        .map_err(|_| ObjectError::Malformed(id));
                }
                Err(ObjectError::Kind { .. }) => {}
                Err(error) => return Err(error),
            }
            self.read(&id, Kind::Tag, allowance, &mut bytes).map_err(|error| match error {
                ObjectError::Kind { .. } => ObjectError::NoCommit,
                other => other,
            })?;
            let target = TagRefIter::from_bytes(&bytes, gix_hash::Kind::Sha1).target_id();
            id = target.map_err(|_| ObjectError::Malformed(id))?;
        }
        Err(ObjectError::NoCommit)
    }
}
