//! Asking a registry: one [`Upstream`] for each, and a definite answer or the reason there is none.
//!
//! A question passes the gate (`passage`, `gate`, over `breaker` and `budget`), is asked hop by hop under the
//! guard's eye (`exchange`, `guard`), its answer is classified (`answer`, `part`) and, where that may help, asked
//! again (`backoff`). A write (`write`) goes the same way, and its answer back as it is. Owns everything that is sent to a registry. Must not know what documents mean, nor what is
//! cached.

mod answer;
mod backoff;
mod breaker;
mod budget;
mod bulk;
mod cause;
mod coding;
mod concern;
mod errand;
mod exchange;
mod failure;
mod gate;
mod guard;
mod head;
mod http;
mod last_failure;
mod notes;
mod observer;
mod part;
mod passage;
mod resume;
mod routing;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod write;

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::HeaderValue;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use secrecy::ExposeSecret;
use url::Url;

pub use self::cause::Cause;
pub use self::errand::{Errand, KeptErrand, Urgency};
pub use self::failure::CouldNotAsk;
pub use self::guard::Rule;
pub use self::head::Head;
pub use self::http::{HttpTransport, NoTransport};
pub use self::last_failure::LastFailure;
pub use self::notes::Notes;
pub use self::observer::{Failed, Observer, State};
pub use self::resume::Tries;
pub use self::routing::Upstreams;
pub use self::transport::{Outgoing, OutgoingBody, Response, Transport, TransportError};
pub use self::write::{Relayed, Target, Write, WriteBody};
use crate::clock::Clock;
use crate::config;
use crate::config::address::Listeners;
use crate::domain::{Problem, Registry, Resource};

use self::bulk::{Bulk, Share};
use self::concern::Concern;
use self::exchange::Question;
use self::gate::Gate;
use self::guard::Guard;
use self::resume::Whole;

/// One registry.
pub struct Upstream {
    config: config::Upstream,
    registry: Arc<Registry>,
    credential: Option<HeaderValue>,
    guard: Guard,
    gate: Gate,
    bulk: Bulk,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    last_failure: Mutex<Option<LastFailure>>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// A registry's definite answer about a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Exchange {
    /// Here it is.
    Found {
        /// The document, whole.
        body: Bytes,
        /// What is said of keeping it.
        head: Head,
        /// What it takes of what may be on its way from one registry, until it is read.
        share: Share,
    },
    /// The document with the entity tag that was sent is still the current one.
    NotModified {
        /// What is said of keeping it now.
        head: Head,
    },
    /// There is none, or not for this question.
    Refused {
        /// 400, 403, 404, 409, 410 or 422.
        status: u16,
        /// The registry's own words, where they follow the specification.
        problem: Option<Problem>,
        /// What came, empty where it was too long to be a problem document.
        body: Bytes,
    },
}

/// What is downloaded rather than read as a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// A release's archive.
    Archive,
    /// The bytes of a trust attachment.
    TrustArtifact,
}

impl Payload {
    /// The name used in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::TrustArtifact => "trust-artifact",
        }
    }
}

/// A payload on its way. Dropping it gives the connection back.
pub struct Download {
    /// The announced length of `body`.
    pub length: Option<u64>,
    /// The bytes; ends with an error when they break off short of the announced length or stop coming.
    pub body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    /// What parts of it can be held against, where it came as it is.
    whole: Option<Whole>,
}

/// What comes when a part of a payload is asked for.
pub enum Partial {
    /// The part, of exactly the length that was asked for, or an error at its end. Whether the bytes are the
    /// right ones is for the asker to find out.
    Part {
        /// How long the registry says the whole is.
        of: Option<u64>,
        /// The bytes asked for and no others.
        download: Download,
    },
    /// The registry sends all there is, as it may.
    Whole(Download),
}

impl Upstream {
    /// The registry that `config` describes, asked through `transport`.
    #[must_use]
    pub fn new(
        config: &config::Upstream,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            config: config.clone(),
            registry: Arc::new(registry(config)),
            credential: config.token_env.as_ref().and_then(|held| bearer(held.token.expose_secret())),
            guard: Guard::new(config, Listeners::default()),
            gate: Gate::new(config, Arc::clone(&clock), Arc::clone(&observer)),
            bulk: Bulk::default(),
            transport,
            clock,
            observer,
            last_failure: Mutex::default(),
        }
    }

    /// The same, going on with what `before` has spent of its budget, where that asks the same registry.
    #[must_use]
    pub fn following(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.origin() == self.origin()) {
            self.gate.follow(&before.gate, self.config.requests_per_minute);
        }
        self
    }

    /// Tells the observer how the registry stands, as it does on every change but those that time alone makes.
    pub fn tell_standing(&self) {
        self.gate.tell();
    }

    /// Whether `config` describes just this, so that a reload can keep it.
    #[must_use]
    pub fn is_as(&self, config: &config::Upstream) -> bool {
        self.config == *config
    }

    /// How logs and metrics call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its base URL without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.registry.origin()
    }

    /// Whose its answers are.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether it answered when it was last asked often enough to tell.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.gate.is_up()
    }

    /// What the registry is left alone about, and for how much longer.
    pub fn pauses(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let pause = |concern: Concern| self.gate.pause(concern).map(|left| (concern.as_str(), left));
        Concern::ALL.into_iter().filter_map(pause)
    }

    /// Asks it again from now on, whatever it wished and however it failed. Answers with whether it was left alone.
    pub fn resume(&self) -> bool {
        self.gate.resume()
    }

    /// Asks for the document at `path` below the base URL, which may be at most `max` bytes long. A question with an
    /// `etag` that is answered as if that were what is wrong with it is put once more without.
    ///
    /// # Errors
    /// Why there is no definite answer.
    pub async fn document(
        &self,
        resource: Resource,
        path: &str,
        etag: Option<&str>,
        errand: Errand<'_>,
        max: u64,
    ) -> Result<Exchange, CouldNotAsk> {
        let url = self.at(path)?;
        let question = Question::document(resource, etag, errand);
        let answer = self.exchange_document(resource.as_str(), &url, &question, max).await;
        if !question.is_blamed(&answer) {
            return answer;
        }
        self.exchange_document(resource.as_str(), &url, &Question::document(resource, None, errand), max)
            .await
    }

    /// Opens the payload at `locator`, absolute or relative to the document at the path `from`. A body that
    /// breaks is the caller's to ask for again, [`retries`](Self::retries) times.
    ///
    /// # Errors
    /// Why there are no bytes.
    pub async fn download(
        &self,
        payload: Payload,
        locator: &str,
        from: &str,
        errand: Errand<'_>,
    ) -> Result<Download, CouldNotAsk> {
        let url = self.locate(locator, from)?;
        match self.exchange_download(payload, &url, &Question::download(payload, None, errand)).await? {
            Partial::Whole(download) => Ok(download),
            Partial::Part { .. } => Err(CouldNotAsk::Unexpected(206)),
        }
    }

    /// Opens the bytes `range` of the payload at `locator`, as [`download`](Self::download) does all of it.
    /// For an empty range nobody is asked.
    ///
    /// # Errors
    /// Why there are no bytes: [`Unexpected(206)`](CouldNotAsk::Unexpected) when another part came,
    /// `Unexpected(416)` for a range that the payload does not have.
    pub async fn download_range(
        &self,
        payload: Payload,
        locator: &str,
        from: &str,
        range: Range<u64>,
        errand: Errand<'_>,
    ) -> Result<Partial, CouldNotAsk> {
        let url = self.locate(locator, from)?;
        if range.is_empty() {
            let nothing = Download { length: Some(0), body: stream::empty().boxed(), whole: None };
            return Ok(Partial::Part { of: None, download: nothing });
        }
        self.exchange_download(payload, &url, &Question::download(payload, Some(range), errand)).await
    }

    /// Whether what it says of keeping a document counts.
    #[must_use]
    pub fn is_obeyed(&self) -> bool {
        match self.config.cache_control {
            config::CacheControl::Obey => true,
            config::CacheControl::Ignore => false,
        }
    }

    /// How closely writes are looked at; `None` where none are relayed.
    #[must_use]
    pub fn writes(&self) -> Option<config::WritesCheck> {
        self.config.writes.then_some(self.config.writes_check)
    }

    /// How often a failed read may be tried again.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.config.retries
    }

    /// How long it may be silent.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.config.read_timeout
    }

    /// The host that the payload at `locator` is asked of first, with the port where one is given.
    #[must_use]
    pub fn host_of(&self, locator: &str, from: &str) -> Option<String> {
        let url = self.locate(locator, from).ok()?;
        Some(url.authority().rsplit('@').next().unwrap_or_default().to_owned())
    }

    /// Waits before the retry that follows `attempt` earlier ones.
    pub async fn pause_before_retry(&self, attempt: u32) {
        tokio::time::sleep(backoff::before_retry(attempt, backoff::roll())).await;
    }

    fn locate(&self, locator: &str, from: &str) -> Result<Url, CouldNotAsk> {
        self.at(from)?.join(locator).map_err(|_| CouldNotAsk::BadLocator)
    }

    fn at(&self, path: &str) -> Result<Url, CouldNotAsk> {
        Url::parse(&format!("{}{path}", self.origin())).map_err(|_| CouldNotAsk::BadLocator)
    }
}

/// Whose the answers of the registry that `config` describes are.
#[must_use]
pub fn registry(config: &config::Upstream) -> Registry {
    Registry::new(&*config.name, config.url.as_str().trim_end_matches('/'))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
