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
use super::guard::host_and_port;
use super::observer::ExchangeRecord;
use super::pause_scope::PauseScope;
use super::{
    CouldNotAsk, FetchContext, Health, Notes, Outgoing, RegistryClient, RegistryResponse, TransportError,
};
use crate::progress::{Progress, SlowestAverage};
use crate::spans;

/// How often an attempt is begun again that other proxies recalled. The permits of a proxy's own are recalled by nobody.
pub(crate) const RECALLS: u32 = 3;

/// How often an attempt may be repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeats {
    /// After a failure.
    pub(super) retries: u32,
    /// After it was recalled.
    pub(super) recalls: u32,
}

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
    /// The host that is asked, if it is not the registry's own.
    elsewhere: Option<String>,
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
        let elsewhere = (!at_home).then(|| host_and_port(url).to_owned());
        Ok(AdmittedExchange { upstream: self, at_home, elsewhere, scope, pass, record: record(), slot })
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
            spent.uncut(self.transport.send(request)).await.ok_or(CouldNotAsk::Recalled)?
        };
        let answered = match (sent, again) {
            (Err(TransportError::Stale { .. }), Some((headers, notes))) => {
                let spent = self.gate.spend(context.urgency).await?;
                let again = self.transport.send(Outgoing::get(url, headers, notes));
                spent.uncut(again).await.ok_or(CouldNotAsk::Recalled)?
            }
            (sent, _) => sent,
        };
        answered.map_err(|error| could_not(url, error))
    }
}

impl AdmittedExchange<'_> {
    /// Repeats an attempt up to `retries` times while its failure `may_pass` and the registry is not paused. A probe
    /// is therefore a single request. Where the budget allows no retry, the failure stands. An attempt that was recalled is
    /// no failure, and is made again where that is safe.
    pub(super) async fn persist<T, F>(
        &mut self,
        repeats: Repeats,
        may_pass: impl Fn(&CouldNotAsk) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, FailedAttempt>
    where
        F: Future<Output = Result<T, FailedAttempt>>,
    {
        let Repeats { retries, mut recalls } = repeats;
        let mut outcome = self.unrecalled(&mut recalls, &mut attempt).await;
        for retried in 0..retries {
            let Err(failed) = outcome else { return outcome };
            if !may_pass(&failed.why) || self.is_paused() {
                return Err(failed);
            }
            self.upstream.pause_before_retry(retried).await;
            if self.is_paused() {
                return Err(failed);
            }
            outcome = match self.unrecalled(&mut recalls, &mut attempt).await {
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

    /// Makes an attempt, again with permits of this proxy's own where other proxies need back what they lent.
    async fn unrecalled<T, F>(
        &mut self,
        recalls: &mut u32,
        attempt: &mut impl FnMut() -> F,
    ) -> Result<T, FailedAttempt>
    where
        F: Future<Output = Result<T, FailedAttempt>>,
    {
        loop {
            // What an attempt sends names the exchange as its sender.
            let span = self.record.span.clone();
            let done = self.slot.uncut(attempt().instrument(span)).await;
            let has_slot = done.is_some();
            let recalled = || Err(FailedAttempt { why: CouldNotAsk::Recalled, at_home: false });
            let outcome = done.unwrap_or_else(recalled);
            let is_recalled = matches!(&outcome, Err(FailedAttempt { why: CouldNotAsk::Recalled, .. }));
            if !is_recalled || *recalls == 0 {
                return outcome;
            }
            *recalls -= 1;
            if !has_slot {
                let slot = self.upstream.gate.slot_again(&mut self.slot).await;
                slot.map_err(|why| FailedAttempt { why, at_home: false })?;
            }
        }
    }

    /// Ends the exchange and reports a failure. `standing` says what an answer shows about the registry's health.
    pub(super) fn end<T>(
        self,
        outcome: Result<T, FailedAttempt>,
        notes: Notes,
        standing: impl FnOnce(&T) -> Option<Health>,
    ) -> Result<(T, AnsweredExchange), CouldNotAsk> {
        let Self { upstream, elsewhere, scope, pass, record, slot, .. } = self;
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
                upstream.fail(&why, elsewhere.as_deref(), &notes, record);
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
    // Where others need the slot back, the rest is asked for anew, with a slot of this proxy's own.
    let next = match open.slot.uncut(open.body.next()).await {
        Some(next) => next.map(|chunk| chunk.map_err(|error| could_not(&open.url, error))),
        None => Some(Err(CouldNotAsk::Recalled)),
    };
    match next {
        Some(Ok(chunk)) => {
            open.came(chunk.len());
            Some((Ok(chunk), Some(open)))
        }
        Some(Err(why)) => {
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
