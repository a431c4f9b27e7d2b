//! Whether a registry may be asked now: the pauses that it asked for, its circuit breaker, its budget, and the number
//! of requests under way.
//!
//! Owns that state, which all clients share. A pause holds for one scope only (`pause_scope`). Several proxies that work
//! together share it too (`allowance`, `shared_standing`). Must not know HTTP.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::allowance::{Allowance, BudgetLeft, BudgetSpent, ExchangeSlot};
use super::backoff::roll;
use super::breaker::{Breaker, BreakerPass};
use super::pause_scope::PauseScope;
use super::shared_standing::SharedStanding;
use super::{CouldNotAsk, GateState, Health, UpstreamObserver, Urgency};
use crate::clock::Clock;
use crate::cluster::ClusterNode;
use crate::config;

/// Admits requests to one registry.
pub(super) struct Gate {
    upstream: String,
    standing: Mutex<GateStanding>,
    /// What the other proxies know of the registry, where there are others.
    shared: Option<SharedStanding>,
    allowance: Allowance,
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

impl Gate {
    pub(super) fn new(
        config: &config::Upstream,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn UpstreamObserver>,
        cluster: Option<&Arc<ClusterNode>>,
    ) -> Self {
        observer.up(&config.name, true);
        let (breaker, held_until, told) = (Breaker::new(), Default::default(), GateState::Closed);
        let gate = Self {
            upstream: config.name.clone(),
            standing: Mutex::new(GateStanding { breaker, held_until, told }),
            shared: cluster.map(|node| SharedStanding::new(node, config)),
            allowance: Allowance::new(config, Arc::clone(&clock), cluster),
            patience: config.read_timeout,
            clock,
            observer,
        };
        gate.tell();
        gate
    }

    /// Continues the budget of `before`, a gate to the same registry.
    pub(super) fn follow(&mut self, before: &Self, config: &config::Upstream) {
        self.allowance.follow(&before.allowance, config);
        self.tell();
    }

    /// Tells the observer the current state, some of which changes as time passes.
    pub(super) fn tell(&self) {
        let mut standing = self.standing();
        standing.told = self.state(&standing, self.clock.monotonic());
        self.observer.state(&self.upstream, standing.told);
        drop(standing);
        self.tell_left();
    }

    pub(super) fn is_up(&self) -> bool {
        self.standing().breaker.is_closed()
    }

    /// How long requests about `pause_scope` must wait.
    pub(super) fn pause(&self, scope: PauseScope) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.paused(&self.standing(), scope, now)
    }

    /// A slot for one request under way, held until the answer was read.
    pub(super) async fn slot(&self) -> Result<ExchangeSlot, CouldNotAsk> {
        self.allowance.slot(self.patience).await.ok_or(CouldNotAsk::Busy)
    }

    /// The same slot again, after other proxies needed it back.
    pub(super) async fn slot_again(&self, slot: &mut ExchangeSlot) -> Result<(), CouldNotAsk> {
        self.allowance.slot_again(slot, self.patience).await.ok_or(CouldNotAsk::Busy)
    }

    /// Permission to ask, if neither the breaker nor a pause forbids it.
    pub(super) fn admit(&self, scope: PauseScope) -> Result<GatePermit<'_>, CouldNotAsk> {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        if let Some(for_) = self.paused(&standing, scope, now) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let admission = standing.breaker.admit(now).map_err(|for_| CouldNotAsk::Paused { for_ })?;
        self.tell_change(&mut standing, now);
        Ok(GatePermit { gate: self, admission, settled: false })
    }

    /// How long the registry itself asked to be left alone about `pause_scope`.
    pub(super) fn held(&self, scope: PauseScope) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.standing().held(scope, now).max(self.heard(|shared| shared.held(scope, now)))
    }

    /// How long the budget lets no request of this urgency through, as far as this proxy knows.
    pub(super) fn over_budget(&self, urgency: Urgency) -> Option<Duration> {
        self.allowance.pause(urgency)
    }

    /// Takes the next request out of the budget, until it ends and what this gives is dropped.
    pub(super) async fn spend(&self, urgency: Urgency) -> Result<BudgetSpent<'_>, CouldNotAsk> {
        let spent = self.allowance.spend(urgency).await.map_err(|for_| CouldNotAsk::OverBudget { for_ })?;
        self.tell_left();
        Ok(spent)
    }

    /// Pauses `pause_scope` for `wait`, as the registry asked.
    pub(super) fn hold(&self, scope: PauseScope, wait: Duration) {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let until = &mut standing.held_until[scope as usize];
        *until = (*until).max(now + wait);
        if let Some(shared) = &self.shared {
            shared.hold(scope, wait);
        }
        self.tell_change(&mut standing, now);
    }

    /// Ends every pause, and lets an open breaker's probe through at once. Answers with whether anything was paused.
    pub(super) fn resume(&self) -> bool {
        let now = self.clock.monotonic();
        let mut standing = self.standing();
        let paused = PauseScope::ALL.into_iter().any(|scope| self.paused(&standing, scope, now).is_some());
        standing.held_until = Default::default();
        if let Some(shared) = &self.shared {
            shared.resume();
        }
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
        if let Some(shared) = &self.shared {
            shared.tell(&standing.breaker, self.patience, now);
        }
        let state = self.state(standing, now);
        if state != standing.told {
            standing.told = state;
            self.observer.state(&self.upstream, state);
        }
    }

    fn tell_left(&self) {
        if let Some(left) = self.allowance.left() {
            self.observer.budget_left(&self.upstream, left.requests);
        }
    }

    /// What is left of the budget, if there is one.
    pub(super) fn budget_left(&self) -> Option<BudgetLeft> {
        self.allowance.left()
    }

    fn paused(&self, standing: &GateStanding, scope: PauseScope, now: Duration) -> Option<Duration> {
        standing.pause(scope, now).max(self.heard(|shared| shared.pause(scope, now)))
    }

    fn heard(&self, pause: impl FnOnce(&SharedStanding) -> Option<Duration>) -> Option<Duration> {
        self.shared.as_ref().and_then(pause)
    }

    /// A registry that paused only search is still asked for everything that is installed.
    fn state(&self, standing: &GateStanding, now: Duration) -> GateState {
        let scope = PauseScope::Documents;
        match standing.held(scope, now).max(self.heard(|shared| shared.held(scope, now))) {
            Some(_) => GateState::Held,
            None if self.heard(|shared| shared.pause(scope, now)).is_some() => GateState::Open,
            None if standing.breaker.is_closed() => GateState::Closed,
            None if standing.breaker.is_half_open() => GateState::HalfOpen,
            None => GateState::Open,
        }
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
