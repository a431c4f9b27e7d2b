//! Permits for requests to registries, which all proxies share, as this proxy has them.
//!
//! Owns who uses one, who waits for one, and who is cut off; the arithmetic is in `crates/cluster`. Must not know what a
//! request is, nor how pools are called.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::cluster::{PermitSettings, PermitUse, Permits, PoolCall, PoolReply};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::clock::Clock;

/// Between calls of a pool that nobody waits for.
const PACE: Duration = Duration::from_secs(1);
/// Between calls while requests wait, and between looks at what is overdue.
const HURRY: Duration = Duration::from_millis(100);

/// All pools of this proxy, and what wakes the task that calls them.
#[derive(Debug)]
pub(crate) struct PermitPools {
    node: String,
    meant: u32,
    /// Whether so few processes started before this one that it has a share of its own at once.
    has_room: bool,
    born: Duration,
    clock: Arc<dyn Clock>,
    pools: Mutex<Vec<Weak<SharedPermits>>>,
    wake: Arc<Notify>,
}

/// This proxy's permits of one pool.
#[derive(Debug)]
pub(crate) struct SharedPermits {
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
        hold.ok_or_else(|| self.pause())
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

    fn pause(&self) -> Duration {
        let (now, next) = (self.clock.monotonic(), self.state.lock().permits.next_free());
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

    /// The last call: lends the others all that is not used any more.
    pub(super) fn leave(&self) -> Option<PoolCall> {
        self.state.lock().permits.leave(self.clock.monotonic())
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
    pub(super) fn new(node: &str, meant: u32, has_room: bool, clock: Arc<dyn Clock>) -> Self {
        let (born, node) = (clock.monotonic(), node.to_owned());
        Self { node, meant, has_room, born, clock, pools: Mutex::default(), wake: Arc::default() }
    }

    /// This proxy's permits of `pool`, of which there are `limit`. One counts until `cool` after its request ended.
    pub(crate) fn open(&self, pool: String, limit: u32, cool: Duration) -> Arc<SharedPermits> {
        let (now, node) = (self.clock.monotonic(), self.node.clone());
        let mut settings =
            PermitSettings { pool, node, limit, nodes: self.meant, cool, blank: self.has_room };
        // A process that has run for longer than a term knows that nothing of an earlier one counts.
        settings.blank |= now.saturating_sub(self.born) > settings.term() + 2 * PACE;
        let permits = Permits::new(settings, now);
        let state = PermitState { permits, cuts: HashMap::new(), waiting: 0, begun: 0, called: None };
        let pool = Arc::new(SharedPermits {
            state: Mutex::new(state),
            ended: watch::Sender::new(0),
            wake: Arc::clone(&self.wake),
            clock: Arc::clone(&self.clock),
        });
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    pub(super) fn all(&self) -> Vec<Arc<SharedPermits>> {
        self.pools.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until a request waits, or a moment.
    pub(super) async fn woken(&self) {
        let _ = timeout(HURRY, self.wake.notified()).await;
    }
}
