//! Who may ask the registry now: its own wish, its circuit breaker, its budget, the number under way.
//!
//! Owns that standing, shared by all clients; its wish counts for each concern by itself (`concern`). Must not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backoff::roll;
use super::breaker::{Admission, Breaker};
use super::budget::Budget;
use super::concern::Concern;
use super::{CouldNotAsk, Observer, State, Urgency};
use crate::clock::Clock;
use crate::config;

/// Stands before one registry.
pub(super) struct Gate {
    upstream: String,
    standing: Mutex<Standing>,
    /// Shared with the gate that follows this one on a reload, so that none is spent twice.
    budget: Arc<Mutex<Budget>>,
    slots: Arc<Semaphore>,
    patience: Duration,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

struct Standing {
    breaker: Breaker,
    /// Until when each concern is left alone.
    held_until: [Duration; Concern::ALL.len()],
    told: State,
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

/// One request out of the budget. Dropped when that is over.
pub(super) struct Spent<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(config: &config::Upstream, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        observer.up(&config.name, true);
        let (breaker, held_until, told) = (Breaker::new(), Default::default(), State::Closed);
        let gate = Self {
            upstream: config.name.clone(),
            standing: Mutex::new(Standing { breaker, held_until, told }),
            budget: Arc::new(Mutex::new(Budget::new(config.requests_per_minute))),
            slots: Arc::new(Semaphore::new(config.max_concurrent.clamp(1, Semaphore::MAX_PERMITS))),
            patience: config.read_timeout,
            clock,
            observer,
        };
        gate.tell();
        gate
    }

    /// Goes on with what `before`, which asked the same registry, has spent.
    pub(super) fn follow(&mut self, before: &Self, limit: u32) {
        self.budget = Arc::clone(&before.budget);
        self.budget().limit_to(limit);
        self.tell();
    }

    /// Tells the observer how things stand now: some of that changes by the mere passing of time.
    pub(super) fn tell(&self) {
        let mut standing = self.standing();
        standing.told = standing.state(self.clock.monotonic());
        self.observer.state(&self.upstream, standing.told);
        drop(standing);
        self.tell_left(&self.budget());
    }

    pub(super) fn is_up(&self) -> bool {
        self.standing().breaker.is_closed()
    }

    /// How long nobody may ask about `concern`.
    pub(super) fn pause(&self, concern: Concern) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().pause(concern, now)
    }

    /// One of the slots for requests under way, held until the answer was read.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, CouldNotAsk> {
        let slot = tokio::time::timeout(self.patience, Arc::clone(&self.slots).acquire_owned()).await;
        slot.map_err(|_| CouldNotAsk::Busy)?.map_err(|_| CouldNotAsk::Busy)
    }

    /// Leave to ask, as the breaker and the registry's wish allow.
    pub(super) fn admit(&self, concern: Concern) -> Result<Pass<'_>, CouldNotAsk> {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        if let Some(for_) = standing.pause(concern, now) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let admission = standing.breaker.admit(now).map_err(|for_| CouldNotAsk::Paused { for_ })?;
        self.tell_change(&mut standing, now);
        Ok(Pass { gate: self, admission, settled: false })
    }

    /// Whether the registry itself lets nobody ask about `concern`, for so long.
    pub(super) fn held(&self, concern: Concern) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().held(concern, now)
    }

    /// How long the budget lets no such request through.
    pub(super) fn over_budget(&self, urgency: Urgency) -> Option<Duration> {
        self.budget().pause(urgency, self.clock.monotonic())
    }

    /// Takes the request that is sent next out of the budget.
    pub(super) fn spend(&self, urgency: Urgency) -> Result<Spent<'_>, CouldNotAsk> {
        // The clock is read under the lock, so that the log is in order.
        let mut budget = self.budget();
        budget.spend(urgency, self.clock.monotonic()).map_err(|for_| CouldNotAsk::OverBudget { for_ })?;
        self.tell_left(&budget);
        Ok(Spent(self))
    }

    /// Leaves the registry alone about `concern` for `wait`, as it asked.
    pub(super) fn hold(&self, concern: Concern, wait: Duration) {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let until = &mut standing.held_until[concern as usize];
        *until = (*until).max(now + wait);
        self.tell_change(&mut standing, now);
    }

    /// Ends every pause: what the registry asked for is forgotten, and an open breaker lets its probe through at once.
    /// Answers with whether there was any.
    pub(super) fn resume(&self) -> bool {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let paused = Concern::ALL.into_iter().any(|concern| standing.pause(concern, now).is_some());
        standing.held_until = Default::default();
        standing.breaker.hurry();
        self.tell_change(&mut standing, now);
        paused
    }

    fn settle(&self, admission: Admission, health: Option<Health>) {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let was_up = standing.breaker.is_closed();
        match health {
            Some(Health::Up) => standing.breaker.succeeded(admission, now),
            Some(Health::Down) => standing.breaker.failed(admission, now, roll()),
            None => standing.breaker.abandoned(admission),
        }
        let up = standing.breaker.is_closed();
        if up != was_up {
            // Under the lock, so that changes are told of in their order.
            self.observer.up(&self.upstream, up);
        }
        self.tell_change(&mut standing, now);
    }

    fn tell_change(&self, standing: &mut Standing, now: Duration) {
        let state = standing.state(now);
        if state != standing.told {
            standing.told = state;
            self.observer.state(&self.upstream, state);
        }
    }

    fn tell_left(&self, budget: &Budget) {
        if let Some(left) = budget.left(self.clock.monotonic()) {
            self.observer.budget_left(&self.upstream, left);
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic cannot leave the standing half changed, so a poisoned lock is as good as any.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn pause(&self, concern: Concern, now: Duration) -> Option<Duration> {
        self.held(concern, now).max(self.breaker.pause(now))
    }

    fn held(&self, concern: Concern, now: Duration) -> Option<Duration> {
        self.held_until[concern as usize].checked_sub(now).filter(|left| !left.is_zero())
    }

    /// A registry that is left alone about search only is still approached for everything that is installed.
    fn state(&self, now: Duration) -> State {
        match self.held(Concern::Documents, now) {
            Some(_) => State::Held,
            None if self.breaker.is_closed() => State::Closed,
            None if self.breaker.is_half_open() => State::HalfOpen,
            None => State::Open,
        }
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

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        let mut budget = self.0.budget();
        budget.over(self.0.clock.monotonic());
    }
}
