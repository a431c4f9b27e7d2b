//! Permits for requests to registries, which all proxies share, as this proxy has them.
//!
//! Owns who uses one, who waits for one, and who is cut off; the arithmetic is in `crates/cluster`. Must not know what a
//! request is, nor how pools are called.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::cluster::{Legacy, PermitLegacy, PermitSettings, PermitUse, Permits, PoolCall, PoolReply};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::clock::Clock;

/// Between calls of a pool that nobody waits for.
const PACE: Duration = Duration::from_secs(1);
/// What an earlier process left is over after so long.
const LEFT: Duration = Duration::from_secs(120);
/// Between calls while requests wait, and between looks at what is overdue.
const HURRY: Duration = Duration::from_millis(100);

/// All pools of this proxy, and what wakes the task that calls them.
#[derive(Debug)]
pub(crate) struct PermitPools {
    node: String,
    meant: u32,
    clock: Arc<dyn Clock>,
    opened: Mutex<OpenedPools>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct OpenedPools {
    /// Pools of registries that a reload took away stay: their permits count, and the registry may come back.
    pools: Vec<Arc<SharedPermits>>,
    /// Nothing before this process has a place.
    place: Option<PoolsPlace>,
}

/// What this process knows of those that had its place.
#[derive(Debug)]
struct PoolsPlace {
    since: Duration,
    /// How long they had it; `None` if none of them counts.
    before: Option<Duration>,
    /// What they left in pools that are not open.
    left: BTreeMap<String, PermitLegacy>,
}

/// This proxy's permits of one pool.
#[derive(Debug)]
pub(crate) struct SharedPermits {
    pool: String,
    state: Mutex<PermitState>,
    /// How many calls ended. Also told anew when a permit comes free.
    ended: watch::Sender<u64>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct PermitState {
    permits: Permits,
    cuts: HashMap<PermitUse, Arc<Notify>>,
    /// How many permits are wanted by those who wait.
    waiting: u32,
    begun: u64,
    called: Option<Duration>,
}

/// How long a request waits for a permit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PermitPatience {
    /// Until the other proxies said that none is left.
    Answer,
    /// So long.
    For(Duration),
}

/// A permit in use, until this is dropped.
#[derive(Debug)]
pub(crate) struct PermitHold {
    of: Arc<SharedPermits>,
    permit: PermitUse,
    cut: Arc<Notify>,
}

/// Somebody who waits.
struct PermitWaiter<'a>(&'a SharedPermits, u32);

impl SharedPermits {
    /// A permit, if then one part in `reserve` is left for others; 0 leaves none.
    ///
    /// # Errors
    /// When to ask again.
    pub(crate) async fn take(
        self: &Arc<Self>,
        reserve: u32,
        patience: PermitPatience,
    ) -> Result<PermitHold, Duration> {
        if let Some(hold) = self.take_now(reserve) {
            return Ok(hold);
        }
        let mut changes = self.ended.subscribe();
        let (waiter, begun) = self.wait(reserve);
        let waits = async {
            loop {
                // Before the attempt, so that an answer in between is not missed.
                let ended = *changes.borrow_and_update();
                if let Some(hold) = self.take_now(reserve) {
                    return Some(hold);
                }
                if matches!(patience, PermitPatience::Answer) && ended > begun
                    || changes.changed().await.is_err()
                {
                    return None;
                }
            }
        };
        let hold = match patience {
            PermitPatience::Answer => waits.await,
            PermitPatience::For(time) => timeout(time, waits).await.ok().flatten(),
        };
        drop(waiter);
        hold.ok_or_else(|| self.pause(reserve))
    }

    /// Changes how many permits there are.
    pub(crate) fn limit_to(&self, limit: u32) {
        self.state.lock().permits.limit_to(limit, self.clock.monotonic());
    }

    /// Permits that this proxy could use at once.
    pub(crate) fn left(&self) -> u32 {
        self.state.lock().permits.left(self.clock.monotonic())
    }

    fn take_now(self: &Arc<Self>, reserve: u32) -> Option<PermitHold> {
        let mut state = self.state.lock();
        // The clock is read under the lock, so that time never goes back.
        let permit = state.permits.take(reserve, self.clock.monotonic())?;
        let cut = Arc::new(Notify::new());
        state.cuts.insert(permit, Arc::clone(&cut));
        Some(PermitHold { of: Arc::clone(self), permit, cut })
    }

    /// Counts one who waits, and says how many calls began before.
    fn wait(&self, reserve: u32) -> (PermitWaiter<'_>, u64) {
        let mut state = self.state.lock();
        let wanted = state.permits.wanted_by(reserve);
        state.waiting = state.waiting.saturating_add(wanted);
        self.wake.notify_one();
        (PermitWaiter(self, wanted), state.begun)
    }

    /// How long until a request that leaves one part in `reserve` may find a permit.
    pub(crate) fn pause(&self, reserve: u32) -> Duration {
        let mut state = self.state.lock();
        let now = self.clock.monotonic();
        let next = state.permits.next(reserve, now);
        next.map_or(PACE, |next| next.saturating_sub(now)).max(PACE)
    }

    pub(super) fn cut_overdue(&self) {
        let state = &mut *self.state.lock();
        for permit in state.permits.overdue(self.clock.monotonic()) {
            if let Some(cut) = state.cuts.get(&permit) {
                cut.notify_one();
            }
        }
    }

    /// What to say to the pool, if it is time.
    pub(super) fn call(&self) -> Option<PoolCall> {
        let state = &mut *self.state.lock();
        let now = self.clock.monotonic();
        let pause = if state.waiting > 0 { HURRY } else { PACE };
        if state.called.is_some_and(|called| now.saturating_sub(called) < pause) {
            return None;
        }
        let call = state.permits.call(state.waiting, now)?;
        state.called = Some(now);
        state.begun += 1;
        Some(call)
    }

    pub(super) fn answered(&self, turn: u64, reply: Option<&PoolReply>) {
        let state = &mut *self.state.lock();
        let again = match reply {
            Some(reply) => state.permits.answered(turn, reply, self.clock.monotonic()),
            None => {
                state.permits.lost(turn);
                false
            }
        };
        if again {
            // One question in two calls.
            (state.called, state.begun) = (None, state.begun - 1);
            self.wake.notify_one();
        } else {
            self.ended.send_replace(state.begun);
        }
    }

    fn enter(&self, place: &PoolsPlace) {
        let mut state = self.state.lock();
        let now = self.clock.monotonic();
        let age = place.age(now);
        match place.left.get(&self.pool) {
            Some(left) => state.permits.succeed(age, left, now),
            None => state.permits.enter(age, now),
        }
        self.wake.notify_one();
    }

    /// No call can be made: those who wait have what there is.
    pub(super) fn uncalled(&self) {
        let state = &mut *self.state.lock();
        if state.waiting > 0 {
            state.begun += 1;
            self.ended.send_replace(state.begun);
        }
    }
}

impl PermitHold {
    /// Ends when the request has to end, because others need the permit back.
    pub(crate) async fn cut(&self) {
        self.cut.notified().await;
    }
}

impl Drop for PermitHold {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.permits.ended(self.permit, self.of.clock.monotonic());
        state.cuts.remove(&self.permit);
        if state.waiting > 0 {
            self.of.ended.send_modify(|_| {});
        }
    }
}

impl Drop for PermitWaiter<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting = state.waiting.saturating_sub(self.1);
    }
}

impl PermitPools {
    pub(super) fn new(node: &str, meant: u32, clock: Arc<dyn Clock>) -> Self {
        Self { node: node.to_owned(), meant, clock, opened: Mutex::default(), wake: Arc::default() }
    }

    /// This process has a place; those that had it before are there for `before`, or do not count.
    pub(super) fn enter(&self, before: Option<Duration>) {
        self.take(before, BTreeMap::new());
    }

    /// This process has the place of one that ended in order.
    pub(super) fn succeed(&self, left: &Legacy) {
        self.take(left.age(), left.pools.clone());
    }

    fn take(&self, before: Option<Duration>, left: BTreeMap<String, PermitLegacy>) {
        let mut opened = self.opened.lock();
        let place = PoolsPlace { since: self.clock.monotonic(), before, left };
        opened.pools.iter().for_each(|pool| pool.enter(&place));
        opened.place = Some(place);
    }

    /// No permit is taken any more: the last calls, where the engine is to be told, and what the next process has to know.
    pub(super) fn leave(&self, told: bool) -> (Vec<(Arc<SharedPermits>, PoolCall)>, Legacy) {
        let mut opened = self.opened.lock();
        let now = self.clock.monotonic();
        let (mut calls, mut pools) = (Vec::new(), BTreeMap::new());
        let place = opened.place.take();
        // What was left to this process and never opened is over after a while.
        let is_recent = |place: &PoolsPlace| now.saturating_sub(place.since) < LEFT;
        let age = place.as_ref().and_then(|place| place.age(now));
        if let Some(place) = place.filter(is_recent) {
            pools = place.left;
        }
        for pool in &opened.pools {
            let (call, left) = pool.state.lock().permits.leave(told, now);
            calls.extend(call.map(|call| (Arc::clone(pool), call)));
            pools.insert(pool.pool.clone(), left);
        }
        let age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        (calls, Legacy { age_ms, pools })
    }

    /// This proxy's permits of `pool`, of which there are `limit`. One counts until `cool` after its request ended.
    pub(crate) fn open(&self, pool: String, limit: u32, cool: Duration) -> Arc<SharedPermits> {
        let mut opened = self.opened.lock();
        if let Some(known) = opened.pools.iter().find(|known| known.pool == pool) {
            // While a registry has it, only that registry says how many permits there are.
            if Arc::strong_count(known) == 1 {
                known.limit_to(limit);
            }
            return Arc::clone(known);
        }
        let settings =
            PermitSettings { pool: pool.clone(), node: self.node.clone(), limit, nodes: self.meant, cool };
        let permits = Permits::new(settings, self.clock.monotonic());
        let state = PermitState { permits, cuts: HashMap::new(), waiting: 0, begun: 0, called: None };
        let pool = Arc::new(SharedPermits {
            pool,
            state: Mutex::new(state),
            ended: watch::Sender::new(0),
            wake: Arc::clone(&self.wake),
            clock: Arc::clone(&self.clock),
        });
        if let Some(place) = &opened.place {
            pool.enter(place);
        }
        opened.pools.push(Arc::clone(&pool));
        pool
    }

    /// The pools of which a registry takes permits, or has some under way.
    pub(super) fn all(&self) -> Vec<Arc<SharedPermits>> {
        let opened = self.opened.lock();
        opened.pools.iter().filter(|pool| Arc::strong_count(pool) > 1).cloned().collect()
    }

    /// Waits until a request waits, or a moment.
    pub(super) async fn woken(&self) {
        let _ = timeout(HURRY, self.wake.notified()).await;
    }
}

impl PoolsPlace {
    /// For how long processes have had the place, if one that was killed may count.
    fn age(&self, now: Duration) -> Option<Duration> {
        self.before.map(|before| before + now.saturating_sub(self.since))
    }
}
