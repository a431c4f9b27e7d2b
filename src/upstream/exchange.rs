//! One question: past the gate, along the redirects, and what its answer comes to.
//!
//! Owns what is asked and read, hop by hop. Must not know how the gate decides, nor any HTTP library.

use std::ops::Range;

use ::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::answer::{self, Answer, status_label};
use super::bulk::Share;
use super::coding::{self, Coding};
use super::concern::Concern;
use super::gate::Health;
use super::head::Head;
use super::observer::Record;
use super::part::{self, Announced};
use super::passage::{self, Failure};
use super::resume::Whole;
use super::{CouldNotAsk, Download, Errand, Exchange, Notes, Outgoing, Partial, Payload, Response, Upstream};
use crate::domain::{Problem, Resource};

const MAX_REDIRECTS: usize = 5;
const MAX_PROBLEM: u64 = 64 << 10;
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is asked, wherever it is asked; nothing in it comes from a client but the request's id.
pub(super) struct Question<'a> {
    accept: &'static str,
    concern: Concern,
    etag: Option<HeaderValue>,
    range: Option<Range<u64>>,
    /// The range is of what has this tag.
    if_range: Option<HeaderValue>,
    errand: Errand<'a>,
    notes: Notes,
}

/// A response that is no redirect, and what it means.
struct Reply {
    answer: Answer,
    response: Response,
    /// Who gave it.
    url: Url,
    at_home: bool,
}

impl<'a> Question<'a> {
    /// Whether what came of it may be due to its condition.
    pub(super) fn is_blamed(&self, answer: &Result<Exchange, CouldNotAsk>) -> bool {
        let status = match answer {
            Ok(Exchange::Refused { status, .. }) | Err(CouldNotAsk::Unexpected(status)) => *status,
            Ok(_) | Err(_) => return false,
        };
        self.etag.is_some() && answer::is_due_to_a_condition(status)
    }

    pub(super) fn document(resource: Resource, etag: Option<&str>, errand: Errand<'a>) -> Self {
        let etag = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
        Self {
            accept: "application/json",
            concern: Concern::of(resource),
            etag,
            range: None,
            if_range: None,
            errand,
            notes: Notes::default(),
        }
    }

    pub(super) fn download(payload: Payload, range: Option<Range<u64>>, errand: Errand<'a>) -> Self {
        let accept = match payload {
            Payload::Archive => "application/gzip",
            Payload::TrustArtifact => "*/*",
        };
        let (concern, notes) = (Concern::Documents, Notes::default());
        Self { accept, concern, etag: None, range, if_range: None, errand, notes }
    }

    /// The `range` of what was begun, where it is what has this tag.
    pub(super) fn rest(
        payload: Payload,
        range: Range<u64>,
        if_range: Option<HeaderValue>,
        errand: Errand<'a>,
    ) -> Self {
        Self { if_range, ..Self::download(payload, Some(range), errand) }
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
        if let Some(etag) = &self.if_range {
            headers.insert(IF_RANGE, etag.clone());
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
            Exchange::NotModified { .. } => "304",
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
        let ((response, part, coding), record, slot) =
            self.exchange(payload.as_str(), url, question, attempt).await?;
        let status = status_label(response.status.as_u16());
        let open = |body| passage::open(body, url, (status, None), (record, question.notes.clone()), slot);
        let Response { headers, body, .. } = response;
        Ok(match (part, coding) {
            (Some(Announced { length, of }), _) => {
                let body = open(part::exactly(body, length));
                Partial::Part { of, download: Download { length: Some(length), body, whole: None } }
            }
            (None, None) => {
                let length = answer::number(&headers, &CONTENT_LENGTH);
                Partial::Whole(Download { length, body: open(body), whole: Whole::of(&headers) })
            }
            (None, Some(coding)) => {
                let body = coding::stream::decode(open(body), coding, payload);
                Partial::Whole(Download { length: None, body, whole: None })
            }
        })
    }

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
        let passage = self.enter((resource, question.concern), url, question.errand).await?;
        let outcome = passage.persist(self.retries(), CouldNotAsk::is_transient, attempt).await;
        passage.end(outcome, &question.notes, |_| Some(Health::Up))
    }

    async fn try_document(&self, url: &Url, question: &Question<'_>, max: u64) -> Result<Exchange, Failure> {
        let Reply { answer, response, url: found_at, at_home } = self.follow(url, question).await?;
        let Response { status, headers, body } = response;
        let mut share = self.bulk.begin();
        let read = async |limit, share: &mut Share| {
            let codings = coding::applied(&headers)?;
            let body = body.map(|chunk| chunk.map_err(|error| passage::could_not(url, error)));
            let length = answer::number(&headers, &CONTENT_LENGTH);
            if !codings.is_empty() {
                // What comes out of a coding may be as long as any.
                share.cover(length.unwrap_or_default(), limit).await?;
            }
            let body = passage::read_whole(body, length, limit, share).await?;
            coding::decode(body, codings, limit, share).await
        };
        let exchange = match answer {
            Answer::NotModified => Ok(Exchange::NotModified { head: Head::of(&headers) }),
            Answer::Found => read(max, &mut share).await.map(|body| {
                let head = Head { at: elsewhere(url, found_at), ..Head::of(&headers) };
                Exchange::Found { body, head, share }
            }),
            Answer::Refused(status) => match read(MAX_PROBLEM, &mut share).await {
                Err(
                    CouldNotAsk::TooLarge { .. } | CouldNotAsk::UnreadCoding(_) | CouldNotAsk::Undecodable(_),
                ) => Ok(Bytes::new()),
                read => read,
            }
            .map(|body| refused(status, &headers, body)),
            Answer::Part(_) | Answer::Redirect(_) => Err(CouldNotAsk::Unexpected(status.as_u16())),
        };
        exchange.map_err(|why| Failure { why, at_home })
    }

    async fn try_download(
        &self,
        url: &Url,
        question: &Question<'_>,
    ) -> Result<(Response, Option<Announced>, Option<Coding>), Failure> {
        // An address that was signed says 401 of its signature, unless a credential went there.
        let followed = self.follow(url, question).await.map_err(|Failure { why, at_home }| {
            let why = if self.credential.is_none() { abroad(why) } else { why };
            Failure { why, at_home }
        });
        let Reply { answer, response, at_home, .. } = followed?;
        let fail = |why| Failure { why, at_home };
        let codings = || coding::applied(&response.headers).map_err(fail);
        match answer {
            Answer::Found => match codings()?[..] {
                [] => Ok((response, None, None)),
                [coding] => Ok((response, None, Some(coding))),
                ref several => Err(fail(CouldNotAsk::UnreadCoding(coding::list(several)))),
            },
            // A range is of the coded bytes, which nobody asked for.
            Answer::Part(part) if codings()?.is_empty() => Ok((response, Some(part), None)),
            Answer::Part(_) => Err(fail(CouldNotAsk::Unexpected(response.status.as_u16()))),
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
            let (sent, range) = (question.etag.as_ref(), question.range.as_ref());
            let read = answer::read(status, headers, sent, range, self.clock.now());
            match read.map_err(|why| fail(if at_home { why } else { abroad(why) }))? {
                Answer::Redirect(location) => {
                    let next = url.join(&location).map_err(|_| fail(CouldNotAsk::BadLocator))?;
                    from = Some(std::mem::replace(&mut url, next));
                }
                answer => return Ok(Reply { answer, response, url, at_home }),
            }
        }
        Err(Failure { why: CouldNotAsk::TooManyRedirects, at_home: self.guard.is_home(start) })
    }

    /// One hop. The credential goes to the registry's own origin and nowhere else.
    async fn ask(&self, url: &Url, question: &Question<'_>, at_home: bool) -> Result<Response, CouldNotAsk> {
        let mut headers = question.headers();
        if let Some(credential) = self.credential.as_ref().filter(|_| at_home) {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        self.send(Outgoing::get(url, headers, question.notes.clone()), question.concern, question.errand)
            .await
    }
}

/// A refusal with the problem that it says, in a form that is one without its label too.
fn refused(status: u16, headers: &HeaderMap, body: Bytes) -> Exchange {
    let problem = Problem::parse(status, &body);
    if problem.is_none()
        && answer::is_problem(headers)
        && let Some(problem) = Problem::labelled(status, &body)
    {
        let body = problem.to_json("").into();
        return Exchange::Refused { status, problem: Some(problem), body };
    }
    Exchange::Refused { status, problem, body }
}

/// What another host says of credentials it says of none that it was sent.
fn abroad(why: CouldNotAsk) -> CouldNotAsk {
    match why {
        CouldNotAsk::CredentialRefused => CouldNotAsk::Unexpected(401),
        why => why,
    }
}

/// Where a document was found, where that is not where it was `asked` for. A query may hold a signature, and resolving
/// against a URL needs none.
fn elsewhere(asked: &Url, mut found_at: Url) -> Option<String> {
    if *asked == found_at {
        return None;
    }
    found_at.set_query(None);
    found_at.set_fragment(None);
    Some(found_at.into())
}

#[cfg(test)]
mod tests;
