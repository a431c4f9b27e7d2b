//! Telling what was asked of a registry and what came of it.
//!
//! Owns the moment at which an exchange is told of: once, at its end, whichever way it ends. Must not know
//! metrics or logs.

use std::sync::Arc;
use std::time::Duration;

use super::CouldNotAsk;
use crate::clock::Clock;

/// Told of every exchange and of every change of a registry's standing; must return at once.
pub trait Observer: Send + Sync {
    /// An exchange ended, its retries included. `resource` and `status` are from closed sets: a kind of
    /// document or `archive`; an HTTP status or a word for what happened instead.
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        elapsed: Duration,
        request_id: &str,
        error: Option<Failed<'_>>,
    );

    /// The registry is asked normally from now on, or is no longer. Must not ask the upstream whether it is up.
    fn up(&self, upstream: &str, up: bool);

    /// How the registry is approached from now on. Must not ask the upstream anything, as below.
    fn state(&self, upstream: &str, state: State);

    /// So many requests of the registry's budget could be sent at once; never told of one without a budget.
    fn budget_left(&self, upstream: &str, left: u32);
}

/// What is told of an exchange that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// What clients may read, too.
    pub why: &'a str,
    /// What system and libraries say, the outermost first. For the log.
    pub causes: Option<&'a str>,
}

/// How a registry is approached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Normally.
    Closed,
    /// Not at all, after failures; once the cool-down is over, by the next request as a probe.
    Open,
    /// By one probe that is under way.
    HalfOpen,
    /// Not at all, as it asked.
    Held,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Held];

    /// The name used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Held => "held",
        }
    }
}

/// One exchange, told of when it ends or is dropped.
pub(super) struct Record {
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    started: Duration,
    upstream: String,
    resource: &'static str,
    request_id: String,
    open: bool,
}

impl Record {
    pub(super) fn start(
        observer: Arc<dyn Observer>,
        clock: Arc<dyn Clock>,
        upstream: &str,
        resource: &'static str,
        request_id: &str,
    ) -> Self {
        let started = clock.monotonic();
        let (upstream, request_id) = (upstream.to_owned(), request_id.to_owned());
        Self { observer, clock, started, upstream, resource, request_id, open: true }
    }

    pub(super) fn answered(mut self, status: &'static str) {
        self.tell(status, None);
    }

    pub(super) fn failed(mut self, why: &CouldNotAsk, causes: Option<String>) {
        self.tell(why.label(), Some(Failed { why: &why.to_string(), causes: causes.as_deref() }));
    }

    fn tell(&mut self, status: &'static str, error: Option<Failed<'_>>) {
        self.open = false;
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        self.observer.exchanged(&self.upstream, self.resource, status, elapsed, &self.request_id, error);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.open {
            let why = "nobody waits for the answer any more";
            self.tell("cancelled", Some(Failed { why, causes: None }));
        }
    }
}
