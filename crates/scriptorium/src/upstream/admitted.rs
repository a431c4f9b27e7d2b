//! One exchange from the gate to the end of its body: admission, each request, retries, and what the outcome says
//! about the registry.
//!
//! Owns that order. Must not know what is asked.

use std::sync::Arc;

use ::http::Method;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tracing::Instrument;
use url::Url;

use super::allowance::ExchangeSlot;
use super::document_memory::DocumentSlot;
use super::gate::GatePermit;
use super::observer::ExchangeRecord;
use super::pause_scope::PauseScope;
use super::{
    CouldNotAsk, FetchContext, Health, Notes, Outgoing, RegistryClient, RegistryResponse, TransportError,
};
use crate::progress::{Progress, SlowestAverage};
use crate::spans;

/// Why one attempt failed, and whether at the registry's own host.
pub(super) struct FailedAttempt {
    pub(super) why: CouldNotAsk,
    pub(super) at_home: bool,
}

impl FailedAttempt {
    /// What it says about the registry's health. A failure of another host says nothing.
    fn health(&self) -> Option<Health> {
        self.why.facets().health.filter(|_| self.at_home)
    }
}

/// An exchange that was admitted.
pub(super) struct AdmittedExchange<'a> {
    upstream: &'a RegistryClient,
    at_home: bool,
    scope: PauseScope,
    pass: Option<GatePermit<'a>>,
    record: ExchangeRecord,
    slot: ExchangeSlot,
}

/// An exchange that was answered: what is held until its body was read.
pub(super) struct AnsweredExchange {
    pub(super) record: ExchangeRecord,
    notes: Notes,
    slot: ExchangeSlot,
}

/// The body of an answer, and what is held as long as it.
struct OpenBody {
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    url: Url,
    /// `None` once the exchange was reported.
    record: Option<ExchangeRecord>,
    notes: Notes,
    status: &'static str,
    /// The bytes that are still to come, if known.
    left: Option<u64>,
    slot: ExchangeSlot,
}

impl RegistryClient {
    /// Admits one exchange. The registry's breaker and pauses matter only to exchanges that begin at its own host.
    pub(super) async fn enter(
        &self,
        resource: &'static str,
        scope: PauseScope,
        url: &Url,
        context: FetchContext<'_>,
    ) -> Result<AdmittedExchange<'_>, CouldNotAsk> {
        let at_home = self.guard.is_home(url);
        if let Some(for_) = self.gate.pause(scope).filter(|_| at_home) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let record = || {
            let (observer, clock) = (Arc::clone(&self.observer), Arc::clone(&self.clock));
            ExchangeRecord::start(observer, clock, self.name(), resource, context.id)
        };
        if let Some(for_) = self.gate.over_budget(context.urgency) {
            let why = CouldNotAsk::OverBudget { for_ };
            record().failed(&why, None);
            return Err(why);
        }
        let slot = self.gate.slot().await?;
        let pass = if at_home { Some(self.gate.admit(scope)?) } else { None };
        Ok(AdmittedExchange { upstream: self, at_home, scope, pass, record: record(), slot })
    }

    /// Sends one request, unless the registry asked for a pause meanwhile or the budget is used up. A read that gets
    /// no answer on a used connection is sent once more over a fresh one: a broken path says nothing about the
    /// registry.
    pub(super) async fn send(
        &self,
        mut request: Outgoing<'_>,
        scope: PauseScope,
        context: FetchContext<'_>,
    ) -> Result<RegistryResponse, CouldNotAsk> {
        let url = request.url;
        spans::send_on(&mut request.headers);
        if let Some(for_) = self.gate.held(scope).filter(|_| self.guard.is_home(url)) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let again =
            matches!(request.method, Method::GET).then(|| (request.headers.clone(), request.notes.clone()));
        let sent = {
            let spent = self.gate.spend(context.urgency).await?;
            spent.uncut(self.transport.send(request)).await.ok_or(CouldNotAsk::BrokenBody)?
        };
        let answered = match (sent, again) {
            (Err(TransportError::Stale { .. }), Some((headers, notes))) => {
                let spent = self.gate.spend(context.urgency).await?;
                let again = self.transport.send(Outgoing::get(url, headers, notes));
                spent.uncut(again).await.ok_or(CouldNotAsk::BrokenBody)?
            }
            (sent, _) => sent,
        };
        answered.map_err(|error| could_not(url, error))
    }
}

impl AdmittedExchange<'_> {
    /// Repeats an attempt up to `retries` times while its failure `may_pass` and the registry is not paused. A probe
    /// is therefore a single request. Where the budget allows no retry, the failure stands.
    pub(super) async fn persist<T, F>(
        &self,
        retries: u32,
        may_pass: impl Fn(&CouldNotAsk) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, FailedAttempt>
    where
        F: Future<Output = Result<T, FailedAttempt>>,
    {
        // What an attempt sends names the exchange as its sender.
        let span = &self.record.span;
        // Other proxies need the slot back, which says nothing about the registry.
        let cut = || FailedAttempt { why: CouldNotAsk::BrokenBody, at_home: false };
        let mut outcome = self.slot.uncut(attempt().instrument(span.clone())).await.ok_or_else(cut)?;
        for retried in 0..retries {
            let Err(failed) = outcome else { return outcome };
            if !may_pass(&failed.why) || self.is_paused() {
                return Err(failed);
            }
            self.upstream.pause_before_retry(retried).await;
            if self.is_paused() {
                return Err(failed);
            }
            outcome = match self.slot.uncut(attempt().instrument(span.clone())).await.ok_or_else(cut)? {
                Err(FailedAttempt {
                    why: CouldNotAsk::OverBudget { .. } | CouldNotAsk::Paused { .. },
                    ..
                }) => {
                    return Err(failed);
                }
                outcome => outcome,
            };
        }
        outcome
    }

    /// Ends the exchange and reports a failure. `standing` says what an answer shows about the registry's health.
    pub(super) fn end<T>(
        self,
        outcome: Result<T, FailedAttempt>,
        notes: Notes,
        standing: impl FnOnce(&T) -> Option<Health>,
    ) -> Result<(T, AnsweredExchange), CouldNotAsk> {
        let Self { upstream, scope, pass, record, slot, .. } = self;
        if let Err(FailedAttempt { why: CouldNotAsk::Throttled { retry_after: Some(wait) }, at_home: true }) =
            &outcome
        {
            upstream.gate.hold(scope, *wait);
        }
        let health = outcome.as_ref().map_or_else(FailedAttempt::health, standing);
        if let (Some(pass), Some(health)) = (pass, health) {
            pass.settle(health);
        }
        match outcome {
            Ok(answer) => Ok((answer, AnsweredExchange { record, notes, slot })),
            Err(FailedAttempt { why, .. }) => {
                upstream.fail(&why, &notes, record);
                Err(why)
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.at_home && self.upstream.gate.pause(self.scope).is_some()
    }
}

pub(super) fn could_not(url: &Url, error: TransportError) -> CouldNotAsk {
    match error {
        TransportError::Unreachable(cause) => CouldNotAsk::Unreachable(cause),
        TransportError::Timeout | TransportError::Stale { late: true } => CouldNotAsk::TimedOut,
        TransportError::Broken | TransportError::Stale { late: false } => CouldNotAsk::BrokenBody,
        TransportError::Unsent => CouldNotAsk::Unsent,
        TransportError::Forbidden(rule) => CouldNotAsk::forbidden(url, rule),
    }
}

/// Reads a body of at most `limit` bytes. `announced` is its length as the head says. A long body takes memory
/// through `share`.
pub(super) async fn read_whole(
    mut body: impl Stream<Item = Result<Bytes, CouldNotAsk>> + Unpin,
    announced: Option<u64>,
    limit: u64,
    share: &mut DocumentSlot,
) -> Result<Bytes, CouldNotAsk> {
    if announced.is_some_and(|length| length > limit) {
        return Err(CouldNotAsk::TooLarge { limit });
    }
    let (mut whole, mut progress) = (Vec::new(), Progress::at_least(SlowestAverage::USUAL));
    while let Some(chunk) = progress.wait(body.next()).await? {
        let chunk = chunk?;
        progress.came(chunk.len())?;
        let length = (whole.len() + chunk.len()) as u64;
        if length > limit {
            return Err(CouldNotAsk::TooLarge { limit });
        }
        share.cover(length, announced.unwrap_or(limit)).await?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into_boxed_slice().into())
}

impl AnsweredExchange {
    /// The `body` of the answer from `url`, of `length` bytes if known. The exchange is reported with the last byte, since
    /// a reader that knows the length does not poll for the end. The slot is free when the body is dropped.
    pub(super) fn open(
        self,
        body: BoxStream<'static, Result<Bytes, TransportError>>,
        url: &Url,
        status: &'static str,
        length: Option<u64>,
    ) -> BoxStream<'static, Result<Bytes, CouldNotAsk>> {
        let Self { record, notes, slot } = self;
        let (url, record) = (url.clone(), Some(record));
        let mut open = OpenBody { body, url, record, notes, status, left: length, slot };
        open.came(0);
        stream::unfold(Some(open), next_chunk).boxed()
    }
}

impl OpenBody {
    /// Counts `bytes`, and reports the exchange with the last of them.
    fn came(&mut self, bytes: usize) {
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
        if self.left == Some(0) {
            self.answered();
        }
    }

    fn answered(&mut self) {
        if let Some(record) = self.record.take() {
            record.answered(self.status);
        }
    }
}

async fn next_chunk(open: Option<OpenBody>) -> Option<(Result<Bytes, CouldNotAsk>, Option<OpenBody>)> {
    let mut open = open?;
    let next = open.slot.uncut(open.body.next()).await;
    // The others need the slot back: the rest is asked for anew, with a slot of this proxy's own.
    match next.unwrap_or(Some(Err(TransportError::Broken))) {
        Some(Ok(chunk)) => {
            open.came(chunk.len());
            Some((Ok(chunk), Some(open)))
        }
        Some(Err(error)) => {
            let why = could_not(&open.url, error);
            if let Some(record) = open.record.take() {
                record.failed(&why, open.notes.causes());
            }
            Some((Err(why), None))
        }
        None => {
            open.answered();
            None
        }
    }
}

#[cfg(test)]
mod tests;
