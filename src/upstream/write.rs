//! Writes: a client's request that changes something, sent on to the registry, and its answer as it comes.
//!
//! Owns what of a client's request goes on and where, and that it is sent more than once only where that is safe.
//! Must not know what is written, nor what an answer means to the client.

use std::fmt;

use ::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, LOCATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use super::answer::{self, status_label};
use super::bulk::Share;
use super::concern::Concern;
use super::exchange::REQUEST_ID;
use super::gate::Health;
use super::passage::{self, Failure};
use super::{CouldNotAsk, Errand, Notes, Outgoing, OutgoingBody, Response, Upstream};

/// What ends at this proxy, besides every `proxy-` field.
const NOT_PASSED_ON: [HeaderName; 10] = [
    HOST,
    CONNECTION,
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
    TE,
    UPGRADE,
    EXPECT,
    COOKIE,
    HeaderName::from_static("keep-alive"),
    TRAILER,
];

/// A request of a client's that changes something, to be relayed.
pub struct Write<'a> {
    /// Its name in metrics and logs.
    pub resource: &'static str,
    /// What is asked of the resource.
    pub method: Method,
    /// Where it goes.
    pub target: Target<'a>,
    /// What goes on of the client's header fields, `Authorization` included, which leaves for the registry's own
    /// origin only.
    pub headers: HeaderMap,
    /// What is sent along.
    pub body: WriteBody<'a>,
    /// On whose behalf.
    pub errand: Errand<'a>,
}

/// Where a write goes.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Path and query below the base URL.
    Path(&'a str),
    /// A place that the registry named, which the guard judges.
    At {
        /// The place.
        url: &'a Url,
        /// The fields that the registry gave for it, a credential among them where it gave one.
        given: &'a HeaderMap,
    },
}

/// What is sent, and whether it may be sent more than once.
pub enum WriteBody<'a> {
    /// One try: whatever happens, it is not sent again.
    Once(OutgoingBody),
    /// A key or the content makes repeating it safe: made anew for every try.
    Again(&'a (dyn Fn() -> OutgoingBody + Send + Sync)),
}

/// The registry's answer, whatever its status. Dropping it gives the connection back.
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The announced length of `body`; `None` in answer to a HEAD, which no body follows.
    pub length: Option<u64>,
    /// The bytes; ends with an error when they break off short of the announced length or stop coming.
    pub body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
}

impl Upstream {
    /// Relays a write and hands back whatever the registry answers, which it is not asked again for. Never sends
    /// this proxy's own credential.
    ///
    /// # Errors
    /// Why there is no answer, [`Unsent`](CouldNotAsk::Unsent) where the body to be sent broke off. A redirect is
    /// not followed: [`Unexpected`](CouldNotAsk::Unexpected).
    pub async fn relay(&self, write: Write<'_>) -> Result<Relayed, CouldNotAsk> {
        let Write { resource, method, target, headers, body, errand } = write;
        let url = match target {
            Target::Path(path) => self.below(path)?,
            Target::At { url, .. } => url.clone(),
        };
        let headers = self.passed_on(headers, target, &url, errand);

        let passage = self.enter((resource, Concern::Documents), &url, errand).await?;
        let (mut once, again) = match body {
            WriteBody::Once(body) => (Some(body), None),
            WriteBody::Again(make) => (None, Some(make)),
        };
        let notes = Notes::default();
        let retries = if again.is_some() { self.retries() } else { 0 };
        let attempt = || {
            let body = again.map(|make| make()).or_else(|| once.take()).unwrap_or(OutgoingBody::Empty);
            let (method, headers, notes) = (method.clone(), headers.clone(), notes.clone());
            let request = Outgoing { method, url: &url, headers, body, notes };
            self.try_write(request, errand)
        };
        let outcome = passage.persist(retries, never_answered, attempt).await;
        // What a client is answered may be its own doing: nobody else waits for that.
        let standing = |response: &Response| (!response.status.is_server_error()).then_some(Health::Up);
        let (Response { status, headers, body }, record, slot) = passage.end(outcome, &notes, standing)?;
        let length = answer::number(&headers, &CONTENT_LENGTH).filter(|_| method != Method::HEAD);
        let bodiless = method == Method::HEAD || matches!(status.as_u16(), 204 | 304);
        let ends = if bodiless { Some(0) } else { length };
        let body = passage::open(body, &url, (status_label(status.as_u16()), ends), (record, notes), slot);
        Ok(Relayed { status, headers, length, body })
    }

    /// The place that `locator`, absolute or relative to the path `from`, names, if the guard allows it.
    ///
    /// # Errors
    /// [`BadLocator`](CouldNotAsk::BadLocator) or [`Forbidden`](CouldNotAsk::Forbidden).
    pub fn place(&self, locator: &str, from: &str) -> Result<Url, CouldNotAsk> {
        let from = self.below(from)?;
        let url = from.join(locator).map_err(|_| CouldNotAsk::BadLocator)?;
        self.guard.allow(&url, Some(&from))?;
        Ok(url)
    }

    /// `path` below the base URL, and no other host or path, whatever a client made of it.
    fn below(&self, path: &str) -> Result<Url, CouldNotAsk> {
        let url = if path.starts_with('/') { self.at(path)? } else { return Err(CouldNotAsk::BadLocator) };
        let base = self.config.url.path().trim_end_matches('/');
        let within = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        if within && self.guard.is_home(&url) { Ok(url) } else { Err(CouldNotAsk::BadLocator) }
    }

    /// The client's credential goes home only; what the registry gave for a place of its choice goes there.
    fn passed_on(
        &self,
        mut headers: HeaderMap,
        target: Target<'_>,
        url: &Url,
        errand: Errand<'_>,
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
        if let Ok(id) = HeaderValue::from_str(errand.id) {
            headers.insert(REQUEST_ID, id);
        }
        headers
    }

    async fn try_write(&self, request: Outgoing<'_>, errand: Errand<'_>) -> Result<Response, Failure> {
        let at_home = self.guard.is_home(request.url);
        // What nobody must read on its way to the registry is not sent in clear to where that points.
        self.guard.allow(request.url, Some(&self.config.url)).map_err(|why| Failure { why, at_home })?;
        let response =
            self.send(request, Concern::Documents, errand).await.map_err(|why| Failure { why, at_home })?;
        let elsewhere = response.status.is_redirection() && response.headers.contains_key(LOCATION);
        // No client asked for another protocol.
        if elsewhere || response.status.is_informational() {
            return Err(Failure { why: CouldNotAsk::Unexpected(response.status.as_u16()), at_home });
        }
        Ok(response)
    }
}

fn stays_here(name: &HeaderName) -> bool {
    NOT_PASSED_ON.contains(name) || name.as_str().starts_with("proxy-")
}

/// Whether nothing was heard of what became of a try.
fn never_answered(why: &CouldNotAsk) -> bool {
    matches!(why, CouldNotAsk::Unreachable(_) | CouldNotAsk::TimedOut | CouldNotAsk::BrokenBody)
}

impl Relayed {
    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](CouldNotAsk::TooLarge), or why it is not complete.
    pub async fn whole(self, limit: u64) -> Result<(StatusCode, HeaderMap, Bytes), CouldNotAsk> {
        let body = passage::read_whole(self.body, self.length, limit, &mut Share::none()).await?;
        Ok((self.status, self.headers, body))
    }
}

/// Names the header fields and shows none of their values.
impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("resource", &self.resource)
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("body", &self.body)
            .field("errand", &self.errand)
            .finish()
    }
}

/// Without the query string, which may sign the place.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => {
                f.debug_tuple("Path").field(&path.split('?').next().unwrap_or_default()).finish()
            }
            Self::At { url, .. } => f.debug_tuple("At").field(&url.host_str()).field(&url.path()).finish(),
        }
    }
}

impl fmt::Debug for WriteBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(body) => f.debug_tuple("Once").field(body).finish(),
            Self::Again(_) => f.write_str("Again"),
        }
    }
}

#[cfg(test)]
mod tests;
