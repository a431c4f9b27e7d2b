//! Pauses that all proxies obey, as this proxy made them and heard of them.
//!
//! Owns both, and what the others have to hear yet. Must not know why a pause is made, nor how others hear of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ::cluster::SharedValue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::Clock;

/// Between readings.
const PACE: Duration = Duration::from_millis(500);

/// All pauses, and what wakes the task that tells them.
#[derive(Debug)]
pub(crate) struct Pauses {
    node: String,
    clock: Arc<dyn Clock>,
    pauses: Mutex<Vec<Weak<SharedPause>>>,
    wake: Arc<Notify>,
}

/// One pause, as this proxy made it and as it heard of it.
#[derive(Debug)]
pub(crate) struct SharedPause {
    pub(super) key: String,
    /// This proxy.
    node: String,
    state: Mutex<PauseState>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct PauseState {
    /// Until when this proxy has the others pause.
    own_until: Duration,
    telling: PauseTelling,
    /// Until when others have this proxy pause.
    heard_until: Duration,
}

/// What the others have to hear yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseTelling {
    #[default]
    Nothing,
    Begun,
    Over,
}

impl SharedPause {
    /// Has the others pause for so long from now.
    pub(crate) fn begin(&self, lasting: Duration) {
        let mut state = self.state.lock();
        state.own_until = state.own_until.max(self.clock.monotonic() + lasting);
        state.telling = PauseTelling::Begun;
        self.wake.notify_one();
    }

    /// Ends the pause for all, whoever made it.
    pub(crate) fn end(&self) {
        *self.state.lock() = PauseState { telling: PauseTelling::Over, ..PauseState::default() };
        self.wake.notify_one();
    }

    /// Ends the pause for all, if this proxy made it.
    pub(crate) fn end_own(&self) {
        if !self.state.lock().own_until.is_zero() {
            self.end();
        }
    }

    /// For how long others have this proxy pause yet.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        self.state.lock().heard_until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// What to tell the others now, and for how long the pause lasts.
    pub(super) fn take_telling(&self) -> (PauseTelling, Duration) {
        let mut state = self.state.lock();
        let left = state.own_until.saturating_sub(self.clock.monotonic());
        (std::mem::take(&mut state.telling), left)
    }

    /// Nobody heard it.
    pub(super) fn tell_again(&self, telling: PauseTelling) {
        let mut state = self.state.lock();
        if state.telling == PauseTelling::Nothing {
            state.telling = telling;
        }
    }

    /// What the engine has under the key.
    pub(super) fn heard(&self, value: Option<&SharedValue>) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let others = value.filter(|value| value.value != self.node);
        state.heard_until = others.map_or(Duration::ZERO, |value| now + value.left);
        if value.is_none() && state.own_until > now && state.telling == PauseTelling::Nothing {
            // The engine forgot.
            state.telling = PauseTelling::Begun;
        }
    }
}

impl Pauses {
    pub(super) fn new(node: &str, clock: Arc<dyn Clock>) -> Self {
        Self { node: node.to_owned(), clock, pauses: Mutex::default(), wake: Arc::default() }
    }

    /// The pause of this name.
    pub(crate) fn open(&self, key: String) -> Arc<SharedPause> {
        let (state, clock) = (Mutex::default(), Arc::clone(&self.clock));
        let (wake, node) = (Arc::clone(&self.wake), self.node.clone());
        let pause = Arc::new(SharedPause { key, node, state, wake, clock });
        let mut pauses = self.pauses.lock();
        pauses.retain(|pause| pause.strong_count() > 0);
        pauses.push(Arc::downgrade(&pause));
        pause
    }

    pub(super) fn all(&self) -> Vec<Arc<SharedPause>> {
        self.pauses.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits until a pause begins or ends, or a moment.
    pub(super) async fn woken(&self) {
        let _ = timeout(PACE, self.wake.notified()).await;
    }
}
