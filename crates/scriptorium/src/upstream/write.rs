//! Writes: sends a client's request that changes something to the registry, and returns the answer as it comes.
//!
//! Owns which parts of a client's request are sent and where, and that a request is repeated only where that is safe.
//! Must not know what is written, nor what an answer means to the client.

use ::http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue,
    LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::admitted::{self, FailedAttempt, RECALLS, Repeats};
use super::answer;
use super::document_memory::DocumentSlot;
use super::exchange::REQUEST_ID;
use super::pause_scope::PauseScope;
use super::{
    CouldNotAsk, FetchContext, Health, Notes, Outgoing, OutgoingBody, RegistryClient, RegistryResponse,
    RequestReach, status_label,
};

/// Fields that end at this proxy: those of one connection (RFC 9110, section 7.6.1), of message framing, and of cookies.
pub(crate) const HOP_BY_HOP: [HeaderName; 18] = [
    ALT_SVC,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("x-request-id"),
];

/// A client's request to be relayed.
pub(crate) struct WriteRequest<'a> {
    /// The name of the write in metrics and logs.
    pub(crate) resource: &'static str,
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    /// The client's header fields that are sent. `Authorization` is sent to the registry's own origin only.
    pub(crate) headers: HeaderMap,
    pub(crate) body: WriteBody<'a>,
    pub(crate) context: FetchContext<'a>,
}

/// Where a write goes.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// Path and query below the base URL.
    Path(&'a str),
    /// A place that the registry named. The guard checks it.
    At {
        url: &'a Url,
        /// The header fields that the registry gave for the place, which may include a credential.
        given: &'a HeaderMap,
    },
}

/// The body, and whether it may be sent more than once.
pub(crate) enum WriteBody<'a> {
    /// It is sent at most once.
    Once(OutgoingBody),
    /// It may be repeated, since a key or the content makes that safe. It is made anew for each attempt.
    Again(&'a (dyn Fn() -> OutgoingBody + Send + Sync)),
}

impl<'a> WriteBody<'a> {
    /// The body that `make` makes, to be sent more than once where the write is `repeatable`.
    pub(crate) fn new(repeatable: bool, make: &'a (dyn Fn() -> OutgoingBody + Send + Sync)) -> Self {
        if repeatable { Self::Again(make) } else { Self::Once(make()) }
    }
}

/// The registry's answer, whatever its status. Dropping it gives the connection back.
pub(crate) struct Relayed {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The announced length of `body`. `None` in an answer to HEAD.
    pub(crate) length: Option<u64>,
    /// The bytes. An error ends them where they break off short of the announced length or stop coming.
    pub(crate) body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
}

impl RegistryClient {
    /// Relays a write and returns the registry's answer, whatever it is. Never sends this proxy's own credential.
    ///
    /// # Errors
    /// Why there is no answer: [`Unsent`](CouldNotAsk::Unsent) where the request's body broke off,
    /// [`Unexpected`](CouldNotAsk::Unexpected) for a redirect, which is not followed.
    pub(crate) async fn relay(&self, write: WriteRequest<'_>) -> Result<Relayed, CouldNotAsk> {
        let WriteRequest { resource, method, target, headers, body, context } = write;
        let url = match target {
            Target::Path(path) => self.below(path)?,
            Target::At { url, .. } => url.clone(),
        };
        let headers = self.passed_on(headers, target, &url, context);

        let mut passage = self.enter(resource, PauseScope::Documents, &url, context).await?;
        let (mut once, again) = match body {
            WriteBody::Once(body) => (Some(body), None),
            WriteBody::Again(make) => (None, Some(make)),
        };
        let notes = Notes::default();
        let repeats = match again {
            Some(_) => Repeats { retries: self.retries(), recalls: RECALLS },
            None => Repeats { retries: 0, recalls: 0 },
        };
        let attempt = || {
            let body = again.map(|make| make()).or_else(|| once.take()).unwrap_or(OutgoingBody::Empty);
            let (method, headers, notes) = (method.clone(), headers.clone(), notes.clone());
            let request = Outgoing { method, url: &url, headers, body, notes };
            self.try_write(request, context)
        };
        let outcome = passage.persist(repeats, is_unanswered, attempt).await;
        // A server error may be due to this client's request, so it does not count against the registry.
        let standing =
            |response: &RegistryResponse| (!response.status.is_server_error()).then_some(Health::Up);
        let (RegistryResponse { status, headers, body }, exchange) = passage.end(outcome, notes, standing)?;
        let length = answer::number(&headers, &CONTENT_LENGTH).filter(|_| method != Method::HEAD);
        let bodiless = method == Method::HEAD || matches!(status.as_u16(), 204 | 304);
        let ends = if bodiless { Some(0) } else { length };
        let body = exchange.open(body, &url, status_label(status.as_u16()), ends);
        Ok(Relayed { status, headers, length, body })
    }

    /// The URL of `locator`, absolute or relative to the path `from`, if the guard allows it.
    ///
    /// # Errors
    /// [`BadLocator`](CouldNotAsk::BadLocator) or [`Forbidden`](CouldNotAsk::Forbidden).
    pub(crate) fn place(&self, locator: &str, from: &str) -> Result<Url, CouldNotAsk> {
        let from = self.below(from)?;
        let url = from.join(locator).map_err(|_| CouldNotAsk::BadLocator)?;
        self.guard.allow(&url, Some(&from)).map_err(|rule| CouldNotAsk::forbidden(&url, rule))?;
        Ok(url)
    }

    /// The URL of `path` below the base URL. A path of a client cannot lead to another host or out of the base path.
    fn below(&self, path: &str) -> Result<Url, CouldNotAsk> {
        let url = if path.starts_with('/') { self.at(path)? } else { return Err(CouldNotAsk::BadLocator) };
        let base = self.config.url.path().trim_end_matches('/');
        let within = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        if within && self.guard.is_home(&url) { Ok(url) } else { Err(CouldNotAsk::BadLocator) }
    }

    /// The header fields to send. The client's credential is sent to the registry's own origin only; the fields that
    /// the registry gave for a place are sent there.
    fn passed_on(
        &self,
        mut headers: HeaderMap,
        target: Target<'_>,
        url: &Url,
        context: FetchContext<'_>,
    ) -> HeaderMap {
        if !self.guard.is_home(url) {
            headers.remove(AUTHORIZATION);
        }
        if let Target::At { given, .. } = target {
            given.iter().for_each(|(name, value)| drop(headers.insert(name, value.clone())));
        }
        let here: Vec<_> = headers.keys().filter(|name| stays_here(name)).cloned().collect();
        here.iter().for_each(|name| drop(headers.remove(name)));
        headers.remove(REQUEST_ID);
        if let Ok(id) = HeaderValue::from_str(context.id) {
            headers.insert(REQUEST_ID, id);
        }
        headers
    }

    async fn try_write(
        &self,
        request: Outgoing<'_>,
        context: FetchContext<'_>,
    ) -> Result<RegistryResponse, FailedAttempt> {
        let at_home = self.guard.is_home(request.url);
        // A write to an https registry is never sent to a plain http address.
        let fail = |why| FailedAttempt { why, at_home };
        let allowed = self.guard.allow(request.url, Some(&self.config.url));
        allowed.map_err(|rule| fail(CouldNotAsk::forbidden(request.url, rule)))?;
        let response = self.send(request, PauseScope::Documents, context).await.map_err(fail)?;
        let elsewhere = response.status.is_redirection() && response.headers.contains_key(LOCATION);
        // The client requested no other protocol.
        if elsewhere || response.status.is_informational() {
            return Err(FailedAttempt { why: CouldNotAsk::Unexpected(response.status.as_u16()), at_home });
        }
        Ok(response)
    }
}

fn stays_here(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || name.as_str().starts_with("proxy-")
}

/// Whether a repeatable write is repeated: nothing is known about the outcome of the last attempt.
fn is_unanswered(why: &CouldNotAsk) -> bool {
    matches!(why.facets().reach, RequestReach::Unconnected | RequestReach::TimedOut | RequestReach::BrokenOff)
}

impl Relayed {
    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](CouldNotAsk::TooLarge), or why it is not complete.
    pub(crate) async fn whole(self, limit: u64) -> Result<(StatusCode, HeaderMap, Bytes), CouldNotAsk> {
        let body = admitted::read_whole(self.body, self.length, limit, &mut DocumentSlot::none()).await?;
        Ok((self.status, self.headers, body))
    }
}

#[cfg(test)]
mod tests;
