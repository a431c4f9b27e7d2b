//! Repositories of which Git delivers releases: each kept as packs in a bounded folder of this process, and fetched from once for all who
//! need something of it.
//!
//! ```text
//! fetching        a commit for whoever asks, one fetch of a repository at a time
//! ├─ batch        one fetch, for all who wait together
//! │  └─ transport the guarded client of a registry, as the crate `git_delivery` reads from it
//! ├─ kept         which repositories are kept, and the turns to make archives
//! │  ├─ queue     who waits for commits of a repository
//! │  └─ folder    the folder of this process, and what others left behind
//! └─ packed       the archive of a commit, as a body that is still being made
//! failure         why there is no archive
//! ```
//! A repository belongs to the registry that names it: what one registry's credential fetched is no other's. Git's protocol and its objects
//! are the crate's. Must not know documents, what an archive must be, nor where it is stored.

mod batch;
mod failure;
mod fetching;
mod folder;
mod kept;
mod packed;
mod queue;
mod transport;

pub(crate) use failure::RepositoryError;
pub(crate) use fetching::Repositories;
pub(crate) use folder::GitFolder;
pub(crate) use kept::GitBounds;
pub(crate) use packed::{DeliveredCommit, PackedCommit};
