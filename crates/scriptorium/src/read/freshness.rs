//! How old an answer is: pure functions of when it was fetched, of the limits that apply to it, and of the time.
//!
//! ```text
//!  fetched        ttl                ttl + stale-while-revalidate     ttl + stale-if-error
//!    |----Fresh----|---WhileRevalidate---|-----------IfError-----------------|----Expired---->
//! ```
//! The words are those of RFC 9111 and RFC 5861; both windows count from the end of the TTL. A refusal
//! (not-found, blocked, inconsistent) has its own short TTL and is never served while it is revalidated: a new
//! release should appear when that TTL is over. What a registry says of an answer shortens its TTL (`keeping`).
//!
//! Owns these rules. Must not know what is served at which age (`decision`), nor a clock, I/O or headers.

use std::time::Duration;

use super::keeping::Keeping;
use crate::clock::Timestamp;
use crate::config;
use crate::domain::Resource;

/// The windows that apply to one kind of answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgeLimits {
    /// How long an answer is fresh.
    pub(crate) ttl: Duration,
    /// How long past the TTL it is served while a refresh runs.
    pub(crate) stale_while_revalidate: Duration,
    /// How long past the TTL it is served when its registry cannot be asked.
    pub(crate) stale_if_error: Duration,
}

impl AgeLimits {
    /// The windows for `resource`; `refused` when the answer is a refusal.
    #[must_use]
    pub(crate) fn of(cache: &config::Cache, resource: Resource, refused: bool) -> Self {
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
        }
    }

    /// The same for an answer that was `age` seconds old already when it came, as its registry lets it be kept.
    #[must_use]
    pub(crate) fn capped(self, keeping: &Keeping, age: u64) -> Self {
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

    /// The same while this proxy does not hear what others change: an answer may have been changed unheard once it is older
    /// than `heard`.
    #[must_use]
    pub(crate) fn unheard(self, heard: Duration) -> Self {
        Self { ttl: self.ttl.min(heard), stale_while_revalidate: Duration::ZERO, ..self }
    }
}

/// How old an answer is, by the windows that it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    Fresh,
    /// It may be served while it is refreshed.
    WhileRevalidate,
    /// It may be served when its registry cannot be asked.
    IfError,
    /// It may not be served without asking.
    Expired,
}

/// The age of an answer that was fetched at `fetched`. One that claims to come from the future is not fresh: the clock
/// was turned back, and its age cannot be known. One that was declared out of date is never fresh, however young.
#[must_use]
pub(crate) fn measure(
    fetched: Timestamp,
    now: Timestamp,
    limits: &AgeLimits,
    is_outdated: bool,
) -> Freshness {
    let Some(age) = now.since(fetched) else {
        return Freshness::IfError;
    };
    match age.checked_sub(limits.ttl) {
        None if is_outdated => Freshness::IfError,
        None => Freshness::Fresh,
        Some(past) if !is_outdated && past < limits.stale_while_revalidate => Freshness::WhileRevalidate,
        Some(past) if past < limits.stale_if_error => Freshness::IfError,
        Some(_) => Freshness::Expired,
    }
}

/// Whole seconds for which an answer is still fresh; negative once it is stale.
#[must_use]
pub(crate) fn seconds_left(fetched: Timestamp, now: Timestamp, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let age =
        i64::try_from(now.0).unwrap_or(i64::MAX).saturating_sub(i64::try_from(fetched.0).unwrap_or(i64::MAX));
    ttl.saturating_sub(age.max(0)).div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::keeping::{Cap, CappedBy};

    const LIMITS: AgeLimits = AgeLimits {
        ttl: Duration::from_secs(60),
        stale_while_revalidate: Duration::from_secs(30),
        stale_if_error: Duration::from_secs(600),
    };
    const FETCHED: Timestamp = Timestamp(1_000_000);

    fn after(millis: u64) -> Timestamp {
        Timestamp(FETCHED.0 + millis)
    }

    #[test]
    fn every_boundary() {
        for (millis, expected) in [
            (0, Freshness::Fresh),
            (59_999, Freshness::Fresh),
            (60_000, Freshness::WhileRevalidate),
            (89_999, Freshness::WhileRevalidate),
            (90_000, Freshness::IfError),
            (659_999, Freshness::IfError),
            (660_000, Freshness::Expired),
            (u64::MAX / 2, Freshness::Expired),
        ] {
            assert_eq!(measure(FETCHED, after(millis), &LIMITS, false), expected, "{millis} ms");
        }
    }

    #[test]
    fn what_may_have_changed_unheard_is_asked_for() {
        let heard = Duration::from_secs(5);
        for (millis, expected) in
            [(4_999, Freshness::Fresh), (5_000, Freshness::IfError), (605_000, Freshness::Expired)]
        {
            let freshness = measure(FETCHED, after(millis), &LIMITS.unheard(heard), false);
            assert_eq!(freshness, expected, "{millis} ms");
        }
        let short = AgeLimits { ttl: Duration::from_secs(1), ..LIMITS };
        assert_eq!(short.unheard(heard).ttl, short.ttl);
    }

    #[test]
    fn a_cap_shortens_and_never_lengthens() {
        let capped = |seconds, age| {
            let cap = Some(Cap { seconds, by: CappedBy::MaxAge });
            LIMITS.capped(&Keeping { cap, ..Keeping::default() }, age).ttl.as_secs()
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
        let free = LIMITS.capped(&Keeping::default(), u64::MAX);
        assert_eq!(free.ttl, LIMITS.ttl, "an age alone is no cap");
    }

    #[test]
    fn what_is_asked_for_each_time_is_never_fresh() {
        let no_cache = LIMITS.capped(&Keeping { no_cache: true, ..Keeping::default() }, 0);
        for (millis, expected) in
            [(0, Freshness::IfError), (599_999, Freshness::IfError), (600_000, Freshness::Expired)]
        {
            assert_eq!(measure(FETCHED, after(millis), &no_cache, false), expected, "{millis} ms");
        }
    }

    #[test]
    fn what_was_declared_out_of_date_is_asked_for_first() {
        for (millis, expected) in
            [(0, Freshness::IfError), (60_000, Freshness::IfError), (660_000, Freshness::Expired)]
        {
            assert_eq!(measure(FETCHED, after(millis), &LIMITS, true), expected, "{millis} ms");
        }
    }

    #[test]
    fn windows_of_zero() {
        let none = AgeLimits {
            ttl: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        };
        assert_eq!(measure(FETCHED, FETCHED, &none, false), Freshness::Expired);
    }

    #[test]
    fn a_clock_turned_back_makes_nothing_fresh() {
        assert_eq!(measure(FETCHED, Timestamp(FETCHED.0 - 1), &LIMITS, false), Freshness::IfError);
    }

    #[test]
    fn seconds_left_counts_down_through_zero() {
        for (millis, left) in [(0, 60), (1, 59), (1_000, 59), (60_000, 0), (60_001, -1), (72_000, -12)] {
            assert_eq!(seconds_left(FETCHED, after(millis), LIMITS.ttl), left, "{millis} ms");
        }
    }
}
