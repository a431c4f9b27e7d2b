//! Files whose delivery would only fail again: what a repository or an archive is, and not what a server did for a moment.
//!
//! To find that out again costs a download or seconds of work, so it is remembered for `negative_ttl`, as a 404 is: until the document
//! that names the file came anew, or this proxy's limits changed. A verdict on an archive is kept elsewhere, and for longer. Owns what
//! is remembered, and how long. Must not know how a file is fetched.

use super::expected::{FileAddress, FileFetch};
use crate::clock::Timestamp;
use crate::read::ReadFailure;

/// Most failures that are remembered.
const MOST: u64 = 1_000;

#[derive(Debug)]
pub(super) struct HopelessDeliveries(moka::sync::Cache<FileFetch, HopelessDelivery>);

/// How the delivery of a file failed.
#[derive(Debug, Clone)]
pub(super) struct HopelessDelivery {
    pub(super) address: FileAddress,
    /// The reading of the document that names the address.
    pub(super) reading: u64,
    pub(super) at: Timestamp,
    pub(super) failure: ReadFailure,
}

impl Default for HopelessDeliveries {
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST))
    }
}

impl HopelessDeliveries {
    pub(super) fn remember(&self, fetch: &FileFetch, failed: HopelessDelivery) {
        self.0.insert(fetch.clone(), failed);
    }

    /// Limits changed: what was too large may not be any more.
    pub(super) fn forget(&self) {
        self.0.invalidate_all();
    }

    /// How `fetch` from `address` failed, as its document was read.
    pub(super) fn known(
        &self,
        fetch: &FileFetch,
        (address, reading): (&FileAddress, u64),
    ) -> Option<HopelessDelivery> {
        self.0.get(fetch).filter(|failed| failed.address == *address && failed.reading == reading)
    }
}
