//! The buckets of one class: one a client, refilled steadily, forgotten when they have long been full.
//!
//! Owns their number and what a quota is worth now. The counting is the generic cell rate algorithm of the
//! `governor` crate, under this process's clock. Must not know who the clients are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

use super::{Client, Quota, Refused};
use crate::clock::Clock;
use crate::config;

/// Buckets kept of one class. Beyond it the least used one is forgotten, and with it what its client spent.
pub(super) const MOST: u64 = 100_000;

type Bucket = RateLimiter<NotKeyed, InMemoryState, Ticks, StateInformationMiddleware>;

/// The buckets of one class.
pub(super) struct Tier {
    rate: config::Rate,
    quota: Rate,
    clock: Ticks,
    buckets: moka::sync::Cache<Client, Arc<Bucket>>,
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl Tier {
    pub(super) fn new(rate: config::Rate, clock: &Arc<dyn Clock>) -> Self {
        let share = Rate::with_period(rate.per() / rate.requests().get());
        // More than one a nanosecond cannot be asked for; a share of nothing is none.
        let quota = share.unwrap_or(Rate::per_second(rate.requests())).allow_burst(rate.requests());
        let buckets = moka::sync::Cache::builder().max_capacity(MOST).time_to_idle(2 * rate.per()).build();
        Self { rate, quota, clock: Ticks(Arc::clone(clock)), buckets }
    }

    /// How many buckets there are.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.buckets.run_pending_tasks();
        self.buckets.entry_count()
    }

    pub(super) fn is_of(&self, rate: config::Rate) -> bool {
        self.rate == rate
    }

    /// Counts one request of `client`.
    pub(super) fn admit(&self, client: &Client) -> Result<Quota, Refused> {
        let bucket = self.buckets.get(client).unwrap_or_else(|| {
            let full = || Arc::new(Bucket::new(self.quota, InMemoryState::default(), self.clock.clone()));
            self.buckets.get_with_by_ref(client, full)
        });
        match bucket.check() {
            Ok(state) => Ok(self.left(state.remaining_burst_capacity())),
            Err(until) => {
                let retry_after = until.wait_time_from(self.clock.now());
                let reset = seconds(retry_after).max(1);
                Err(Refused { quota: Quota { reset, ..self.left(0) }, retry_after })
            }
        }
    }

    fn left(&self, remaining: u32) -> Quota {
        let (limit, window) = (self.rate.requests().get(), self.rate.per().as_secs());
        let spent = u64::from(limit.saturating_sub(remaining));
        Quota { limit, window, remaining, reset: (spent * window).div_ceil(u64::from(limit)) }
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// This process's clock, as the crate reads one.
#[derive(Debug, Clone)]
struct Ticks(Arc<dyn Clock>);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.monotonic().into()
    }
}
