//! Rate buckets: a burst of requests, then one more whenever its part of the window has passed (GCRA).
//!
//! A bucket is one for all threads, so that no burst exceeds it; a thread remembers where it found the buckets of the
//! addresses that it saw last. Where proxies work together a client has one bucket at all of them. Owns the arithmetic around
//! the `governor` crate, and the bound on remembered addresses. Must not know who a client is.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use governor::RateLimiter;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use thread_local::ThreadLocal;

use crate::cluster::{ClusterNode, SharedQuota};
use crate::config::Rate;
use ::cluster::{ShareLeft, ShareVerdict};

/// Buckets that are remembered at once, about 20 MB of them.
pub(super) const MOST_ADDRESSES: u64 = 100_000;

/// Buckets that a thread finds again without looking them up, each in the place of its address.
const FOUND: usize = 32;

/// For so long. Each look-up keeps a bucket from being forgotten.
const FOUND_FOR: Duration = Duration::from_secs(1);

/// How much of the rate a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateQuota {
    /// Requests in a window.
    pub(crate) limit: u32,
    /// The window, in seconds.
    pub(crate) window: u64,
    /// Requests that would be let in now.
    pub(crate) remaining: u32,
    /// Seconds until `limit` requests would be let in, rounded up. In a refusal: until one would.
    pub(crate) reset: u64,
}

/// The bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateExceeded {
    /// Nothing remains, and `reset` is `retry_after` in whole seconds, at least one.
    pub(crate) quota: RateQuota,
    /// How long to wait until one request would be let in.
    pub(crate) retry_after: Duration,
    /// Whether only the answer of the other proxies is missing, which is on its way.
    pub(crate) is_unsettled: bool,
}

/// A rate in grains. A request takes many grains, so that a bucket's level is exact to about a millisecond even at
/// one request an hour.
#[derive(Debug, Clone, Copy)]
struct RateGrains {
    rate: Rate,
    /// Grains a request takes.
    request: NonZeroU32,
    /// Grains of all requests of a window.
    full: NonZeroU32,
}

impl RateGrains {
    fn of(rate: Rate) -> Self {
        let millis = u32::try_from(rate.per().as_millis()).unwrap_or(u32::MAX);
        let request = NonZeroU32::new(millis / rate.requests()).unwrap_or(NonZeroU32::MIN);
        Self { rate, request, full: request.saturating_mul(rate.requests()) }
    }

    /// The time of one grain, rounded up, so that no window lets in more than configured.
    fn grain(self) -> Duration {
        Duration::from_nanos(self.window().saturating_mul(1_000_000_000).div_ceil(self.full.get().into()))
    }

    fn window(self) -> u64 {
        self.rate.per().as_secs()
    }

    fn admitted(self, level: u32) -> RateQuota {
        let missing = u64::from(self.full.get() - level.min(self.full.get()));
        RateQuota {
            limit: self.rate.requests().get(),
            window: self.window(),
            remaining: level / self.request,
            reset: (missing * self.window()).div_ceil(self.full.get().into()),
        }
    }

    fn refused(self, retry_after: Duration) -> RateExceeded {
        let reset = (retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)).max(1);
        RateExceeded { quota: RateQuota { reset, ..self.admitted(0) }, retry_after, is_unsettled: false }
    }

    /// The same for a bucket that all proxies share.
    fn shared(self, verdict: ShareVerdict) -> Result<RateQuota, RateExceeded> {
        match verdict {
            ShareVerdict::Admitted(ShareLeft { remaining, reset }) => {
                let reset = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
                Ok(RateQuota { remaining, reset, ..self.admitted(0) })
            }
            ShareVerdict::Refused(left) => Err(self.refused(left.reset)),
            ShareVerdict::Unsettled(left) => {
                Err(RateExceeded { is_unsettled: true, ..self.refused(left.reset) })
            }
        }
    }
}

/// The clock of one bucket: when it was asked last, in nanoseconds.
struct BucketClock(AtomicU64);

impl BucketClock {
    /// The clock is read once for each request, so times may arrive out of order.
    fn at(&self, now: Duration) {
        self.0.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl governor::clock::Clock for BucketClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// How full a bucket is.
enum BucketLevel {
    /// As this process alone knows it.
    Own(Box<RateLimiter<NotKeyed, InMemoryState, BucketClock, StateInformationMiddleware>>),
    /// As all proxies know it together.
    Shared(Arc<ClusterNode>, Arc<SharedQuota>),
}

/// Makes buckets: of this process, or shared with the other proxies.
#[derive(Clone)]
pub(super) struct BucketSource(pub(super) Option<Arc<ClusterNode>>);

impl BucketSource {
    /// A full bucket. `whose` is the same at all proxies.
    pub(super) fn bucket(&self, rate: Rate, whose: impl FnOnce() -> String) -> RateBucket {
        let quota = |node: &Arc<ClusterNode>| node.quota(&whose(), rate.requests(), rate.per());
        let shared = self.0.as_ref().map(|node| (Arc::clone(node), quota(node)));
        RateBucket::new(rate, shared)
    }
}

/// One client's bucket.
pub(super) struct RateBucket {
    level: BucketLevel,
    grains: RateGrains,
    /// Whether the next request of its client would get another bucket.
    is_forgotten: AtomicBool,
}

impl RateBucket {
    fn new(rate: Rate, shared: Option<(Arc<ClusterNode>, Arc<SharedQuota>)>) -> Self {
        let grains = RateGrains::of(rate);
        let level = match shared {
            Some((node, quota)) => BucketLevel::Shared(node, quota),
            None => {
                let quota = governor::Quota::per_second(grains.full);
                let quota = governor::Quota::with_period(grains.grain())
                    .map_or(quota, |q| q.allow_burst(grains.full));
                let clock = BucketClock(AtomicU64::new(0));
                BucketLevel::Own(Box::new(RateLimiter::new(quota, InMemoryState::default(), clock)))
            }
        };
        Self { level, grains, is_forgotten: AtomicBool::new(false) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.grains.rate
    }

    /// Takes one request out of it.
    pub(super) fn take(&self, now: Duration) -> Result<RateQuota, RateExceeded> {
        let level = match &self.level {
            BucketLevel::Own(level) => level,
            BucketLevel::Shared(node, quota) => return self.grains.shared(node.take_quota(quota, now)),
        };
        level.clock().at(now);
        match level.check_n(self.grains.request) {
            Ok(Ok(level)) => Ok(self.grains.admitted(level.remaining_burst_capacity())),
            Ok(Err(until)) => Err(self.grains.refused(until.wait_time_from(now))),
            // Cannot happen: a bucket holds at least one request.
            Err(_more_than_full) => Err(self.grains.refused(self.grains.rate.per())),
        }
    }
}

/// The buckets of anonymous clients, by address. `None` is the bucket of all clients without an address.
pub(super) struct AddressBuckets {
    buckets: moka::sync::Cache<Option<IpAddr>, Arc<RateBucket>, RandomState>,
    found: ThreadLocal<CachePadded<Mutex<[Option<FoundBucket>; FOUND]>>>,
    hasher: RandomState,
    rate: Rate,
    source: BucketSource,
}

/// A bucket that a thread has found.
struct FoundBucket {
    address: Option<IpAddr>,
    bucket: Arc<RateBucket>,
    at: Duration,
}

impl FoundBucket {
    /// Whether a look-up at `now` would find the same.
    fn is_of(&self, address: Option<IpAddr>, now: Duration) -> bool {
        self.address == address
            && now.saturating_sub(self.at) < FOUND_FOR
            && !self.bucket.is_forgotten.load(Ordering::Acquire)
    }
}

impl AddressBuckets {
    pub(super) fn new(rate: Rate, source: BucketSource) -> Self {
        let buckets = moka::sync::Cache::builder()
            .max_capacity(MOST_ADDRESSES)
            // A bucket is full again after one window, so it can be forgotten.
            .time_to_idle(rate.per() * 2)
            // moka's default policy would not admit a new key while the others are busier; its bucket would be new at
            // each request.
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(|_, bucket: Arc<RateBucket>, _| {
                bucket.is_forgotten.store(true, Ordering::Release);
            })
            .build_with_hasher(RandomState::new());
        Self::over(buckets, rate, source)
    }

    fn over(
        buckets: moka::sync::Cache<Option<IpAddr>, Arc<RateBucket>, RandomState>,
        rate: Rate,
        source: BucketSource,
    ) -> Self {
        Self { buckets, found: ThreadLocal::new(), hasher: RandomState::new(), rate, source }
    }

    /// The same buckets, or new ones where the rate changed.
    pub(super) fn at_rate(&self, rate: Rate) -> Self {
        if rate != self.rate {
            return Self::new(rate, self.source.clone());
        }
        Self::over(self.buckets.clone(), rate, self.source.clone())
    }

    /// Takes one request out of the bucket of `address`.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Duration) -> Result<RateQuota, RateExceeded> {
        let mut found = self.found.get_or_default().lock();
        let place = &mut found[self.hasher.hash_one(address) as usize % FOUND];
        match place {
            Some(found) if found.is_of(address, now) => found.bucket.take(now),
            place => {
                let bucket = self.bucket(address);
                place.insert(FoundBucket { address, bucket, at: now }).bucket.take(now)
            }
        }
    }

    fn bucket(&self, address: Option<IpAddr>) -> Arc<RateBucket> {
        // Looked up first: `get_with` costs more, and is seldom needed.
        let known = self.buckets.get(&address);
        let whose = || format!("address {address:?}");
        let make = || Arc::new(self.source.bucket(self.rate, whose));
        known.unwrap_or_else(|| self.buckets.get_with(address, make))
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.buckets.run_pending_tasks();
        self.buckets.iter().count()
    }

    /// Forgets all of them.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.buckets.iter().for_each(|(address, _)| self.buckets.invalidate(&*address));
    }
}
