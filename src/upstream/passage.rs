//! One exchange's way past the gate and back: whether it may begin, one request of it, whether it is tried again,
//! what it says about the registry, and the answer's body until its end.
//!
//! Owns that order and what each outcome says about the registry's health. Must not know what is asked.

use std::sync::Arc;

use ::http::Method;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::bulk::Share;
use super::concern::Concern;
use super::gate::{Health, Pass};
use super::guard;
use super::observer::Record;
use super::{CouldNotAsk, Errand, Notes, Outgoing, Response, TransportError, Upstream};
use crate::clock::pace::Pace;

/// Why one try failed, and whether that was the registry's own doing or another host's.
pub(super) struct Failure {
    pub(super) why: CouldNotAsk,
    pub(super) at_home: bool,
}

/// An exchange that may be tried.
pub(super) struct Passage<'a> {
    upstream: &'a Upstream,
    at_home: bool,
    concern: Concern,
    pass: Option<Pass<'a>>,
    record: Record,
    slot: OwnedSemaphorePermit,
}

/// An answer's body and all that lasts as long as it.
struct Open {
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    url: Url,
    /// Until what came of it was told.
    record: Option<Record>,
    notes: Notes,
    status: &'static str,
    /// What is still to come, where that is known.
    left: Option<u64>,
    _slot: OwnedSemaphorePermit,
}

impl Upstream {
    /// Leave for one exchange. The registry's standing matters only to those that begin with it, not to those
    /// that begin at another host.
    pub(super) async fn enter(
        &self,
        (resource, concern): (&'static str, Concern),
        url: &Url,
        errand: Errand<'_>,
    ) -> Result<Passage<'_>, CouldNotAsk> {
        let at_home = self.guard.is_home(url);
        if let Some(for_) = self.gate.pause(concern).filter(|_| at_home) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let record = || {
            let (observer, clock) = (Arc::clone(&self.observer), Arc::clone(&self.clock));
            Record::start(observer, clock, self.name(), resource, errand.id)
        };
        if let Some(for_) = self.gate.over_budget(errand.urgency) {
            let why = CouldNotAsk::OverBudget { for_ };
            record().failed(&why, None);
            return Err(why);
        }
        let slot = self.gate.slot().await?;
        let pass = if at_home { Some(self.gate.admit(concern)?) } else { None };
        Ok(Passage { upstream: self, at_home, concern, pass, record: record(), slot })
    }

    /// One request, unless the registry asked to be left alone since, or the budget is spent. A read that gets nothing
    /// on a connection that was used before is sent once more at once, over a fresh one: that a path died says nothing of
    /// the registry.
    pub(super) async fn send(
        &self,
        request: Outgoing<'_>,
        concern: Concern,
        errand: Errand<'_>,
    ) -> Result<Response, CouldNotAsk> {
        let url = request.url;
        if let Some(for_) = self.gate.held(concern).filter(|_| self.guard.is_home(url)) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let again =
            matches!(request.method, Method::GET).then(|| (request.headers.clone(), request.notes.clone()));
        let sent = {
            let _spent = self.gate.spend(errand.urgency)?;
            self.transport.send(request).await
        };
        let answered = match (sent, again) {
            (Err(TransportError::Stale { .. }), Some((headers, notes))) => {
                let _spent = self.gate.spend(errand.urgency)?;
                self.transport.send(Outgoing::get(url, headers, notes)).await
            }
            (sent, _) => sent,
        };
        answered.map_err(|error| could_not(url, error))
    }
}

impl Passage<'_> {
    /// Tries up to `retries` times more what failed in a way that `may_pass`, unless the registry is to be left
    /// alone by now; a probe therefore is one request. A retry that the budget does not allow leaves it at the
    /// failure.
    pub(super) async fn persist<T, F>(
        &self,
        retries: u32,
        may_pass: impl Fn(&CouldNotAsk) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut outcome = attempt().await;
        for retried in 0..retries {
            let Err(failed) = outcome else { return outcome };
            if !may_pass(&failed.why) || self.is_paused() {
                return Err(failed);
            }
            self.upstream.pause_before_retry(retried).await;
            if self.is_paused() {
                return Err(failed);
            }
            outcome = match attempt().await {
                Err(Failure { why: CouldNotAsk::OverBudget { .. } | CouldNotAsk::Paused { .. }, .. }) => {
                    return Err(failed);
                }
                outcome => outcome,
            };
        }
        outcome
    }

    /// The end of the tries, with what was noted of their failures. What an answer says of the registry's `standing` is the asker's to know.
    pub(super) fn end<T>(
        self,
        outcome: Result<T, Failure>,
        notes: &Notes,
        standing: impl FnOnce(&T) -> Option<Health>,
    ) -> Result<(T, Record, OwnedSemaphorePermit), CouldNotAsk> {
        let Self { upstream, concern, pass, record, slot, .. } = self;
        if let Err(Failure { why: CouldNotAsk::Throttled { retry_after: Some(wait) }, at_home: true }) =
            &outcome
        {
            upstream.gate.hold(concern, *wait);
        }
        let health = outcome.as_ref().map_or_else(health, standing);
        if let (Some(pass), Some(health)) = (pass, health) {
            pass.settle(health);
        }
        match outcome {
            Ok(answer) => Ok((answer, record, slot)),
            Err(Failure { why, .. }) => {
                upstream.fail(&why, notes, record);
                Err(why)
            }
        }
    }

    fn is_paused(&self) -> bool {
        self.at_home && self.upstream.gate.pause(self.concern).is_some()
    }
}

/// What an outcome says about the registry; nothing when another host is to blame or it was not reached.
fn health(Failure { why, at_home }: &Failure) -> Option<Health> {
    let health = match why {
        CouldNotAsk::Unreachable(_)
        | CouldNotAsk::TimedOut
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::ServerError(_) => Some(Health::Down),
        CouldNotAsk::Throttled { .. }
        | CouldNotAsk::CredentialRefused
        | CouldNotAsk::BadLocator
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::Unexpected(_)
        | CouldNotAsk::UnreadCoding(_)
        | CouldNotAsk::Undecodable(_)
        | CouldNotAsk::TooManyRedirects => Some(Health::Up),
        CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy
        | CouldNotAsk::Unsent => None,
    };
    health.filter(|_| *at_home)
}

pub(super) fn could_not(url: &Url, error: TransportError) -> CouldNotAsk {
    match error {
        TransportError::Unreachable(cause) => CouldNotAsk::Unreachable(cause),
        TransportError::Timeout | TransportError::Stale { late: true } => CouldNotAsk::TimedOut,
        TransportError::Broken | TransportError::Stale { late: false } => CouldNotAsk::BrokenBody,
        TransportError::Unsent => CouldNotAsk::Unsent,
        TransportError::Forbidden(rule) => guard::forbidden(url, rule),
    }
}

/// All of a body, of at most `limit` bytes, as long as it moves; `announced` is what its head says of its length. Beyond a
/// little it takes its `share` of what may be on its way at once.
pub(super) async fn read_whole(
    mut body: impl Stream<Item = Result<Bytes, CouldNotAsk>> + Unpin,
    announced: Option<u64>,
    limit: u64,
    share: &mut Share,
) -> Result<Bytes, CouldNotAsk> {
    if announced.is_some_and(|length| length > limit) {
        return Err(CouldNotAsk::TooLarge { limit });
    }
    let (mut whole, mut pace) = (Vec::new(), Pace::default());
    while let Some(chunk) = pace.waiting(body.next()).await {
        let chunk = chunk?;
        pace.came(chunk.len()).map_err(|_| CouldNotAsk::TimedOut)?;
        let length = (whole.len() + chunk.len()) as u64;
        if length > limit {
            return Err(CouldNotAsk::TooLarge { limit });
        }
        share.cover(length, announced.unwrap_or(limit)).await?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into_boxed_slice().into())
}

/// The `body` of an answer from `url`, `length` bytes where that is known. Its exchange is over with the last of them,
/// since who knows the length does not ask for what is behind it; its slot is free when it is dropped.
pub(super) fn open(
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    url: &Url,
    (status, length): (&'static str, Option<u64>),
    (record, notes): (Record, Notes),
    slot: OwnedSemaphorePermit,
) -> BoxStream<'static, Result<Bytes, CouldNotAsk>> {
    let mut open =
        Open { body, url: url.clone(), record: Some(record), notes, status, left: length, _slot: slot };
    open.came(0);
    stream::unfold(Some(open), next_chunk).boxed()
}

impl Open {
    /// Counts `bytes`, and tells of the exchange with the last of them.
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

async fn next_chunk(open: Option<Open>) -> Option<(Result<Bytes, CouldNotAsk>, Option<Open>)> {
    let mut open = open?;
    match open.body.next().await {
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
