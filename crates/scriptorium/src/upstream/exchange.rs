//! One read: past the gate, along the redirects, to an answer.
//!
//! Owns what is sent and read, hop by hop. Must not know how the gate decides, nor any HTTP library.

use std::ops::Range;

use ::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use url::Url;

use super::admitted::{self, AnsweredExchange, FailedAttempt, RECALLS, Repeats};
use super::answer::{self, HeadMeaning};
use super::coding::{self, ContentCoding};
use super::document_memory::DocumentSlot;
use super::head::CachingHead;
use super::part::{self, AnnouncedPart, WholeFile};
use super::pause_scope::PauseScope;
use super::{
    CouldNotAsk, Download, FetchContext, Health, Notes, Outgoing, PartialDownload, Payload, RegistryAnswer,
    RegistryClient, RegistryResponse, status_label,
};
use crate::domain::{Problem, Resource};

pub(super) const MAX_REDIRECTS: usize = 5;
const MAX_PROBLEM: u64 = 64 << 10;
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A read, whichever host it is sent to. Nothing in it comes from a client except the request id.
pub(super) struct ReadRequest<'a> {
    accept: &'static str,
    scope: PauseScope,
    etag: Option<HeaderValue>,
    range: Option<Range<u64>>,
    /// The range counts only if the entity tag is this.
    if_range: Option<HeaderValue>,
    context: FetchContext<'a>,
    notes: Notes,
}

/// A response that is not a redirect, and its meaning.
struct Reply {
    answer: HeadMeaning,
    response: RegistryResponse,
    /// The URL that gave it.
    url: Url,
    at_home: bool,
}

impl<'a> ReadRequest<'a> {
    /// Whether the outcome may be due to the request's condition.
    pub(super) fn is_blamed(&self, answer: &Result<RegistryAnswer, CouldNotAsk>) -> bool {
        let status = match answer {
            Ok(RegistryAnswer::Refused { status, .. }) | Err(CouldNotAsk::Unexpected(status)) => *status,
            Ok(_) | Err(_) => return false,
        };
        self.etag.is_some() && answer::is_due_to_a_condition(status)
    }

    pub(super) fn document(resource: Resource, etag: Option<&str>, context: FetchContext<'a>) -> Self {
        let etag = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
        Self {
            accept: "application/json",
            scope: PauseScope::of(resource),
            etag,
            range: None,
            if_range: None,
            context,
            notes: Notes::default(),
        }
    }

    pub(super) fn download(payload: Payload, range: Option<Range<u64>>, context: FetchContext<'a>) -> Self {
        let accept = match payload {
            Payload::Archive => "application/gzip",
            Payload::TrustArtifact => "*/*",
        };
        let (scope, notes) = (PauseScope::Documents, Notes::default());
        Self { accept, scope, etag: None, range, if_range: None, context, notes }
    }

    /// The `range` of a download that was begun, if the entity tag is still the same.
    pub(super) fn rest(
        payload: Payload,
        range: Range<u64>,
        if_range: Option<HeaderValue>,
        context: FetchContext<'a>,
    ) -> Self {
        Self { if_range, ..Self::download(payload, Some(range), context) }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(id) = HeaderValue::from_str(self.context.id) {
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

impl RegistryClient {
    pub(super) async fn exchange_document(
        &self,
        resource: &'static str,
        url: &Url,
        question: &ReadRequest<'_>,
        max: u64,
    ) -> Result<RegistryAnswer, CouldNotAsk> {
        let attempt = || self.try_document(url, question, max);
        let (answer, exchange) = self.exchange(resource, url, question, attempt).await?;
        exchange.record.answered(match &answer {
            RegistryAnswer::Found { .. } => "200",
            RegistryAnswer::NotModified { .. } => "304",
            RegistryAnswer::Refused { status, .. } => status_label(*status),
        });
        Ok(answer)
    }

    pub(super) async fn exchange_download(
        &self,
        payload: Payload,
        url: &Url,
        question: &ReadRequest<'_>,
    ) -> Result<PartialDownload, CouldNotAsk> {
        let attempt = || self.try_download(url, question);
        let ((response, part, coding), exchange) =
            self.exchange(payload.as_str(), url, question, attempt).await?;
        let status = status_label(response.status.as_u16());
        let open = |body| exchange.open(body, url, status, None);
        let RegistryResponse { headers, body, .. } = response;
        Ok(match (part, coding) {
            (Some(AnnouncedPart { length, of }), _) => {
                let body = open(part::exactly(body, length));
                PartialDownload::Part { of, download: Download { length: Some(length), body, whole: None } }
            }
            (None, None) => {
                let length = answer::number(&headers, &CONTENT_LENGTH);
                PartialDownload::Whole(Download { length, body: open(body), whole: WholeFile::of(&headers) })
            }
            (None, Some(coding)) => {
                let body = coding::stream::decode(open(body), coding, payload);
                PartialDownload::Whole(Download { length: None, body, whole: None })
            }
        })
    }

    async fn exchange<T, F>(
        &self,
        resource: &'static str,
        url: &Url,
        question: &ReadRequest<'_>,
        attempt: impl Fn() -> F,
    ) -> Result<(T, AnsweredExchange), CouldNotAsk>
    where
        F: Future<Output = Result<T, FailedAttempt>>,
    {
        let mut passage = self.enter(resource, question.scope, url, question.context).await?;
        let repeats = Repeats { retries: self.retries(), recalls: RECALLS };
        let outcome = passage.persist(repeats, CouldNotAsk::is_transient, attempt).await;
        passage.end(outcome, question.notes.clone(), |_| Some(Health::Up))
    }

    async fn try_document(
        &self,
        url: &Url,
        question: &ReadRequest<'_>,
        max: u64,
    ) -> Result<RegistryAnswer, FailedAttempt> {
        let Reply { answer, response, url: found_at, at_home } = self.follow(url, question).await?;
        let RegistryResponse { status, headers, body } = response;
        let mut share = self.document_memory.begin();
        let read = async |limit, share: &mut DocumentSlot| {
            let codings = coding::applied(&headers)?;
            let body = body.map(|chunk| chunk.map_err(|error| admitted::could_not(url, error)));
            let length = answer::number(&headers, &CONTENT_LENGTH);
            if !codings.is_empty() {
                // The decoded document may be as long as the limit allows.
                share.cover(length.unwrap_or_default(), limit).await?;
            }
            let body = admitted::read_whole(body, length, limit, share).await?;
            coding::decode(body, codings, limit, share).await
        };
        let exchange = match answer {
            HeadMeaning::NotModified => Ok(RegistryAnswer::NotModified { head: CachingHead::of(&headers) }),
            HeadMeaning::Found => read(max, &mut share).await.map(|body| {
                let head = CachingHead { at: elsewhere(url, found_at), ..CachingHead::of(&headers) };
                RegistryAnswer::Found { body, head, share }
            }),
            HeadMeaning::Refused(status) => match read(MAX_PROBLEM, &mut share).await {
                Err(
                    CouldNotAsk::TooLarge { .. } | CouldNotAsk::UnreadCoding(_) | CouldNotAsk::Undecodable(_),
                ) => Ok(Bytes::new()),
                read => read,
            }
            .map(|body| refused(status, &headers, body)),
            HeadMeaning::Part(_) | HeadMeaning::Redirect(_) => Err(CouldNotAsk::Unexpected(status.as_u16())),
        };
        exchange.map_err(|why| FailedAttempt { why, at_home })
    }

    async fn try_download(
        &self,
        url: &Url,
        question: &ReadRequest<'_>,
    ) -> Result<(RegistryResponse, Option<AnnouncedPart>, Option<ContentCoding>), FailedAttempt> {
        // Where no credential was sent, a 401 is about the signature in the address.
        let followed = self.follow(url, question).await.map_err(|FailedAttempt { why, at_home }| {
            let why = if self.credential.is_none() { abroad(why) } else { why };
            FailedAttempt { why, at_home }
        });
        let Reply { answer, response, at_home, .. } = followed?;
        let fail = |why| FailedAttempt { why, at_home };
        let codings = || coding::applied(&response.headers).map_err(fail);
        match answer {
            HeadMeaning::Found => match codings()?[..] {
                [] => Ok((response, None, None)),
                [coding] => Ok((response, None, Some(coding))),
                ref several => Err(fail(CouldNotAsk::UnreadCoding(coding::list(several)))),
            },
            // The range would be of the coded bytes.
            HeadMeaning::Part(part) if codings()?.is_empty() => Ok((response, Some(part), None)),
            HeadMeaning::Part(_) => Err(fail(CouldNotAsk::Unexpected(response.status.as_u16()))),
            HeadMeaning::NotModified | HeadMeaning::Refused(_) | HeadMeaning::Redirect(_) => {
                Err(FailedAttempt { why: CouldNotAsk::Unexpected(response.status.as_u16()), at_home })
            }
        }
    }

    /// Sends the request to `start` and follows redirects.
    async fn follow(&self, start: &Url, question: &ReadRequest<'_>) -> Result<Reply, FailedAttempt> {
        let mut url = start.clone();
        let mut from = None;
        for _ in 0..=MAX_REDIRECTS {
            let at_home = self.guard.is_home(&url);
            let fail = |why| FailedAttempt { why, at_home };
            self.guard.allow(&url, from.as_ref()).map_err(|rule| fail(CouldNotAsk::forbidden(&url, rule)))?;
            let response = self.ask(&url, question, at_home).await.map_err(fail)?;
            let (status, headers) = (response.status, &response.headers);
            let (sent, range) = (question.etag.as_ref(), question.range.as_ref());
            let read = answer::read(status, headers, sent, range, self.clock.now());
            match read.map_err(|why| fail(if at_home { why } else { abroad(why) }))? {
                HeadMeaning::Redirect(location) => {
                    let next = url.join(&location).map_err(|_| fail(CouldNotAsk::BadLocator))?;
                    from = Some(std::mem::replace(&mut url, next));
                }
                answer => return Ok(Reply { answer, response, url, at_home }),
            }
        }
        Err(FailedAttempt { why: CouldNotAsk::TooManyRedirects, at_home: self.guard.is_home(start) })
    }

    /// One hop. The credential is sent to the registry's own origin only.
    async fn ask(
        &self,
        url: &Url,
        question: &ReadRequest<'_>,
        at_home: bool,
    ) -> Result<RegistryResponse, CouldNotAsk> {
        let mut headers = question.headers();
        if let Some(credential) = self.credential.as_ref().filter(|_| at_home) {
            headers.insert(AUTHORIZATION, credential.clone());
        }
        self.send(Outgoing::get(url, headers, question.notes.clone()), question.scope, question.context).await
    }
}

/// A refusal with its problem document. A document that is one only by its media type is normalised.
fn refused(status: u16, headers: &HeaderMap, body: Bytes) -> RegistryAnswer {
    let problem = Problem::parse(status, &body);
    if problem.is_none()
        && answer::is_problem(headers)
        && let Some(problem) = Problem::labelled(status, &body)
    {
        let body = problem.to_json("").into();
        return RegistryAnswer::Refused { status, problem: Some(problem), body };
    }
    RegistryAnswer::Refused { status, problem, body }
}

/// A 401 of another host is not about this proxy's credential, which was not sent there.
fn abroad(why: CouldNotAsk) -> CouldNotAsk {
    match why {
        CouldNotAsk::CredentialRefused => CouldNotAsk::Unexpected(401),
        why => why,
    }
}

/// Where a document was found, if not where it was `asked` for. Without the query, which may hold a signature and is
/// not needed to resolve links.
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
