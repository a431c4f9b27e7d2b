//! One exchange: through the gate, along the redirects, again where that may help, and told of at its end.
//!
//! Owns that order, and what each outcome says about the registry's health. Must not know any HTTP library.

use std::ops::Range;
use std::sync::Arc;

use ::http::header::{ACCEPT, ACCEPT_ENCODING, AGE, AUTHORIZATION, CONTENT_LENGTH, IF_NONE_MATCH, RANGE};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::answer::{self, Answer, status_label};
use super::gate::Health;
use super::guard::{self, Rule};
use super::observer::Record;
use super::part::{self, Announced};
use super::{
    CouldNotAsk, Download, Errand, Exchange, Outgoing, Partial, Payload, Response, TransportError, Upstream,
};
use crate::domain::Problem;

const MAX_REDIRECTS: usize = 5;
const MAX_PROBLEM: u64 = 64 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is asked, wherever it is asked; nothing in it comes from a client but the request's id.
pub(super) struct Question<'a> {
    accept: &'static str,
    etag: Option<HeaderValue>,
    range: Option<Range<u64>>,
    errand: Errand<'a>,
}

/// Why one try failed, and whether that was the registry's own doing or another host's.
struct Failure {
    why: CouldNotAsk,
    at_home: bool,
}

/// A response that is no redirect, and what it means.
struct Reply {
    answer: Answer,
    response: Response,
    at_home: bool,
}

/// A payload's body and all that lasts as long as it.
struct Open {
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    url: Url,
    record: Record,
    status: &'static str,
    _slot: OwnedSemaphorePermit,
}

impl<'a> Question<'a> {
    pub(super) fn document(etag: Option<&str>, errand: Errand<'a>) -> Self {
        let etag = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
        Self { accept: "application/json", etag, range: None, errand }
    }

    pub(super) fn download(payload: Payload, range: Option<Range<u64>>, errand: Errand<'a>) -> Self {
        let accept = match payload {
            Payload::Archive => "application/gzip",
            Payload::TrustArtifact => "*/*",
        };
        Self { accept, etag: None, range, errand }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(id) = HeaderValue::from_str(self.errand.id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(etag) = &self.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(range) = self.range.as_ref().and_then(part::header) {
            headers.insert(RANGE, range);
        }
        headers
    }
}

impl Upstream {
    pub(super) async fn exchange_document(
        &self,
        resource: &'static str,
        url: &Url,
        question: &Question<'_>,
        max: u64,
    ) -> Result<Exchange, CouldNotAsk> {
        let attempt = || self.try_document(url, question, max);
        let (exchange, record, _slot) = self.exchange(resource, url, question, attempt).await?;
        record.answered(match &exchange {
            Exchange::Found { .. } => "200",
            Exchange::NotModified => "304",
            Exchange::Refused { status, .. } => status_label(*status),
        });
        Ok(exchange)
    }

    pub(super) async fn exchange_download(
        &self,
        payload: Payload,
        url: &Url,
        question: &Question<'_>,
    ) -> Result<Partial, CouldNotAsk> {
        let attempt = || self.try_download(url, question);
        let ((response, part), record, slot) =
            self.exchange(payload.as_str(), url, question, attempt).await?;
        let open = |body, length| {
            let status = status_label(response.status.as_u16());
            let open = Open { body, url: url.clone(), record, status, _slot: slot };
            Download { length, body: stream::unfold(Some(open), next_chunk).boxed() }
        };
        Ok(match part {
            None => Partial::Whole(open(response.body, answer::number(&response.headers, &CONTENT_LENGTH))),
            Some(Announced { length, of }) => {
                Partial::Part { of, download: open(part::exactly(response.body, length), Some(length)) }
            }
        })
    }

    /// Tries until there is an answer or no more use. The registry's standing matters only to questions that
    /// begin with it, not to those that begin at another host.
    async fn exchange<T, F>(
        &self,
        resource: &'static str,
        url: &Url,
        question: &Question<'_>,
        attempt: impl Fn() -> F,
    ) -> Result<(T, Record, OwnedSemaphorePermit), CouldNotAsk>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let at_home = self.guard.is_home(url);
        if let Some(for_) = self.gate.pause().filter(|_| at_home) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let record = || {
            let (observer, clock) = (Arc::clone(&self.observer), Arc::clone(&self.clock));
            Record::start(observer, clock, self.name(), resource, question.errand.id)
        };
        if let Some(for_) = self.gate.over_budget(question.errand.urgency) {
            let why = CouldNotAsk::OverBudget { for_ };
            record().failed(&why);
            return Err(why);
        }
        let slot = self.gate.slot().await?;
        let pass = if at_home { Some(self.gate.admit()?) } else { None };
        let record = record();

        let outcome = self.persist(at_home, attempt).await;
        if let Err(Failure { why: CouldNotAsk::Throttled { retry_after: Some(wait) }, at_home: true }) =
            &outcome
        {
            self.gate.hold(*wait);
        }
        if let (Some(pass), Some(health)) = (pass, health(&outcome)) {
            pass.settle(health);
        }
        match outcome {
            Ok(answer) => Ok((answer, record, slot)),
            Err(Failure { why, .. }) => {
                record.failed(&why);
                Err(why)
            }
        }
    }

    /// Retries what may pass, unless the registry is to be left alone by now; a probe therefore is one request.
    /// A retry that the budget does not allow leaves it at the failure.
    async fn persist<T, F>(&self, at_home: bool, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut outcome = attempt().await;
        for retried in 0..self.retries() {
            let Err(failed) = outcome else { return outcome };
            if !failed.why.is_transient() || self.is_paused(at_home) {
                return Err(failed);
            }
            self.pause_before_retry(retried).await;
            if self.is_paused(at_home) {
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

    fn is_paused(&self, at_home: bool) -> bool {
        at_home && self.gate.pause().is_some()
    }

    async fn try_document(&self, url: &Url, question: &Question<'_>, max: u64) -> Result<Exchange, Failure> {
        let Reply { answer, response, at_home } = self.follow(url, question).await?;
        let Response { status, headers, body } = response;
        let read = async |limit| match answer::number(&headers, &CONTENT_LENGTH) {
            Some(length) if length > limit => Err(CouldNotAsk::TooLarge { limit }),
            _ => read_whole(url, body, limit).await,
        };
        let exchange = match answer {
            Answer::NotModified => Ok(Exchange::NotModified),
            Answer::Found => read(max).await.map(|body| Exchange::Found {
                body,
                etag: answer::etag(&headers),
                age: answer::number(&headers, &AGE).unwrap_or(0),
            }),
            Answer::Refused(status) => match read(MAX_PROBLEM).await {
                Err(CouldNotAsk::TooLarge { .. }) => Ok(Bytes::new()),
                read => read,
            }
            .map(|body| Exchange::Refused {
                status,
                problem: Problem::parse(status, &body),
                body,
            }),
            Answer::Part(_) | Answer::Redirect(_) => Err(CouldNotAsk::Unexpected(status.as_u16())),
        };
        exchange.map_err(|why| Failure { why, at_home })
    }

    async fn try_download(
        &self,
        url: &Url,
        question: &Question<'_>,
    ) -> Result<(Response, Option<Announced>), Failure> {
        let Reply { answer, response, at_home } = self.follow(url, question).await?;
        match answer {
            Answer::Found => Ok((response, None)),
            Answer::Part(part) => Ok((response, Some(part))),
            Answer::NotModified | Answer::Refused(_) | Answer::Redirect(_) => {
                Err(Failure { why: CouldNotAsk::Unexpected(response.status.as_u16()), at_home })
            }
        }
    }

    /// Asks at `start` and wherever that leads.
    async fn follow(&self, start: &Url, question: &Question<'_>) -> Result<Reply, Failure> {
        let mut url = start.clone();
        let mut from = None;
        for _ in 0..=MAX_REDIRECTS {
            let at_home = self.guard.is_home(&url);
            let fail = |why| Failure { why, at_home };
            self.guard.allow(&url, from.as_ref()).map_err(fail)?;
            let response = self.ask(&url, question, at_home).await.map_err(fail)?;
            let (status, headers) = (response.status, &response.headers);
            let (conditional, range) = (question.etag.is_some(), question.range.as_ref());
            match answer::read(status, headers, conditional, range, self.clock.now()).map_err(fail)? {
                Answer::Redirect(location) => {
                    let next = url.join(&location).map_err(|_| fail(CouldNotAsk::BadLocator))?;
                    from = Some(std::mem::replace(&mut url, next));
                }
                answer => return Ok(Reply { answer, response, at_home }),
            }
        }
        Err(Failure { why: CouldNotAsk::TooManyRedirects, at_home: self.guard.is_home(start) })
    }

    /// One request, unless the registry asked to be left alone since, or the budget is spent. The credential goes
    /// to the registry's own origin and nowhere else.
    async fn ask(&self, url: &Url, question: &Question<'_>, at_home: bool) -> Result<Response, CouldNotAsk> {
        let mut headers = question.headers();
        if let Some(credential) = self.credential.as_ref().filter(|_| at_home) {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        if let Some(for_) = self.gate.held().filter(|_| at_home) {
            return Err(CouldNotAsk::Paused { for_ });
        }
        let _spent = self.gate.spend(question.errand.urgency)?;
        self.transport.send(Outgoing::get(url, headers)).await.map_err(|error| could_not(url, error))
    }
}

/// What an outcome says about the registry; nothing when another host is to blame or it was not reached.
fn health<T>(outcome: &Result<T, Failure>) -> Option<Health> {
    let Err(Failure { why, at_home }) = outcome else { return Some(Health::Up) };
    let health = match why {
        CouldNotAsk::Unreachable
        | CouldNotAsk::TimedOut
        | CouldNotAsk::BrokenBody
        | CouldNotAsk::ServerError(_) => Some(Health::Down),
        CouldNotAsk::Throttled { .. }
        | CouldNotAsk::CredentialRefused
        | CouldNotAsk::BadLocator
        | CouldNotAsk::TooLarge { .. }
        | CouldNotAsk::Unexpected(_)
        | CouldNotAsk::TooManyRedirects => Some(Health::Up),
        CouldNotAsk::Forbidden { .. }
        | CouldNotAsk::Paused { .. }
        | CouldNotAsk::OverBudget { .. }
        | CouldNotAsk::Busy
        | CouldNotAsk::Unsent => None,
    };
    health.filter(|_| *at_home)
}

fn could_not(url: &Url, error: TransportError) -> CouldNotAsk {
    match error {
        TransportError::Connect => CouldNotAsk::Unreachable,
        TransportError::Timeout => CouldNotAsk::TimedOut,
        TransportError::Broken => CouldNotAsk::BrokenBody,
        TransportError::Unsent => CouldNotAsk::Unsent,
        TransportError::Forbidden => guard::forbidden(url, Rule::Address),
    }
}

async fn read_whole(
    url: &Url,
    mut body: BoxStream<'static, Result<Bytes, TransportError>>,
    limit: u64,
) -> Result<Bytes, CouldNotAsk> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| could_not(url, error))?;
        if (whole.len() + chunk.len()) as u64 > limit {
            return Err(CouldNotAsk::TooLarge { limit });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next bytes of a payload. Its exchange is over, and its slot free, with the last of them.
async fn next_chunk(open: Option<Open>) -> Option<(Result<Bytes, CouldNotAsk>, Option<Open>)> {
    let mut open = open?;
    match open.body.next().await {
        Some(Ok(chunk)) => Some((Ok(chunk), Some(open))),
        Some(Err(error)) => {
            let why = could_not(&open.url, error);
            open.record.failed(&why);
            Some((Err(why), None))
        }
        None => {
            open.record.answered(open.status);
            None
        }
    }
}

#[cfg(test)]
mod tests;
