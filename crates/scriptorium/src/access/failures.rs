//! Signed tokens that did not hold, by the address that sent them.
//!
//! To verify a signature costs as much as many hits, and happens before a request is counted against anybody's rate. So an
//! address that sent too many tokens that do not hold has no further one verified for a while, except those that were proved before
//! (`proven`). Owns that bound. Must not know why a token did not hold.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ahash::RandomState;
use moka::policy::EvictionPolicy;

/// Tokens of one address that may fail in a window; 60 of them cost some milliseconds.
pub(super) const MOST: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered at once.
const MOST_ADDRESSES: u64 = 10_000;

pub(super) struct FailedTokens(moka::sync::Cache<Option<IpAddr>, Arc<AtomicU32>, RandomState>);

impl FailedTokens {
    pub(super) fn new() -> Self {
        let counts = moka::sync::Cache::builder()
            .max_capacity(MOST_ADDRESSES)
            .time_to_live(WINDOW)
            .eviction_policy(EvictionPolicy::lru());
        Self(counts.build_with_hasher(RandomState::new()))
    }

    /// Whether no further token of this address is verified now.
    pub(super) fn are_too_many(&self, from: Option<IpAddr>) -> bool {
        self.0.get(&from).is_some_and(|count| count.load(Ordering::Relaxed) >= MOST)
    }

    pub(super) fn count(&self, from: Option<IpAddr>) {
        self.0.get_with(from, Arc::default).fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_failures_and_others_have_their_own() {
        let failed = FailedTokens::new();
        let (one, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        for _ in 0..MOST {
            assert!(!failed.are_too_many(one));
            failed.count(one);
        }
        assert!(failed.are_too_many(one) && !failed.are_too_many(other) && !failed.are_too_many(None));
    }
}
