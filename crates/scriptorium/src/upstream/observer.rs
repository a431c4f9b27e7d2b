//! Reports what a registry was asked and what came of it.
//!
//! Owns when an exchange is reported: once, at its end, however it ends; and its span. Must not know metrics or logs.

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use super::CouldNotAsk;
use crate::clock::Clock;
use crate::spans::{short, span};

/// Receives every exchange and every change of a registry's state. Must return at once.
pub(crate) trait UpstreamObserver: Send + Sync {
    /// An exchange ended, including its retries. `resource` and `status` are from closed sets: a kind of document or
    /// file; an HTTP status or the word of a failure.
    fn exchanged(
        &self,
        upstream: &str,
        resource: &'static str,
        status: &'static str,
        elapsed: Duration,
        request_id: &str,
        error: Option<ExchangeFailure<'_>>,
    );

    /// The circuit breaker closed or opened. Must not call the upstream.
    fn up(&self, upstream: &str, up: bool);

    /// The state of the gate changed. Must not call the upstream.
    fn state(&self, upstream: &str, state: GateState);

    /// So many requests of the budget are left. Not called for a registry without a budget.
    fn budget_left(&self, upstream: &str, left: u32);
}

/// Why an exchange failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeFailure<'a> {
    /// The text that clients may read.
    pub(crate) why: &'a str,
    /// The errors of the system and of libraries, outermost first, for the log.
    pub(crate) causes: Option<&'a str>,
    /// What the operator can do, where that is known.
    pub(crate) remedy: Option<&'a str>,
}

/// Whether and how a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateState {
    /// It is asked.
    Closed,
    /// It is not asked, after failures. Once the cool-down is over, the next request is the probe.
    Open,
    /// One probe is under way.
    HalfOpen,
    /// It is not asked: it asked for a pause.
    Held,
}

impl GateState {
    pub(crate) const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::Held];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Held => "held",
        }
    }
}

/// One exchange, reported when it ends or is dropped.
pub(super) struct ExchangeRecord {
    observer: Arc<dyn UpstreamObserver>,
    clock: Arc<dyn Clock>,
    started: Duration,
    upstream: String,
    resource: &'static str,
    request_id: String,
    /// What is sent for the exchange belongs to this.
    pub(super) span: Span,
    open: bool,
}

impl ExchangeRecord {
    pub(super) fn start(
        observer: Arc<dyn UpstreamObserver>,
        clock: Arc<dyn Clock>,
        upstream: &str,
        resource: &'static str,
        request_id: &str,
    ) -> Self {
        let started = clock.monotonic();
        let (upstream, request_id) = (upstream.to_owned(), request_id.to_owned());
        let span = span!(
            "exchange",
            otel.kind = "client",
            otel.status_code = Empty,
            upstream,
            resource,
            status = Empty,
            error = Empty
        );
        Self { observer, clock, started, upstream, resource, request_id, span, open: true }
    }

    pub(super) fn answered(mut self, status: &'static str) {
        self.tell(status, None);
    }

    pub(super) fn failed(mut self, why: &CouldNotAsk, causes: Option<String>) {
        self.tell(
            why.facets().word,
            Some(ExchangeFailure {
                why: &why.to_string(),
                causes: causes.as_deref(),
                remedy: why.remedy().as_deref(),
            }),
        );
    }

    fn tell(&mut self, status: &'static str, error: Option<ExchangeFailure<'_>>) {
        self.open = false;
        self.span.record("status", status);
        if let Some(ExchangeFailure { why, .. }) = error {
            self.span.record("error", short(why)).record("otel.status_code", "error");
        }
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        let Self { observer, upstream, resource, request_id, .. } = self;
        // The span ends when it was last entered.
        self.span.in_scope(|| observer.exchanged(upstream, resource, status, elapsed, request_id, error));
    }
}

impl Drop for ExchangeRecord {
    fn drop(&mut self) {
        if self.open {
            let why = "the caller no longer waits for the answer";
            self.tell("cancelled", Some(ExchangeFailure { why, causes: None, remedy: None }));
        }
    }
}
