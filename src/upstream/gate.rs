//! Who may ask the registry now: its circuit breaker, its own wish to be left alone, the number under way.
//!
//! Owns that standing, shared by all clients. Must not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backoff::roll;
use super::breaker::{Admission, Breaker};
use super::{CouldNotAsk, Observer};
use crate::clock::Clock;
use crate::config;

/// Stands before one registry.
pub(super) struct Gate {
    upstream: String,
    standing: Mutex<Standing>,
    slots: Arc<Semaphore>,
    patience: Duration,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

struct Standing {
    breaker: Breaker,
    held_until: Duration,
}

/// What an exchange said about the registry's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Leave to ask once. Dropped without a word, it tells nothing about the registry.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    admission: Admission,
    settled: bool,
}

impl Gate {
    pub(super) fn new(config: &config::Upstream, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        observer.up(&config.name, true);
        Self {
            upstream: config.name.clone(),
            standing: Mutex::new(Standing { breaker: Breaker::new(), held_until: Duration::ZERO }),
            slots: Arc::new(Semaphore::new(config.max_concurrent.clamp(1, Semaphore::MAX_PERMITS))),
            patience: config.read_timeout,
            clock,
            observer,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.standing().breaker.is_closed()
    }

    /// How long nobody may ask.
    pub(super) fn pause(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().pause(now)
    }

    /// One of the slots for requests under way, held until the answer was read.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, CouldNotAsk> {
        let slot = tokio::time::timeout(self.patience, Arc::clone(&self.slots).acquire_owned()).await;
        slot.map_err(|_| CouldNotAsk::Busy)?.map_err(|_| CouldNotAsk::Busy)
    }

    /// Leave to ask, as the breaker and the registry's wish allow.
    pub(super) fn admit(&self) -> Result<Pass<'_>, CouldNotAsk> {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        if let Some(for_) = standing.pause(now) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let admission = standing.breaker.admit(now).map_err(|for_| CouldNotAsk::Paused { for_ })?;
        Ok(Pass { gate: self, admission, settled: false })
    }

    /// Leaves the registry alone for `wait`, as it asked.
    pub(super) fn hold(&self, wait: Duration) {
        let until = self.clock.monotonic() + wait;
        let mut standing = self.standing();
        standing.held_until = standing.held_until.max(until);
    }

    fn settle(&self, admission: Admission, health: Option<Health>) {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let was_up = standing.breaker.is_closed();
        match health {
            Some(Health::Up) => standing.breaker.succeeded(admission),
            Some(Health::Down) => standing.breaker.failed(admission, now, roll()),
            None => standing.breaker.abandoned(admission),
        }
        let up = standing.breaker.is_closed();
        if up != was_up {
            // Under the lock, so that changes are told of in their order.
            self.observer.up(&self.upstream, up);
        }
    }

    /// A panic cannot leave the standing half changed, so a poisoned lock is as good as any.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn pause(&self, now: Duration) -> Option<Duration> {
        let held = self.held_until.checked_sub(now).filter(|left| !left.is_zero());
        held.max(self.breaker.pause(now))
    }
}

impl Pass<'_> {
    /// Returns the pass with what was learnt.
    pub(super) fn settle(mut self, health: Health) {
        self.settled = true;
        self.gate.settle(self.admission, Some(health));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.settle(self.admission, None);
        }
    }
}
