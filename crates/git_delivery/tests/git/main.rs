//! Trees that the real Git committed, servers that the real Git runs, and hostile ones.
//!
//! Owns what the tests share: repositories, limits, time. Each test gives its own.

#![allow(clippy::unwrap_used, clippy::panic)]

mod answers;
mod backend;
mod digest;
mod fetching;
mod forgery;
mod hostile;
mod keeping;
mod refusal;
mod repository;

use std::time::{Duration, Instant};

use archive::{ArchiveLimits, Integrity};
use git_delivery::{CommitArchive, CommitId, GitAllowance, GitLimits, GitObjects, TreeError, archive_commit};

/// Limits that no honest repository of these tests reaches.
const ROOMY: GitLimits = GitLimits {
    max_time: Duration::from_secs(600),
    max_pack: 256 << 20,
    max_objects: 100_000,
    max_file: 256 << 20,
    max_held: 16 << 20,
    max_inflated: 1 << 30,
    max_delta_depth: 60,
    max_tree_depth: 64,
    max_listing: 1 << 20,
};

const ROOMY_ARCHIVE: ArchiveLimits = ArchiveLimits { max_unpacked: 1 << 30, max_entries: 10_000 };

/// The archive of a commit within `limits`.
fn archive_within(
    objects: &GitObjects,
    commit: CommitId,
    limits: (&GitLimits, &ArchiveLimits),
) -> Result<CommitArchive<Vec<u8>>, TreeError> {
    let now = Instant::now;
    let allowance = GitAllowance::new(limits.0, &now);
    archive_commit(objects, commit, limits.1, &allowance, Vec::new())
}

/// The same within roomy limits.
fn archive_of(objects: &GitObjects, commit: CommitId) -> Result<(Vec<u8>, Integrity), TreeError> {
    archive_within(objects, commit, (&ROOMY, &ROOMY_ARCHIVE)).map(|archive| (archive.sink, archive.integrity))
}

/// Bytes that do not compress, and have nothing in common with those of another seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}
