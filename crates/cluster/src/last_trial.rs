//! One trial at a time, whose outcome is the answer to everybody for a moment.
//!
//! Owns when another trial is made. Must not know what a trial does, nor what operations ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::time::Instant;

use crate::fault::EngineFault;
use crate::trial::ConnectTrial;

/// So long the outcome of a trial holds.
const HOLDS: Duration = Duration::from_millis(250);

/// A trial that is under way or has ended.
pub(crate) type TrialRun = Shared<BoxFuture<'static, TrialEnd>>;

/// How a trial ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrialEnd {
    at: Instant,
    /// Why no connection could be made, if none could.
    pub(crate) failure: Option<EngineFault>,
}

/// The trial that was begun last.
pub(crate) struct LastTrial {
    trial: Arc<ConnectTrial>,
    last: Mutex<Option<TrialRun>>,
}

impl LastTrial {
    pub(crate) fn new(trial: ConnectTrial) -> Self {
        Self { trial: Arc::new(trial), last: Mutex::default() }
    }

    /// Why no connection could be made a moment ago.
    pub(crate) fn failure(&self) -> Option<EngineFault> {
        // Whoever began it may wait no longer, so that only this look brings its outcome.
        self.current(Instant::now())?.now_or_never()?.failure
    }

    /// The trial that is under way, or whose outcome held then or was found later.
    pub(crate) fn current(&self, then: Instant) -> Option<TrialRun> {
        holding(&self.lock(), then)
    }

    /// The same; if there is none, another one. Whether it is another one.
    pub(crate) fn begin(&self, then: Instant) -> (TrialRun, bool) {
        let mut last = self.lock();
        if let Some(holding) = holding(&last, then) {
            return (holding, false);
        }
        let trial = Arc::clone(&self.trial);
        // In a task of its own, so that it goes on if nobody waits for it any longer.
        let task = tokio::spawn(async move { trial.run().await });
        let ended = task.map(|ended| TrialEnd { at: Instant::now(), failure: ended.unwrap_or(None) });
        (last.insert(ended.boxed().shared()).clone(), true)
    }

    fn lock(&self) -> MutexGuard<'_, Option<TrialRun>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holding(last: &Option<TrialRun>, then: Instant) -> Option<TrialRun> {
    let attempt = last.clone()?;
    let holds = attempt.clone().now_or_never().is_none_or(|ended| then < ended.at + HOLDS);
    holds.then_some(attempt)
}
