//! Releases that are delivered by Git: the canonical archive of a commit's tree.
//!
//! Must not know servers, releases or the store.

mod commit_id;
mod limits;
mod objects;
mod tree;

pub use commit_id::{CommitId, InvalidCommitId, TreeId};
pub use limits::{Allowance, GitExcess, GitLimits};
pub use objects::{GitObjects, ObjectError};
pub use tree::{CommitArchive, TreeError, archive_commit};
