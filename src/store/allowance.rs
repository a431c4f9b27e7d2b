//! So many bytes and no more.
//!
//! Owns the count of what is taken. Must not know what for.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Quota;

/// A quota that nothing is done for when it is used up.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU64,
}

impl Allowance {
    /// `bytes` to take.
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes) }
    }

    /// What is not taken.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }
}

impl Quota for Allowance {
    fn take(&self, bytes: u64) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn give(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::SeqCst);
    }
}
