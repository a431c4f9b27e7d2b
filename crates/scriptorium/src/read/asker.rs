//! The asker: asking a registry for a document, once for all requests that wait.
//!
//! A fetch is one flight: look at the shelf again, ask, check the answer on its own, put it on the shelf, and let the
//! caller react to it (`then`). The flight does all of this even if every client has left. The answer is not compared with
//! other documents here; the judge does that. Owns that order. Must not know how old an answer may be.

use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use super::content::refusal;
use super::definite::{RefusalWeight, weigh};
use super::document::Document;
use super::envelope::{Envelope, Meta};
use super::environment::{Environment, RoutedKey};
use super::failure::ReadFailure;
use super::freshness::Freshness;
use super::keeping::Keeping;
use super::outcome::Outcome;
use super::reading::Reading;
use super::shelf::DocumentShelf;
use super::waits::{Waiting, Waits};
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Problem, Registry};
use crate::flight::Flights;
use crate::upstream::{CachingHead, CouldNotAsk, FetchContext, RegistryAnswer, RegistryClient};

mod elsewhere;
mod told;

/// A fetch starts over when the flight it joined began too early, or when an invalidation came meanwhile; at most so often.
const ATTEMPTS: u32 = 3;

pub(super) struct Asker {
    env: Arc<Environment>,
    shelf: Arc<DocumentShelf>,
    flights: Arc<Flights<RoutedKey, Result<Fetched, ReadFailure>>>,
    waits: Waits,
}

/// What asking brought.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) document: Arc<Document>,
    /// The status of the registry's answer; 304 if it confirmed the held document.
    status: u16,
    /// Whether the flight of another request brought it.
    collapsed: bool,
}

impl Fetched {
    fn new(document: Arc<Document>, status: u16) -> Self {
        Self { document, status, collapsed: false }
    }

    /// `stale`: whether a stale document was held.
    pub(super) fn outcome(&self, stale: bool) -> Outcome {
        let Self { document, status, collapsed } = self;
        let stored = document.is_stored && *status != 304;
        Outcome::Forwarded { stale, status: *status, stored, collapsed: *collapsed }
    }
}

/// The condition under which a registry confirms that there is nothing: an absent document has no tag (RFC 9110, section 13.1.2). It
/// sends a 404 as before. Where there is something it sends a 304 without it, and is asked once more, plainly.
const ANYTHING: &str = "*";

/// Which answer is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedAnswer<'a> {
    pub(super) key: &'a DocumentKey,
    /// It was asked for after this question.
    pub(super) since: u64,
    pub(super) how: How,
}

/// How a document is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The shelf was looked at just now and holds nothing, so the store is not read again.
    Cold,
    /// The registry may confirm the held document (304).
    Conditionally,
    /// The held document is in doubt, so the registry must send a whole one: an edge that confirms an outdated document
    /// would confirm it again.
    Anew,
}

impl How {
    /// How to ask for a document of which `held` was found.
    pub(super) fn beside(held: Option<&Arc<Document>>) -> Self {
        if held.is_some() { Self::Conditionally } else { Self::Cold }
    }
}

impl WantedAnswer<'_> {
    fn is_met(&self, document: &Document) -> bool {
        let asked = match self.how {
            How::Cold | How::Conditionally => document.reading.asked,
            How::Anew => document.reading.read,
        };
        asked > self.since && !document.standing.is_outdated()
    }
}

impl Asker {
    pub(super) fn new(shelf: Arc<DocumentShelf>) -> Self {
        Self { env: Arc::clone(&shelf.env), shelf, flights: Arc::default(), waits: Waits::default() }
    }

    /// Bounds the requests that may wait for one registry to a share of `requests`.
    pub(super) fn share_places(&self, requests: usize) {
        self.waits.share(requests);
    }

    /// Counts a request that waits for `registry` as long as the value lives; background work is not counted.
    ///
    /// # Errors
    /// [`CouldNotAsk::Busy`] when too many wait already.
    pub(super) fn wait_for(
        &self,
        registry: &Arc<Registry>,
        context: FetchContext<'_>,
    ) -> Result<Option<Waiting>, CouldNotAsk> {
        self.waits.enter(registry, context)
    }

    /// Whether the answer of `registry` to `key` is being fetched.
    pub(super) fn is_asking(&self, registry: Arc<Registry>, key: &DocumentKey) -> bool {
        self.flights.is_open(&(registry, key.clone()))
    }

    /// The answer that is `wanted`. `then` runs on a new answer before any caller gets it.
    pub(super) async fn fetch<A, T>(
        self: &Arc<Self>,
        wanted: WantedAnswer<'_>,
        context: FetchContext<'_>,
        then: A,
    ) -> Result<Fetched, ReadFailure>
    where
        A: FnOnce(Arc<Document>) -> T + Clone + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        if context.held_only {
            return Err(ReadFailure::HeldOnly);
        }
        let upstream = self.env.upstream_of(wanted.key)?;
        let question = (Arc::clone(upstream.registry()), wanted.key.clone());
        let _waits = self.waits.enter(upstream.registry(), context)?;
        for attempt in 1.. {
            let flight = || self.flight(&upstream, wanted, context, then.clone());
            let joined = self.flights.join(&question, flight).await;
            let (fetched, collapsed) = joined.map_err(|_| ReadFailure::Lost)?;
            let fetched = match fetched {
                // Background work may be refused by the budget where a client would not be: the client asks itself.
                Err(failure) if collapsed && !context.is_background() && failure.is_over_budget() => {
                    if attempt < ATTEMPTS {
                        continue;
                    }
                    return Err(failure);
                }
                fetched => fetched?,
            };
            if wanted.is_met(&fetched.document) || attempt == ATTEMPTS {
                return Ok(Fetched { collapsed: collapsed || fetched.collapsed, ..fetched });
            }
        }
        Err(ReadFailure::Lost)
    }

    fn flight<A, T>(
        self: &Arc<Self>,
        upstream: &Arc<RegistryClient>,
        wanted: WantedAnswer<'_>,
        context: FetchContext<'_>,
        then: A,
    ) -> impl Future<Output = Result<Fetched, ReadFailure>> + Send + use<A, T>
    where
        A: FnOnce(Arc<Document>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let WantedAnswer { key, since, how } = wanted;
        let (asker, upstream) = (Arc::clone(self), Arc::clone(upstream));
        let (key, context) = (key.clone(), context.owned());
        async move {
            let wanted = WantedAnswer { key: &key, since, how };
            if let Some(document) = asker.fetched_meanwhile(&upstream, wanted) {
                let status = document.meta.status;
                return Ok(Fetched::new(document, status));
            }
            let fetched = asker.renew_once(&upstream, wanted, context.borrowed()).await?;
            then(Arc::clone(&fetched.document)).await;
            Ok(fetched)
        }
    }

    /// The answer of another flight that ended between the caller's look and this flight.
    fn fetched_meanwhile(
        &self,
        upstream: &RegistryClient,
        wanted: WantedAnswer<'_>,
    ) -> Option<Arc<Document>> {
        let held = self.shelf.remembered(wanted.key);
        let document = held.filter(|held| held.meta.is_of(upstream.registry()))?;
        let is_fresh = self.env.freshness(wanted.key, &document) == Freshness::Fresh;
        (wanted.is_met(&document) && is_fresh).then_some(document)
    }

    async fn renew(
        &self,
        upstream: &RegistryClient,
        wanted: WantedAnswer<'_>,
        context: FetchContext<'_>,
    ) -> Result<Fetched, ReadFailure> {
        let (key, max) = (wanted.key, self.env.live().max_document);
        let held = match wanted.how {
            How::Cold => self.shelf.remembered(key),
            How::Conditionally | How::Anew => self.shelf.held(key).await,
        };
        let held = held.filter(|held| held.meta.is_of(upstream.registry()));
        let known = held.as_ref().filter(|held| !held.is_refusal());
        let confirmable = known.filter(|known| wanted.how != How::Anew && !known.standing.is_outdated());
        let none_held = held.as_ref().is_none_or(|held| held.is_absence());
        let is_absent = none_held && context.was_absent && wanted.how != How::Anew;
        let etag = match confirmable {
            Some(known) => known.meta.etag.as_deref(),
            None => is_absent.then_some(ANYTHING),
        };
        // An answer is as old as its question: it does not contain what changed while it was on its way.
        let (asked, fetched_at) = (self.env.question(), self.env.now());
        let question = key.to_string();
        let mut exchange = upstream.document(key.resource(), &question, etag, context, max).await?;
        if is_absent && let RegistryAnswer::NotModified { .. } = exchange {
            // It appeared.
            exchange = upstream.document(key.resource(), &question, None, context, max).await?;
        }
        let asked = AnsweredQuestion {
            key,
            upstream,
            held: held.as_ref(),
            asked,
            landed: self.env.question(),
            fetched_at,
            context,
        };
        match exchange {
            RegistryAnswer::Found { body, head, share } => {
                let keeping = asked.keeping(&head, &body);
                let document = self.read(&asked, asked.meta(200, head, keeping), body, known).await?;
                drop(share);
                Ok(Fetched::new(self.shelf.keep(key, held.as_deref(), document).await, 200))
            }
            RegistryAnswer::NotModified { head } => {
                let document = asked.confirmed(known.ok_or(ReadFailure::Malformed)?, head);
                Ok(Fetched::new(self.shelf.keep(key, held.as_deref(), document).await, 304))
            }
            RegistryAnswer::Refused { status, problem, body } => {
                self.refused(&asked, status, problem, body).await
            }
        }
    }

    async fn refused(
        &self,
        asked: &AnsweredQuestion<'_>,
        status: u16,
        problem: Option<Problem>,
        body: Bytes,
    ) -> Result<Fetched, ReadFailure> {
        let held = asked.held.map(|held| &**held);
        let weight = weigh(held, status, problem.is_some());
        match weight {
            RefusalWeight::Definite | RefusalWeight::Passing => {}
            RefusalWeight::NoAnswer => return Err(CouldNotAsk::Unexpected(status).into()),
            RefusalWeight::Refused => {
                return Err(ReadFailure::Refused(Box::new(problem.unwrap_or_else(|| refusal(status)))));
            }
        }
        let meta = asked.meta(status, CachingHead::default(), Keeping::default());
        let document = self.read(asked, meta, body, None).await?;
        // A 404 that replaces nothing is kept in memory only: clients that invent names must not fill the disk.
        let replaces = held.is_some_and(|held| !held.is_absence());
        let document = match weight == RefusalWeight::Passing || (status == 404 && !replaces) {
            true => self.shelf.remember(asked.key, document),
            false => self.shelf.keep(asked.key, held, document).await,
        };
        Ok(Fetched::new(document, status))
    }

    /// Parses an answer; if it has the same body as the `known` document, that one is reused. A malformed answer is logged.
    async fn read(
        &self,
        asked: &AnsweredQuestion<'_>,
        meta: Meta,
        body: Bytes,
        known: Option<&Arc<Document>>,
    ) -> Result<Document, ReadFailure> {
        let (key, known, length) = (asked.key.clone(), known.cloned(), body.len());
        let says_the_same = move |meta: &Meta, body: &Bytes| {
            known.filter(|known| known.meta.at == meta.at && *known.content.body() == *body)
        };
        let read = move || match says_the_same(&meta, &body) {
            Some(known) => Ok(known.confirmed(meta)),
            None => Document::new(&key, Envelope { meta, body }),
        };
        match self.env.long_work.run(length, read).await? {
            Ok(document) => Ok(Document { reading: Reading::whole(asked.asked, asked.landed), ..document }),
            Err(malformed) => {
                self.env.metrics.integrity_failure("document");
                let (key, upstream, request_id) = (asked.key, asked.upstream.name(), asked.context.id);
                let resource = key.resource().as_str();
                error!(upstream, resource, key = %key, request_id, reason = %malformed, "a registry sent a malformed document");
                Err(ReadFailure::Malformed)
            }
        }
    }
}

/// A question that was put to a registry and answered.
struct AnsweredQuestion<'a> {
    key: &'a DocumentKey,
    upstream: &'a RegistryClient,
    held: Option<&'a Arc<Document>>,
    asked: u64,
    landed: u64,
    fetched_at: Timestamp,
    context: FetchContext<'a>,
}

impl AnsweredQuestion<'_> {
    fn meta(&self, status: u16, head: CachingHead, keeping: Keeping) -> Meta {
        Meta {
            key: self.key.to_string(),
            status,
            fetched_at: self.fetched_at,
            upstream_age: head.age,
            upstream: self.upstream.name().to_owned(),
            origin: self.upstream.origin().to_owned(),
            etag: head.etag,
            at: head.at,
            keeping,
            turn: None,
        }
    }

    fn keeping(&self, head: &CachingHead, body: &[u8]) -> Keeping {
        match self.upstream.is_obeyed() {
            true => Keeping::of(self.key, head.cache_control.as_deref(), body),
            false => Keeping::default(),
        }
    }

    /// The `known` document, confirmed by a 304. Headers that the 304 does not repeat keep their value.
    fn confirmed(&self, known: &Document, head: CachingHead) -> Document {
        let keeping = match head.cache_control.is_some() || !self.upstream.is_obeyed() {
            true => self.keeping(&head, known.content.body()),
            false => known.meta.keeping,
        };
        let head = CachingHead { etag: known.meta.etag.clone(), at: known.meta.at.clone(), ..head };
        let reading = known.reading.confirmed(self.asked, self.landed);
        Document { reading, ..known.confirmed(self.meta(200, head, keeping)) }
    }
}
