//! How old an answer may be: pure functions of (stored, now, policy).
//!
//! ```text
//!  fetched        ttl            ttl + swr                      ttl + stale-if-error
//!    |----Fresh----|---Revalidate---|-----------Ask-----------------|------Ask------>
//!    |             | serve, refresh | ask first; cannot ask: serve  | ask; cannot: fail
//! ```
//! The words are those of RFC 9111 and RFC 5861; both windows count from the end of the TTL. A refusal
//! (not-found, blocked, inconsistent) has its own short TTL and is never served while revalidating: a new
//! release should appear when its TTL is over. Offline, whatever is held is served and says so. What a registry says of
//! an answer shortens its TTL (`keeping`).
//!
//! Owns these rules and nothing else: no clock, no I/O, no headers.

use std::time::Duration;

use super::keeping::Keeping;
use crate::clock::Timestamp;
use crate::config;
use crate::domain::Resource;

/// The windows that apply to one kind of answer.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long an answer is fresh.
    pub ttl: Duration,
    /// How long past the TTL it is served while a refresh runs.
    pub stale_while_revalidate: Duration,
    /// How long past the TTL it is served when nobody can be asked.
    pub stale_if_error: Duration,
    /// Never ask.
    pub offline: bool,
}

impl Policy {
    /// The windows for `resource`; `refused` when the answer is a refusal.
    #[must_use]
    pub fn of(cache: &config::Cache, resource: Resource, refused: bool) -> Self {
        let ttl = match resource {
            _ if refused => cache.negative_ttl,
            Resource::Index => cache.index_ttl,
            Resource::Release => cache.release_ttl,
            Resource::Trust => cache.trust_ttl,
            Resource::Search => cache.search_ttl,
            Resource::Advisories => cache.advisories_ttl,
            Resource::Capabilities => cache.capabilities_ttl,
        };
        Self {
            ttl,
            stale_while_revalidate: if refused { Duration::ZERO } else { cache.stale_while_revalidate },
            stale_if_error: cache.stale_if_error,
            offline: cache.offline,
        }
    }

    /// The same for an answer that was `age` seconds old already when it came, as its registry lets it be kept.
    #[must_use]
    pub fn capped(self, keeping: &Keeping, age: u64) -> Self {
        if keeping.is_free() {
            return self;
        }
        let cap = keeping.cap.map(|cap| Duration::from_secs(cap.seconds.saturating_sub(age)));
        let asked_each_time = keeping.no_cache || keeping.withheld;
        let ttl =
            if asked_each_time { Duration::ZERO } else { cap.map_or(self.ttl, |cap| cap.min(self.ttl)) };
        let swr = if asked_each_time { Duration::ZERO } else { self.stale_while_revalidate };
        Self { ttl, stale_while_revalidate: swr, ..self }
    }
}

/// What may be done with a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it at once and refresh behind.
    Revalidate,
    /// Ask first. If nobody can be asked, `may_fall_back` says whether it may still be served.
    Ask {
        /// Within stale-if-error.
        may_fall_back: bool,
    },
    /// Serve it: asking is forbidden.
    Offline,
}

/// Judges an answer fetched at `fetched`. One that claims to come from the future is not fresh: the clock
/// was turned back, and how old it is cannot be known. One that was declared `outdated` is asked for first,
/// however young.
#[must_use]
pub fn judge(fetched: Timestamp, now: Timestamp, policy: &Policy, outdated: bool) -> Freshness {
    if policy.offline {
        return Freshness::Offline;
    }
    let Some(age) = now.since(fetched) else {
        return Freshness::Ask { may_fall_back: true };
    };
    match age.checked_sub(policy.ttl) {
        None if outdated => Freshness::Ask { may_fall_back: true },
        None => Freshness::Fresh,
        Some(past) if !outdated && past < policy.stale_while_revalidate => Freshness::Revalidate,
        Some(past) => Freshness::Ask { may_fall_back: past < policy.stale_if_error },
    }
}

/// Whole seconds for which an answer is still fresh; negative once it is stale.
#[must_use]
pub fn seconds_left(fetched: Timestamp, now: Timestamp, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let age =
        i64::try_from(now.0).unwrap_or(i64::MAX).saturating_sub(i64::try_from(fetched.0).unwrap_or(i64::MAX));
    ttl.saturating_sub(age.max(0)).div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::keeping::{Cap, CappedBy};

    const POLICY: Policy = Policy {
        ttl: Duration::from_secs(60),
        stale_while_revalidate: Duration::from_secs(30),
        stale_if_error: Duration::from_secs(600),
        offline: false,
    };
    const FETCHED: Timestamp = Timestamp(1_000_000);

    fn after(millis: u64) -> Timestamp {
        Timestamp(FETCHED.0 + millis)
    }

    #[test]
    fn every_boundary() {
        let ask = |may_fall_back| Freshness::Ask { may_fall_back };
        for (millis, expected) in [
            (0, Freshness::Fresh),
            (59_999, Freshness::Fresh),
            (60_000, Freshness::Revalidate),
            (89_999, Freshness::Revalidate),
            (90_000, ask(true)),
            (659_999, ask(true)),
            (660_000, ask(false)),
            (u64::MAX / 2, ask(false)),
        ] {
            assert_eq!(judge(FETCHED, after(millis), &POLICY, false), expected, "{millis} ms");
        }
    }

    #[test]
    fn a_cap_shortens_and_never_lengthens() {
        let capped = |seconds, age| {
            let cap = Some(Cap { seconds, by: CappedBy::MaxAge });
            POLICY.capped(&Keeping { cap, ..Keeping::default() }, age).ttl.as_secs()
        };
        for (seconds, age, ttl) in [
            (10, 0, 10),
            (600, 0, 60),
            (600, 590, 10),
            (10, 11, 0),
            (0, 0, 0),
            (10, u64::MAX, 0),
            (61, 1, 60),
        ] {
            assert_eq!(capped(seconds, age), ttl, "max-age={seconds}, {age} old");
        }
        let free = POLICY.capped(&Keeping::default(), u64::MAX);
        assert_eq!(free.ttl, POLICY.ttl, "an age alone is no cap");
    }

    #[test]
    fn what_is_asked_for_each_time_is_never_fresh() {
        let ask = |may_fall_back| Freshness::Ask { may_fall_back };
        let no_cache = POLICY.capped(&Keeping { no_cache: true, ..Keeping::default() }, 0);
        for (millis, expected) in [(0, ask(true)), (599_999, ask(true)), (600_000, ask(false))] {
            assert_eq!(judge(FETCHED, after(millis), &no_cache, false), expected, "{millis} ms");
        }
    }

    #[test]
    fn what_was_declared_out_of_date_is_asked_for_first() {
        let ask = |may_fall_back| Freshness::Ask { may_fall_back };
        for (millis, expected) in [(0, ask(true)), (60_000, ask(true)), (660_000, ask(false))] {
            assert_eq!(judge(FETCHED, after(millis), &POLICY, true), expected, "{millis} ms");
        }
    }

    #[test]
    fn windows_of_zero() {
        let none = Policy {
            ttl: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            offline: false,
        };
        assert_eq!(judge(FETCHED, FETCHED, &none, false), Freshness::Ask { may_fall_back: false });
    }

    #[test]
    fn a_clock_turned_back_makes_nothing_fresh() {
        assert_eq!(
            judge(FETCHED, Timestamp(FETCHED.0 - 1), &POLICY, false),
            Freshness::Ask { may_fall_back: true }
        );
    }

    #[test]
    fn offline_never_asks() {
        let offline = Policy { offline: true, ..POLICY };
        for millis in [0, 60_000, 90_000, 10_000_000] {
            assert_eq!(judge(FETCHED, after(millis), &offline, true), Freshness::Offline);
        }
    }

    #[test]
    fn seconds_left_counts_down_through_zero() {
        for (millis, left) in [(0, 60), (1, 59), (1_000, 59), (60_000, 0), (60_001, -1), (72_000, -12)] {
            assert_eq!(seconds_left(FETCHED, after(millis), POLICY.ttl), left, "{millis} ms");
        }
    }
}
