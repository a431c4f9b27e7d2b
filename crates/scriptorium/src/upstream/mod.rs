//! Asks registries. There is one [`RegistryClient`] for each; it gives a definite answer or the reason why there is none.
//!
//! A read passes the gate (`admitted`, and `gate` with `breaker` and `allowance`), follows redirects under the guard
//! (`exchange`, `guard`), and has its answer classified (`answer`, `part`). A failed read is retried where that may
//! help (`backoff`). A write (`write`) goes the same way, and its answer is returned unchanged. What a failure means
//! is one table (`failure`). Owns everything that is sent to a registry. Must not know what documents mean, nor what
//! is cached.

mod admitted;
mod allowance;
mod answer;
mod backoff;
mod breaker;
mod budget;
mod coding;
mod document_memory;
mod exchange;
mod failure;
mod fetch_context;
mod gate;
mod git;
mod git_hosts;
mod guard;
mod head;
mod http;
mod last_failure;
mod notes;
mod observer;
mod part;
mod pause_scope;
mod resume;
mod routing;
mod shared_standing;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod write;

use parking_lot::Mutex;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use secrecy::ExposeSecret;
use url::Url;

pub(crate) use self::admitted::RECALLS;
use self::failure::status_label;
pub(crate) use self::failure::{Again, CouldNotAsk, FailureSide, Health, RequestReach};
pub(crate) use self::fetch_context::{BackgroundWork, FetchContext, OwnedFetchContext, Urgency};
pub(crate) use self::git::{GitPlace, GitQuestion};
#[cfg(test)]
pub(crate) use self::guard::GuardRule;
pub(crate) use self::head::CachingHead;
pub(crate) use self::http::{HttpTransport, NoTransport};
pub(crate) use self::last_failure::LastFailure;
pub(crate) use self::notes::Notes;
pub(crate) use self::observer::{ExchangeFailure, GateState, UpstreamObserver};
pub(crate) use self::resume::RetryAllowance;
pub(crate) use self::routing::RegistryClients;
pub(crate) use self::transport::{Outgoing, OutgoingBody, RegistryResponse, Transport, TransportError};
pub(crate) use self::write::{HOP_BY_HOP, Relayed, Target, WriteBody, WriteRequest};
use crate::clock::Clock;
use crate::cluster::ClusterNode;
use crate::config::address::Listeners;
use crate::config::{self, Readers};
use crate::domain::{Problem, Registry, Resource};
pub(crate) use connect_failure::{ConnectFailure, ConnectTarget};

use self::allowance::BudgetLeft;
use self::document_memory::{DocumentMemory, DocumentSlot};
use self::exchange::ReadRequest;
use self::gate::Gate;
use self::git_hosts::GitHosts;
use self::guard::Guard;
use self::part::WholeFile;
use self::pause_scope::PauseScope;

/// One registry.
pub(crate) struct RegistryClient {
    config: config::Upstream,
    registry: Arc<Registry>,
    credential: Option<HeaderValue>,
    guard: Guard,
    git_guard: Guard,
    git_hosts: GitHosts,
    git_credential: Option<HeaderValue>,
    gate: Gate,
    document_memory: DocumentMemory,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn UpstreamObserver>,
    last_failure: Mutex<Option<LastFailure>>,
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClient").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// A registry's definite answer about a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RegistryAnswer {
    /// The document.
    Found {
        body: Bytes,
        /// What the registry says about caching it.
        head: CachingHead,
        /// The memory that it takes until it was read.
        share: DocumentSlot,
    },
    /// The document with the entity tag that was sent is still the current one.
    NotModified {
        /// What the registry says about caching it now.
        head: CachingHead,
    },
    /// The registry refuses.
    Refused {
        /// 400, 403, 404, 409, 410 or 422.
        status: u16,
        /// The registry's problem document, if it follows the specification.
        problem: Option<Problem>,
        /// The body, empty where it was too long for a problem document.
        body: Bytes,
    },
}

/// The kinds of files that are downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Payload {
    /// A release's archive.
    Archive,
    /// The bytes of a trust attachment.
    TrustArtifact,
}

impl Payload {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::TrustArtifact => "trust-artifact",
        }
    }
}

/// A download under way. Dropping it releases the connection.
pub(crate) struct Download {
    /// The announced length of `body`.
    pub(crate) length: Option<u64>,
    /// The bytes. An error ends them where they break off short of the announced length or stop coming.
    pub(crate) body: BoxStream<'static, Result<Bytes, CouldNotAsk>>,
    /// What a resumption is compared with, if the file came without a content coding.
    whole: Option<WholeFile>,
}

/// The answer to a request for a part of a file.
pub(crate) enum PartialDownload {
    /// The part, of exactly the requested length, or with an error at its end. The caller verifies the bytes.
    Part {
        /// The length of the whole file, as the registry says.
        of: Option<u64>,
        download: Download,
    },
    /// The whole file: a registry may ignore the range.
    Whole(Download),
}

impl RegistryClient {
    /// The registry that `config` describes, asked through `transport`, by all proxies of a `cluster` together.
    pub(crate) fn new(
        config: &config::Upstream,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn UpstreamObserver>,
        cluster: Option<&Arc<ClusterNode>>,
    ) -> Self {
        Self {
            config: config.clone(),
            registry: Arc::new(registry(config)),
            credential: config.token_env.as_ref().and_then(|held| bearer(held.token.expose_secret())),
            guard: Guard::new(config, Listeners::default()),
            git_guard: Guard::of_repositories(config),
            git_hosts: GitHosts::new(Arc::clone(&clock)),
            git_credential: config
                .git_token_env
                .as_ref()
                .and_then(|held| git::git_credential(held.token.expose_secret())),
            gate: Gate::new(config, Arc::clone(&clock), Arc::clone(&observer), cluster),
            document_memory: DocumentMemory::default(),
            transport,
            clock,
            observer,
            last_failure: Mutex::default(),
        }
    }

    /// The same, continuing the budget of `before` if that asks the same registry.
    pub(crate) fn following(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.origin() == self.origin()) {
            self.gate.follow(&before.gate, &self.config);
        }
        self
    }

    /// Tells the observer the current state. On its own the observer hears of changes, except those that only time
    /// makes.
    pub(crate) fn tell_standing(&self) {
        self.gate.tell();
    }

    /// Whether `config` is unchanged, so that a reload can keep this.
    pub(crate) fn is_as(&self, config: &config::Upstream) -> bool {
        self.config == *config
    }

    /// Its name in the configuration, logs and metrics.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Who may read what it has.
    pub(crate) fn readers(&self) -> &Readers {
        &self.config.readers
    }

    /// Its base URL without a slash at the end.
    pub(crate) fn origin(&self) -> &str {
        self.registry.origin()
    }

    /// The registry that its answers belong to.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether the circuit breaker is closed.
    pub(crate) fn is_up(&self) -> bool {
        self.gate.is_up()
    }

    /// Which concerns are paused, and for how much longer.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let pause = |scope: PauseScope| self.gate.pause(scope).map(|left| (scope.as_str(), left));
        PauseScope::ALL.into_iter().filter_map(pause)
    }

    /// What is left of its budget, if it has one.
    pub(crate) fn budget_left(&self) -> Option<BudgetLeft> {
        self.gate.budget_left()
    }

    /// Ends every pause. Answers with whether there was one.
    pub(crate) fn resume(&self) -> bool {
        self.gate.resume()
    }

    /// Asks for the document at `path` below the base URL, at most `max` bytes. A request with an `etag` is repeated
    /// without it where the answer may be due to the condition.
    ///
    /// # Errors
    /// Why there is no definite answer.
    pub(crate) async fn document(
        &self,
        resource: Resource,
        path: &str,
        etag: Option<&str>,
        context: FetchContext<'_>,
        max: u64,
    ) -> Result<RegistryAnswer, CouldNotAsk> {
        let url = self.at(path)?;
        let question = ReadRequest::document(resource, etag, context);
        let answer = self.exchange_document(resource.as_str(), &url, &question, max).await;
        if !question.is_blamed(&answer) {
            return answer;
        }
        self.exchange_document(resource.as_str(), &url, &ReadRequest::document(resource, None, context), max)
            .await
    }

    /// Opens the file at `locator`, absolute or relative to the document at the path `from`. Where the body breaks
    /// off, the caller asks again, [`retries`](Self::retries) times.
    ///
    /// # Errors
    /// Why there are no bytes.
    pub(crate) async fn download(
        &self,
        payload: Payload,
        locator: &str,
        from: &str,
        context: FetchContext<'_>,
    ) -> Result<Download, CouldNotAsk> {
        let url = self.locate(locator, from)?;
        match self.exchange_download(payload, &url, &ReadRequest::download(payload, None, context)).await? {
            PartialDownload::Whole(download) => Ok(download),
            PartialDownload::Part { .. } => Err(CouldNotAsk::Unexpected(206)),
        }
    }

    /// Opens the bytes `range` of the file at `locator`, like [`download`](Self::download). An empty range needs no
    /// request.
    ///
    /// # Errors
    /// Why there are no bytes: [`Unexpected(206)`](CouldNotAsk::Unexpected) when another part came, `Unexpected(416)`
    /// for a range that the file does not have.
    pub(crate) async fn download_range(
        &self,
        payload: Payload,
        locator: &str,
        from: &str,
        range: Range<u64>,
        context: FetchContext<'_>,
    ) -> Result<PartialDownload, CouldNotAsk> {
        let url = self.locate(locator, from)?;
        if range.is_empty() {
            let nothing = Download { length: Some(0), body: stream::empty().boxed(), whole: None };
            return Ok(PartialDownload::Part { of: None, download: nothing });
        }
        self.exchange_download(payload, &url, &ReadRequest::download(payload, Some(range), context)).await
    }

    /// Whether its `Cache-Control` is obeyed.
    pub(crate) fn is_obeyed(&self) -> bool {
        match self.config.cache_control {
            config::CacheControl::Obey => true,
            config::CacheControl::Ignore => false,
        }
    }

    /// Whether clients see releases that Git delivers as archives of this proxy.
    pub(crate) fn shows_git_as_cdn(&self) -> bool {
        match self.config.git_as {
            config::GitForm::Cdn => true,
            config::GitForm::Git => false,
        }
    }

    /// How strictly writes are checked; `None` where writes are not relayed.
    pub(crate) fn writes(&self) -> Option<config::WritesCheck> {
        self.config.writes.then_some(self.config.writes_check)
    }

    /// How often a failed read is retried.
    pub(crate) fn retries(&self) -> u32 {
        self.config.retries
    }

    /// Most requests to it at once.
    pub(crate) fn max_concurrent(&self) -> usize {
        self.config.max_concurrent
    }

    /// Its request budget; 0 is none.
    pub(crate) fn requests_per_minute(&self) -> u32 {
        self.config.requests_per_minute
    }

    /// Its `read_timeout`.
    pub(crate) fn patience(&self) -> Duration {
        self.config.read_timeout
    }

    /// The host that the file at `locator` is requested from first, with the port where one is given.
    pub(crate) fn host_of(&self, locator: &str, from: &str) -> Option<String> {
        let url = self.locate(locator, from).ok()?;
        Some(guard::host_and_port(&url).to_owned())
    }

    /// Waits before the retry that follows `attempt` earlier ones.
    pub(crate) async fn pause_before_retry(&self, attempt: u32) {
        tokio::time::sleep(backoff::before_retry(attempt, backoff::roll())).await;
    }

    fn locate(&self, locator: &str, from: &str) -> Result<Url, CouldNotAsk> {
        self.at(from)?.join(locator).map_err(|_| CouldNotAsk::BadLocator)
    }

    fn at(&self, path: &str) -> Result<Url, CouldNotAsk> {
        Url::parse(&format!("{}{path}", self.origin())).map_err(|_| CouldNotAsk::BadLocator)
    }
}

/// The registry that `config` describes.
pub(crate) fn registry(config: &config::Upstream) -> Registry {
    Registry::new(&*config.name, config.url.as_str().trim_end_matches('/'))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
