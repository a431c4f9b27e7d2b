//! What only one process of a machine may do to a storage at a time: take a bundle in, and change the journal.
//!
//! Owns the names of these locks; no mirror can have them. Must not know what is done under them.

use std::io;

use crate::mirror::{MirrorLock, MirrorLocks};

const IMPORT: &str = "an.import";
const JOURNAL: &str = "the.journal.of.bundles";

/// The right to take a bundle in; none while another process has it.
///
/// # Errors
/// When the lock cannot be made.
pub(crate) fn import_lock(locks: &MirrorLocks) -> io::Result<Option<MirrorLock>> {
    locks.take(IMPORT)
}

/// The right to change the journal, which everybody has for a moment only.
///
/// # Errors
/// When the lock cannot be made.
pub(super) async fn journal_lock(locks: &MirrorLocks) -> io::Result<MirrorLock> {
    let locks = locks.clone();
    tokio::task::spawn_blocking(move || locks.wait(JOURNAL)).await.map_err(io::Error::from)?
}
