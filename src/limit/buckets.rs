//! Buckets: so many requests at once, and one more whenever its share of the window has passed (GCRA).
//!
//! Owns the arithmetic around the `governor` crate and the bound on how many addresses are remembered. Must not
//! know who a client is.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use governor::RateLimiter;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use moka::policy::EvictionPolicy;

use crate::config::Rate;

/// Addresses that are remembered at once, about 20 MB of them.
pub(super) const MOST_ADDRESSES: u64 = 100_000;

/// What a client may still ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a window.
    pub limit: u32,
    /// The window, in seconds.
    pub window: u64,
    /// Requests that would be let in now.
    pub remaining: u32,
    /// Seconds until `limit` requests would be, rounded up; of a refusal, until one would.
    pub reset: u64,
}

/// The bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Nothing remains, and `reset` is `retry_after` in whole seconds, at least one.
    pub quota: Quota,
    /// How long until one request would be let in.
    pub retry_after: Duration,
}

/// A rate in grains. A request takes so many of them that the level is known to about a millisecond, also where
/// a request takes an hour to come back.
#[derive(Debug, Clone, Copy)]
struct Pace {
    rate: Rate,
    /// Grains a request takes.
    request: NonZeroU32,
    /// Grains of all requests of a window.
    full: NonZeroU32,
}

impl Pace {
    fn of(rate: Rate) -> Self {
        let millis = u32::try_from(rate.per().as_millis()).unwrap_or(u32::MAX);
        let request = NonZeroU32::new(millis / rate.requests()).unwrap_or(NonZeroU32::MIN);
        Self { rate, request, full: request.saturating_mul(rate.requests()) }
    }

    /// Rounded up to whole nanoseconds, so that no window ever lets in more than was configured.
    fn grain(self) -> Duration {
        Duration::from_nanos(self.window().saturating_mul(1_000_000_000).div_ceil(self.full.get().into()))
    }

    fn window(self) -> u64 {
        self.rate.per().as_secs()
    }

    fn admitted(self, level: u32) -> Quota {
        let missing = u64::from(self.full.get() - level.min(self.full.get()));
        Quota {
            limit: self.rate.requests().get(),
            window: self.window(),
            remaining: level / self.request,
            reset: (missing * self.window()).div_ceil(self.full.get().into()),
        }
    }

    fn refused(self, retry_after: Duration) -> Refused {
        let reset = (retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).max(1);
        Refused { quota: Quota { reset, ..self.admitted(0) }, retry_after }
    }
}

/// When a bucket was asked last, in nanoseconds of the clock: what `governor` takes for now.
struct Asked(AtomicU64);

impl Asked {
    /// The clock is read once for a request, so that moments may come here out of order.
    fn at(&self, now: Duration) {
        self.0.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl governor::clock::Clock for Asked {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// One client's bucket.
pub(super) struct Bucket {
    level: RateLimiter<NotKeyed, InMemoryState, Asked, StateInformationMiddleware>,
    pace: Pace,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate) -> Self {
        let pace = Pace::of(rate);
        let quota = governor::Quota::per_second(pace.full);
        let quota = governor::Quota::with_period(pace.grain()).map_or(quota, |q| q.allow_burst(pace.full));
        let level = RateLimiter::new(quota, InMemoryState::default(), Asked(AtomicU64::new(0)));
        Self { level, pace }
    }

    pub(super) fn rate(&self) -> Rate {
        self.pace.rate
    }

    /// Takes one request out of it.
    pub(super) fn take(&self, now: Duration) -> Result<Quota, Refused> {
        self.level.clock().at(now);
        match self.level.check_n(self.pace.request) {
            Ok(Ok(level)) => Ok(self.pace.admitted(level.remaining_burst_capacity())),
            Ok(Err(until)) => Err(self.pace.refused(until.wait_time_from(now))),
            // A bucket holds one request at least, so this does not happen.
            Err(_more_than_full) => Err(self.pace.refused(self.pace.rate.per())),
        }
    }
}

/// The buckets of anonymous clients, by address; `None` is one bucket for all who have none.
pub(super) struct Addresses {
    buckets: moka::sync::Cache<Option<IpAddr>, Arc<Bucket>, RandomState>,
    rate: Rate,
}

impl Addresses {
    pub(super) fn new(rate: Rate) -> Self {
        let buckets = moka::sync::Cache::builder()
            .max_capacity(MOST_ADDRESSES)
            // A bucket is full again after one window; from then on a new one is as good.
            .time_to_idle(rate.per() * 2)
            // moka's own policy lets no newcomer displace busier keys: its bucket would be new each time it asks.
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::new());
        Self { buckets, rate }
    }

    /// The same buckets, unless the rate is another.
    pub(super) fn at_rate(&self, rate: Rate) -> Self {
        if rate != self.rate {
            return Self::new(rate);
        }
        Self { buckets: self.buckets.clone(), rate }
    }

    pub(super) fn bucket(&self, address: Option<IpAddr>) -> Arc<Bucket> {
        // Looked up first: what waits for a bucket that is being made costs, and one in a million has to.
        let known = self.buckets.get(&address);
        known.unwrap_or_else(|| self.buckets.get_with(address, || Arc::new(Bucket::new(self.rate))))
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.buckets.run_pending_tasks();
        self.buckets.iter().count()
    }
}
