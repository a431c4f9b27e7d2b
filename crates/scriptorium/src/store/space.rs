//! Disk space that staged files take: how much, from which quota, and that it is given back.
//!
//! Owns the arithmetic. Must not know what a file is staged for.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are asked of a quota at a time.
const TAKEN_AT_ONCE: u64 = 64 * 1024;

/// A file takes whole pages of a disk.
pub(super) const PAGE: u64 = 4096;

/// The disk space of a file of `bytes` bytes.
pub(crate) fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE).saturating_mul(PAGE)
}

/// How many values are stored, and the space they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) values: usize,
    pub(crate) bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, more: Self) {
        self.values += more.values;
        self.bytes += more.bytes;
    }
}

/// A bound on the space that files take. Asked on threads that may block.
pub(super) trait SpaceQuota: Debug + Send + Sync {
    /// Takes `bytes` for a file that holds `held` already.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when fewer are left, or another reason why the file may not grow.
    fn take(&self, held: u64, bytes: u64) -> io::Result<()>;

    fn give_back(&self, bytes: u64);
}

/// The space that one file holds of a quota, given back when it is dropped. Without a quota it holds none.
#[derive(Debug, Default)]
pub(super) struct HeldSpace {
    quota: Option<Arc<dyn SpaceQuota>>,
    pub(super) bytes: u64,
}

impl HeldSpace {
    pub(super) fn of(quota: Arc<dyn SpaceQuota>) -> Self {
        Self { quota: Some(quota), bytes: 0 }
    }

    /// Takes what is missing for a file of `length` bytes.
    pub(super) fn cover(&mut self, length: u64) -> io::Result<()> {
        let missing = pages(length).saturating_sub(self.bytes);
        let Some(quota) = self.quota.as_ref().filter(|_| missing > 0) else { return Ok(()) };
        let more = match quota.take(self.bytes, missing.max(TAKEN_AT_ONCE)) {
            Ok(()) => missing.max(TAKEN_AT_ONCE),
            Err(_) => quota.take(self.bytes, missing).map(|()| missing)?,
        };
        self.bytes += more;
        Ok(())
    }
}

impl Drop for HeldSpace {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            quota.give_back(self.bytes);
        }
    }
}

/// A fixed number of bytes.
#[derive(Debug)]
pub(super) struct FixedSpace {
    left: AtomicU64,
}

impl FixedSpace {
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes) }
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }
}

impl SpaceQuota for FixedSpace {
    fn take(&self, _held: u64, bytes: u64) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::SeqCst);
    }
}
