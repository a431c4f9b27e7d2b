//! Whether a registry may be asked now: the pauses that it asked for, its circuit breaker, its budget, and the number
//! of requests under way.
//!
//! Owns that state, which all clients share. A pause holds for one scope only (`pause_scope`). Must not know HTTP.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::backoff::roll;
use super::breaker::{Breaker, BreakerPass};
use super::budget::Budget;
use super::pause_scope::PauseScope;
use super::{CouldNotAsk, GateState, Health, UpstreamObserver, Urgency};
use crate::admission::{Admission, Slot};
use crate::clock::Clock;
use crate::config;

/// Admits requests to one registry.
pub(super) struct Gate {
    upstream: String,
    standing: Mutex<GateStanding>,
    /// Shared with the gate that replaces this one on a reload, so that nothing is spent twice.
    budget: Arc<Mutex<Budget>>,
    slots: Arc<Admission<()>>,
    patience: Duration,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn UpstreamObserver>,
}

struct GateStanding {
    breaker: Breaker,
    /// Until when each scope is paused.
    held_until: [Duration; PauseScope::ALL.len()],
    told: GateState,
}

/// Permission to ask once. Dropped without [`settle`](GatePermit::settle), it says nothing about the registry.
pub(super) struct GatePermit<'a> {
    gate: &'a Gate,
    admission: BreakerPass,
    settled: bool,
}

/// One request of the budget, until it ends and this is dropped.
pub(super) struct BudgetUse<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(
        config: &config::Upstream,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn UpstreamObserver>,
    ) -> Self {
        observer.up(&config.name, true);
        let most = config.max_concurrent.max(1);
        let (breaker, held_until, told) = (Breaker::new(), Default::default(), GateState::Closed);
        let gate = Self {
            upstream: config.name.clone(),
            standing: Mutex::new(GateStanding { breaker, held_until, told }),
            budget: Arc::new(Mutex::new(Budget::new(config.requests_per_minute))),
            slots: Admission::new(most, most),
            patience: config.read_timeout,
            clock,
            observer,
        };
        gate.tell();
        gate
    }

    /// Continues the budget of `before`, a gate to the same registry.
    pub(super) fn follow(&mut self, before: &Self, limit: u32) {
        self.budget = Arc::clone(&before.budget);
        self.budget().limit_to(limit);
        self.tell();
    }

    /// Tells the observer the current state, some of which changes as time passes.
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

    /// How long requests about `pause_scope` must wait.
    pub(super) fn pause(&self, scope: PauseScope) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().pause(scope, now)
    }

    /// A slot for one request under way, held until the answer was read.
    pub(super) async fn slot(&self) -> Result<Slot<()>, CouldNotAsk> {
        self.slots.take(&(), 1, self.patience).await.map_err(|_| CouldNotAsk::Busy)
    }

    /// Permission to ask, if neither the breaker nor a pause forbids it.
    pub(super) fn admit(&self, scope: PauseScope) -> Result<GatePermit<'_>, CouldNotAsk> {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        if let Some(for_) = standing.pause(scope, now) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let admission = standing.breaker.admit(now).map_err(|for_| CouldNotAsk::Paused { for_ })?;
        self.tell_change(&mut standing, now);
        Ok(GatePermit { gate: self, admission, settled: false })
    }

    /// How long the registry itself asked to be left alone about `pause_scope`.
    pub(super) fn held(&self, scope: PauseScope) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().held(scope, now)
    }

    /// How long the budget lets no request of this urgency through.
    pub(super) fn over_budget(&self, urgency: Urgency) -> Option<Duration> {
        self.budget().pause(urgency, self.clock.monotonic())
    }

    /// Takes the next request out of the budget.
    pub(super) fn spend(&self, urgency: Urgency) -> Result<BudgetUse<'_>, CouldNotAsk> {
        // The clock is read under the lock, so that the log is in order.
        let mut budget = self.budget();
        budget.spend(urgency, self.clock.monotonic()).map_err(|for_| CouldNotAsk::OverBudget { for_ })?;
        self.tell_left(&budget);
        Ok(BudgetUse(self))
    }

    /// Pauses `pause_scope` for `wait`, as the registry asked.
    pub(super) fn hold(&self, scope: PauseScope, wait: Duration) {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let until = &mut standing.held_until[scope as usize];
        *until = (*until).max(now + wait);
        self.tell_change(&mut standing, now);
    }

    /// Ends every pause, and lets an open breaker's probe through at once. Answers with whether anything was paused.
    pub(super) fn resume(&self) -> bool {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let paused = PauseScope::ALL.into_iter().any(|scope| standing.pause(scope, now).is_some());
        standing.held_until = Default::default();
        standing.breaker.hurry();
        self.tell_change(&mut standing, now);
        paused
    }

    fn settle(&self, admission: BreakerPass, health: Option<Health>) {
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
            // Under the lock, so that the observer sees the changes in order.
            self.observer.up(&self.upstream, up);
        }
        self.tell_change(&mut standing, now);
    }

    fn tell_change(&self, standing: &mut GateStanding, now: Duration) {
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
        self.budget.lock()
    }

    /// A panic cannot leave the state half changed.
    fn standing(&self) -> MutexGuard<'_, GateStanding> {
        self.standing.lock()
    }
}

impl GateStanding {
    fn pause(&self, scope: PauseScope, now: Duration) -> Option<Duration> {
        self.held(scope, now).max(self.breaker.pause(now))
    }

    fn held(&self, scope: PauseScope, now: Duration) -> Option<Duration> {
        self.held_until[scope as usize].checked_sub(now).filter(|left| !left.is_zero())
    }

    /// A registry that paused only search is still asked for everything that is installed.
    fn state(&self, now: Duration) -> GateState {
        match self.held(PauseScope::Documents, now) {
            Some(_) => GateState::Held,
            None if self.breaker.is_closed() => GateState::Closed,
            None if self.breaker.is_half_open() => GateState::HalfOpen,
            None => GateState::Open,
        }
    }
}

impl GatePermit<'_> {
    /// Returns the permission with what the request showed.
    pub(super) fn settle(mut self, health: Health) {
        self.settled = true;
        self.gate.settle(self.admission, Some(health));
    }
}

impl Drop for GatePermit<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.settle(self.admission, None);
        }
    }
}

impl Drop for BudgetUse<'_> {
    fn drop(&mut self) {
        let mut budget = self.0.budget();
        budget.over(self.0.clock.monotonic());
    }
}
