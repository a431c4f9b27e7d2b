//! Signed tokens that held once, by their digest, until they end.
//!
//! Many clients may share one address, and one of them may send tokens that do not hold. A token that was proved before is verified
//! again all the same: after a reload, after its issuer's keys changed, or when what was verified had to be forgotten. One that does not
//! hold any more is not known here from then on, so each costs one verification more. Owns that memory and its bound. Must not know why
//! a token holds.

use ahash::RandomState;
use moka::policy::EvictionPolicy;

use crate::clock::Timestamp;
use crate::domain::Sha256;

/// Tokens that are remembered, about a hundred bytes each.
const MOST: u64 = 65_536;

pub(super) struct ProvenTokens(moka::sync::Cache<Sha256, u64, RandomState>);

impl ProvenTokens {
    pub(super) fn new() -> Self {
        let ends = moka::sync::Cache::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        Self(ends.build_with_hasher(RandomState::new()))
    }

    /// Whether the token held before, and has not ended at `now`.
    pub(super) fn includes(&self, token: &Sha256, now: Timestamp) -> bool {
        self.0.get(token).is_some_and(|until| now.0 < until)
    }

    /// The token holds until `until`.
    pub(super) fn add(&self, token: Sha256, until: u64) {
        self.0.insert(token, until);
    }

    /// The token does not hold any more.
    pub(super) fn remove(&self, token: &Sha256) {
        self.0.invalidate(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_until_it_ends_and_the_memory_is_bounded() {
        let proven = ProvenTokens::new();
        let token = Sha256::of(b"token");
        proven.add(token, 10);
        assert!(proven.includes(&token, Timestamp(9)) && !proven.includes(&token, Timestamp(10)));
        proven.remove(&token);
        assert!(!proven.includes(&token, Timestamp(9)));
        for number in 0..MOST + 100 {
            proven.add(Sha256::of(&number.to_le_bytes()), 10);
        }
        proven.0.run_pending_tasks();
        assert!(proven.0.entry_count() <= MOST);
    }
}
