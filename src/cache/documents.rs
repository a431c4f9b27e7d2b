//! Documents: from memory, from the store, or from an upstream, in that order.
//!
//! Owns the decision what to do with a stored answer and the fill that renews it. The order within a fill:
//! look again, ask, check the answer on its own, admit it against the pin, remember, store. Must not know
//! HTTP responses, nor how an upstream is asked.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tracing::{error, warn};

use super::document::{Document, refusal};
use super::envelope::{Envelope, Meta};
use super::failure::Failure;
use super::flight::Flights;
use super::freshness::{Freshness, Policy, judge, seconds_left};
use super::outcome::{Outcome, Stale};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::consistency::{PinError, Pins};
use crate::domain::check::Violation;
use crate::domain::{DocumentKey, Integrity, Purl, Sha256};
use crate::store::{StorageKey, Store};
use crate::telemetry::Metrics;
use crate::upstream::{Exchange, Upstream, Upstreams};

/// Stored search results share this many places: their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;

/// What a reload replaces.
#[derive(Debug)]
pub struct Live {
    /// TTLs and windows.
    pub policy: config::Cache,
    /// Largest document accepted, in bytes.
    pub max_document: u64,
    /// Whom to ask.
    pub upstreams: Upstreams,
}

/// An answer and what is honest to say about it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answer.
    pub document: Arc<Document>,
    /// How it came about.
    pub outcome: Outcome,
    /// How old it is, in seconds.
    pub age: u64,
    /// Seconds it is still fresh; negative when stale.
    pub ttl: i64,
}

/// What a fill brought.
#[derive(Debug, Clone)]
struct Filled {
    document: Arc<Document>,
    status: u16,
    stored: bool,
}

/// The documents of every upstream.
pub struct Documents {
    memory: moka::sync::Cache<DocumentKey, Arc<Document>>,
    store: Arc<dyn Store>,
    pins: Pins,
    flights: Arc<Flights<DocumentKey, Result<Filled, Failure>>>,
    live: ArcSwap<Live>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Documents {
    /// Documents kept in `memory` bytes of memory over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, live: Live, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let memory = moka::sync::Cache::builder()
            .max_capacity(live.policy.memory)
            .weigher(|_, document: &Arc<Document>| document.weight())
            .build();
        Self {
            memory,
            pins: Pins::new(Arc::clone(&store)),
            store,
            flights: Arc::default(),
            live: ArcSwap::from_pointee(live),
            clock,
            metrics,
        }
    }

    /// The policy and upstreams in force.
    #[must_use]
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.live.load()
    }

    /// Replaces the policy and upstreams; what is cached stays.
    pub fn reload(&self, live: Live) {
        self.live.store(Arc::new(live));
    }

    /// A fresh answer from memory, if there is one: the whole of the hit path.
    #[must_use]
    pub fn fresh(self: &Arc<Self>, key: &DocumentKey, request_id: &str) -> Option<Answer> {
        let document = self.memory.get(key)?;
        let policy = self.policy(key, &document);
        if judge(document.meta.fetched_at, self.now(), &policy) != Freshness::Fresh
            || self.is_overtaken(key, &document)
        {
            return None;
        }
        self.watch_index(key, &document, request_id);
        Some(self.hit(document, &policy, None))
    }

    /// The answer to `key`, asking an upstream where the freshness rules say so.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer that may be given.
    pub async fn get(self: &Arc<Self>, key: &DocumentKey, request_id: &str) -> Result<Answer, Failure> {
        let stored = self.held(key).await;
        let Some(document) = stored else {
            if self.live().policy.offline {
                return Err(Failure::Offline);
            }
            return self.ask(key, None, request_id).await;
        };
        let policy = self.policy(key, &document);
        let freshness = match judge(document.meta.fetched_at, self.now(), &policy) {
            Freshness::Fresh | Freshness::Revalidate if self.is_overtaken(key, &document) => {
                Freshness::Ask { may_fall_back: true }
            }
            freshness => freshness,
        };
        match freshness {
            Freshness::Fresh => {
                self.watch_index(key, &document, request_id);
                Ok(self.hit(document, &policy, None))
            }
            Freshness::Revalidate => {
                self.refresh(key, Some(&document), request_id);
                Ok(self.hit(document, &policy, Some(Stale::WhileRevalidate)))
            }
            Freshness::Offline if is_absence(&document) => Err(Failure::Offline),
            Freshness::Offline => Ok(self.hit(document, &policy, Some(Stale::Offline))),
            Freshness::Ask { may_fall_back } => match self.ask(key, Some(&document), request_id).await {
                // An old "not found" is never passed off as what the registry would say now.
                Err(failure) if failure.lets_stale_live() && may_fall_back && !is_absence(&document) => {
                    Ok(self.hit(document, &policy, Some(Stale::IfError)))
                }
                answer => answer,
            },
        }
    }

    async fn ask(
        self: &Arc<Self>,
        key: &DocumentKey,
        stored: Option<&Arc<Document>>,
        request_id: &str,
    ) -> Result<Answer, Failure> {
        let joined = self.flights.join(key, || self.fill(key, stored, request_id)).await;
        let (filled, collapsed) = joined.map_err(|_| Failure::Lost)?;
        let Filled { document, status, stored: kept } = filled?;
        let policy = self.policy(key, &document);
        let outcome = Outcome::Forwarded { stale: stored.is_some(), status, stored: kept, collapsed };
        Ok(Answer { outcome, ..self.hit(document, &policy, None) })
    }

    /// Starts a refresh of `key` behind the answer, unless one is under way.
    pub(super) fn refresh(
        self: &Arc<Self>,
        key: &DocumentKey,
        seen: Option<&Arc<Document>>,
        request_id: &str,
    ) {
        self.flights.start(key, || self.fill(key, seen, request_id));
    }

    /// What memory holds, however old.
    pub(super) fn remembered(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        self.memory.get(key)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn hit(&self, document: Arc<Document>, policy: &Policy, stale: Option<Stale>) -> Answer {
        let (now, fetched_at) = (self.now(), document.meta.fetched_at);
        let ttl = seconds_left(fetched_at, now, policy.ttl);
        let age = now.since(fetched_at).unwrap_or_default().as_secs() + document.meta.upstream_age;
        let outcome = match stale {
            None if document.is_refusal() => Outcome::Negative,
            stale => Outcome::Hit { ttl, stale },
        };
        Answer { document, outcome, age, ttl }
    }

    pub(super) fn policy(&self, key: &DocumentKey, document: &Document) -> Policy {
        Policy::of(&self.live().policy, key.resource(), document.is_refusal())
    }

    /// What memory or the store holds. A stored document that cannot be used is a miss.
    async fn held(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        if let Some(document) = self.memory.get(key) {
            return Some(document);
        }
        let place = place(key);
        let stored = match self.store.read(&place).await {
            Ok(stored) => stored?,
            Err(error) => {
                error!(%error, key = %key, "cannot read a stored document");
                return None;
            }
        };
        let document = match Envelope::decode(&stored) {
            Ok(envelope) if envelope.meta.key != key.to_string() => return None,
            Ok(envelope) => Document::new(key, envelope).map_err(|violation| violation.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match document {
            Ok(document) => Some(self.remember(key, document)),
            Err(reason) => {
                warn!(reason, key = %key, "a stored document cannot be used and is set aside");
                self.metrics.integrity_failure("stored-document");
                if let Err(error) = self.store.set_aside(&place, &reason).await {
                    error!(%error, "cannot set a damaged document aside");
                }
                None
            }
        }
    }

    fn remember(&self, key: &DocumentKey, document: Document) -> Arc<Document> {
        let document = Arc::new(document);
        self.memory.insert(key.clone(), Arc::clone(&document));
        document
    }

    /// The task that renews `key`. `seen` is what its starter found held.
    fn fill(
        self: &Arc<Self>,
        key: &DocumentKey,
        seen: Option<&Arc<Document>>,
        request_id: &str,
    ) -> impl Future<Output = Result<Filled, Failure>> + Send + 'static {
        let (documents, key, request_id) = (Arc::clone(self), key.clone(), request_id.to_owned());
        let seen = seen.cloned();
        async move {
            if let Some(document) = documents.filled_meanwhile(&key, seen.as_ref()) {
                let status = document.meta.status;
                return Ok(Filled { document, status, stored: true });
            }
            let filled = documents.renew(&key, seen, &request_id).await;
            match &filled {
                Ok(filled) => documents.tell_releases(&key, &filled.document, &request_id),
                Err(failure) => warn!(key = %key, request_id, reason = %failure, "no usable answer"),
            }
            filled
        }
    }

    /// What another fill brought between the starter's look and this fill's turn.
    fn filled_meanwhile(&self, key: &DocumentKey, seen: Option<&Arc<Document>>) -> Option<Arc<Document>> {
        let document = self.memory.get(key)?;
        let newer = seen.is_none_or(|seen| !Arc::ptr_eq(seen, &document));
        let policy = self.policy(key, &document);
        let fresh = judge(document.meta.fetched_at, self.now(), &policy) == Freshness::Fresh;
        (newer && fresh).then_some(document)
    }

    async fn renew(
        &self,
        key: &DocumentKey,
        seen: Option<Arc<Document>>,
        request_id: &str,
    ) -> Result<Filled, Failure> {
        let (upstream, max) = {
            let live = self.live();
            (choose(&live.upstreams, key)?, live.max_document)
        };
        let known = seen.as_ref().filter(|seen| seen.meta.upstream == upstream.name() && !seen.is_refusal());
        let etag = known.and_then(|known| known.meta.etag.as_deref());
        let path = key.to_string();
        let exchange = upstream.document(key.resource(), &path, etag, request_id, max).await?;
        let meta = |status, etag, upstream_age| Meta {
            key: path.clone(),
            status,
            fetched_at: self.now(),
            upstream_age,
            upstream: upstream.name().to_owned(),
            origin: upstream.origin().to_owned(),
            etag,
        };
        match exchange {
            Exchange::Found { body, etag, age } => {
                let document = self.admit(key, Envelope { meta: meta(200, etag, age), body }).await?;
                Ok(self.keep(key, document, 200).await)
            }
            Exchange::NotModified => {
                let known = known.ok_or(Failure::Malformed)?;
                let document = known.confirmed(meta(200, known.meta.etag.clone(), 0));
                Ok(Filled { stored: false, ..self.keep(key, document, 304).await })
            }
            Exchange::Refused { status: status @ (403 | 404 | 409), body, .. } => {
                let envelope = Envelope { meta: meta(status, None, 0), body };
                let document = Document::new(key, envelope).map_err(|violation| refuse(&violation))?;
                // Absences that replace nothing stay in memory: inventing names must not fill the disk.
                if status == 404 && seen.is_none() {
                    let document = self.remember(key, document);
                    return Ok(Filled { document, status, stored: true });
                }
                Ok(self.keep(key, document, status).await)
            }
            Exchange::Refused { status, problem, .. } => {
                Err(Failure::Refused(Box::new(problem.unwrap_or_else(|| refusal(status, &[])))))
            }
        }
    }

    /// Checks a found document on its own and, for exact metadata, against the pin.
    async fn admit(&self, key: &DocumentKey, envelope: Envelope) -> Result<Document, Failure> {
        let document = Document::new(key, envelope).map_err(|violation| {
            self.metrics.integrity_failure("document");
            warn!(key = %key, %violation, "an upstream document is not believed");
            refuse(&violation)
        })?;
        if let Some(integrity) = document.integrity() {
            self.compare_with_pin(key, integrity).await?;
        }
        Ok(document)
    }

    /// Exact metadata pins the first integrity seen; a trust subject must name it. A pin that cannot be read
    /// or written costs that memory, not the answer.
    async fn compare_with_pin(&self, key: &DocumentKey, integrity: Integrity) -> Result<(), Failure> {
        let compared = match key {
            DocumentKey::Release(name, version) => {
                self.pins.admit(&Purl::new(name, version), integrity).await
            }
            DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                self.pins.agree(&Purl::new(name, version), integrity).await.map(drop)
            }
            _ => Ok(()),
        };
        match compared {
            Ok(()) => Ok(()),
            Err(PinError::Changed { pinned, found }) => {
                self.metrics.integrity_failure("pin");
                error!(key = %key, %pinned, %found, kind = "integrity-changed", "divergence");
                Err(Failure::IntegrityChanged { pinned, found })
            }
            Err(PinError::Store(error)) => {
                error!(%error, key = %key, "cannot keep or read a pin");
                Ok(())
            }
        }
    }

    /// Remembers and stores an answer. A store that fails costs persistence, not the answer.
    async fn keep(&self, key: &DocumentKey, document: Document, status: u16) -> Filled {
        let stored = document.envelope().encode();
        let document = self.remember(key, document);
        if let Err(error) = self.store.write(&place(key), stored).await {
            error!(%error, key = %key, "cannot store a document");
        }
        Filled { document, status, stored: true }
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("held", &self.memory.entry_count()).finish_non_exhaustive()
    }
}

fn choose(upstreams: &Upstreams, key: &DocumentKey) -> Result<Arc<Upstream>, Failure> {
    match key.volume() {
        Some(name) => upstreams.for_volume(name).ok_or_else(|| Failure::NoUpstream(name.clone())).cloned(),
        None => upstreams.general().cloned().ok_or(Failure::Malformed),
    }
}

fn place(key: &DocumentKey) -> StorageKey {
    let name = Sha256::of(key.to_string().as_bytes());
    match key {
        DocumentKey::Search(_) => {
            let [high, low, ..] = *name.as_bytes();
            StorageKey::SearchSlot(u16::from_be_bytes([high, low]) % SEARCH_SLOTS)
        }
        _ => StorageKey::Document { resource: key.resource(), name },
    }
}

/// A remembered 404: true when it was said, and no substitute for asking.
fn is_absence(document: &Document) -> bool {
    document.meta.status == 404
}

fn refuse(violation: &Violation) -> Failure {
    match violation {
        Violation::Malformed(_) => Failure::Malformed,
        Violation::OtherIdentity { .. } => Failure::Inconsistent(violation.to_string()),
    }
}

#[cfg(test)]
mod tests;
