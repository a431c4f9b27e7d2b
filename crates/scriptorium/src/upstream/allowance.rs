//! How much a registry may be asked: requests in a minute, and at once.
//!
//! A proxy of its own has a log of its requests (`budget`) and slots. Several proxies share permits, of which each has some;
//! a request that finds none waits for the answer of the others. Those who wait for a slot stand in one line either way.
//! Owns that difference. Must not know what is asked.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Urgency;
use super::budget::{Budget, RESERVE, WINDOW};
use crate::admission::{Admission, Slot};
use crate::clock::Clock;
use crate::cluster::{ClusterNode, PermitHold, PermitPatience, SharedPermits};
use crate::config;

/// What a registry may be asked.
pub(super) struct Allowance {
    /// Shared with what replaces this one on a reload, so that nothing is spent twice.
    budget: Arc<Mutex<Budget>>,
    slots: Arc<Admission<()>>,
    shared: Option<SharedAllowance>,
    clock: Arc<dyn Clock>,
}

/// What all proxies may ask together.
struct SharedAllowance {
    node: Arc<ClusterNode>,
    name: String,
    /// `None` while there is no budget. Kept by reloads, also by one that takes the budget away.
    budget: Option<Arc<SharedPermits>>,
    has_budget: bool,
    slots: Arc<SharedPermits>,
}

/// What is left of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetLeft {
    /// How many requests this proxy could send at once.
    pub(crate) requests: u32,
    /// If there is none, in how long one may be sent, as far as this proxy knows.
    pub(crate) wait: Option<Duration>,
}

impl BudgetLeft {
    /// The whole seconds after which a request may be sent, if none may now.
    pub(crate) fn wait_seconds(self) -> Option<u64> {
        let seconds = |wait: Duration| u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
        self.wait.map(seconds)
    }
}

/// The right to one request under way.
pub(super) struct ExchangeSlot {
    permit: Option<PermitHold>,
    _slot: Slot<()>,
}

/// One request of the budget, until it ends and this is dropped.
pub(super) enum BudgetSpent<'a> {
    Own(&'a Allowance),
    Shared(PermitHold),
    Unbounded,
}

impl Allowance {
    pub(super) fn new(
        config: &config::Upstream,
        clock: Arc<dyn Clock>,
        cluster: Option<&Arc<ClusterNode>>,
    ) -> Self {
        let most = config.max_concurrent.max(1);
        Self {
            budget: Arc::new(Mutex::new(Budget::new(config.requests_per_minute))),
            slots: Admission::new(most, most),
            shared: cluster.map(|node| SharedAllowance::new(node, config)),
            clock,
        }
    }

    /// Continues `before`, the allowance of the same registry.
    pub(super) fn follow(&mut self, before: &Self, config: &config::Upstream) {
        self.budget = Arc::clone(&before.budget);
        self.budget.lock().limit_to(config.requests_per_minute);
        if let (Some(shared), Some(before)) = (&mut self.shared, &before.shared) {
            shared.follow(before, config);
        }
    }

    /// How many requests this proxy could send at once, and when the next; `None` where there is no budget.
    pub(super) fn left(&self) -> Option<BudgetLeft> {
        match &self.shared {
            None => {
                let (budget, now) = (self.budget.lock(), self.clock.monotonic());
                let wait = budget.pause(Urgency::Foreground, now);
                budget.left(now).map(|requests| BudgetLeft { requests, wait })
            }
            Some(shared) => shared.budget().map(|budget| BudgetLeft {
                requests: budget.left(),
                wait: (budget.left() == 0).then(|| budget.pause(0)),
            }),
        }
    }

    /// How long this proxy alone knows that no request may be sent. What others know is asked when one is spent.
    pub(super) fn pause(&self, urgency: Urgency) -> Option<Duration> {
        match self.shared {
            None => self.budget.lock().pause(urgency, self.clock.monotonic()),
            Some(_) => None,
        }
    }

    /// Takes the next request out of the budget, or answers with how long to wait.
    pub(super) async fn spend(&self, urgency: Urgency) -> Result<BudgetSpent<'_>, Duration> {
        let Some(shared) = &self.shared else {
            // The clock is read under the lock, so that the log is in order.
            let mut budget = self.budget.lock();
            return budget.spend(urgency, self.clock.monotonic()).map(|()| BudgetSpent::Own(self));
        };
        let Some(budget) = shared.budget() else { return Ok(BudgetSpent::Unbounded) };
        let reserve = match urgency {
            Urgency::Foreground => 0,
            Urgency::Background => RESERVE,
        };
        budget.take(reserve, PermitPatience::Answer).await.map(BudgetSpent::Shared)
    }

    /// The right to one request under way, waited for as long as `patience`.
    pub(super) async fn slot(&self, patience: Duration) -> Option<ExchangeSlot> {
        let slot = self.slots.take(&(), 1, patience).await.ok()?;
        let permit = match &self.shared {
            None => None,
            Some(shared) => Some(shared.permit(patience).await?),
        };
        Some(ExchangeSlot { permit, _slot: slot })
    }

    /// Another permit for a slot whose permit others needed back. Its place among the requests of this proxy it keeps.
    pub(super) async fn slot_again(&self, slot: &mut ExchangeSlot, patience: Duration) -> Option<()> {
        slot.permit = None;
        if let Some(shared) = &self.shared {
            slot.permit = Some(shared.permit(patience).await?);
        }
        Some(())
    }
}

impl SharedAllowance {
    async fn permit(&self, patience: Duration) -> Option<PermitHold> {
        self.slots.take(0, PermitPatience::For(patience)).await.ok()
    }

    fn new(node: &Arc<ClusterNode>, config: &config::Upstream) -> Self {
        let name = config.shared_name();
        let most = u32::try_from(config.max_concurrent.max(1)).unwrap_or(u32::MAX);
        let slots = node.pools.open(format!("{name}:slots"), most, Duration::ZERO);
        let node = Arc::clone(node);
        let mut shared = Self { node, name, budget: None, has_budget: false, slots };
        shared.limit_to(config.requests_per_minute);
        shared
    }

    fn follow(&mut self, before: &Self, config: &config::Upstream) {
        (self.budget, self.slots) = (before.budget.clone(), Arc::clone(&before.slots));
        self.slots.limit_to(u32::try_from(config.max_concurrent.max(1)).unwrap_or(u32::MAX));
        self.limit_to(config.requests_per_minute);
    }

    fn limit_to(&mut self, limit: u32) {
        self.has_budget = limit > 0;
        match &self.budget {
            _ if limit == 0 => {}
            Some(budget) => budget.limit_to(limit),
            None => self.budget = Some(self.node.pools.open(format!("{}:budget", self.name), limit, WINDOW)),
        }
    }

    fn budget(&self) -> Option<&Arc<SharedPermits>> {
        self.budget.as_ref().filter(|_| self.has_budget)
    }
}

impl ExchangeSlot {
    /// What `work` gives; `None` when other proxies need the slot back before.
    pub(super) async fn uncut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        uncut(self.permit.as_ref(), work).await
    }
}

impl BudgetSpent<'_> {
    /// What `work` gives; `None` when other proxies need the request back before.
    pub(super) async fn uncut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::Own(_) | Self::Unbounded => Some(work.await),
            Self::Shared(permit) => uncut(Some(permit), work).await,
        }
    }
}

async fn uncut<T>(permit: Option<&PermitHold>, work: impl Future<Output = T>) -> Option<T> {
    let Some(permit) = permit else { return Some(work.await) };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = permit.cut() => None,
    }
}

impl Drop for BudgetSpent<'_> {
    fn drop(&mut self) {
        match self {
            Self::Own(allowance) => {
                let mut budget = allowance.budget.lock();
                budget.over(allowance.clock.monotonic());
            }
            Self::Shared(_) | Self::Unbounded => {}
        }
    }
}
