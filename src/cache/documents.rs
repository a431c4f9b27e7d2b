//! Documents: from memory, from the store, or from an upstream, in that order.
//!
//! Owns the decision what to do with a stored answer. Must not know HTTP responses, nor how an answer is
//! renewed; that is `fill`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tracing::{error, warn};

use super::document::Document;
use super::envelope::Envelope;
use super::failure::Failure;
use super::fill::Filled;
use super::flight::Flights;
use super::freshness::{Freshness, Policy, judge, seconds_left};
use super::outcome::{Outcome, Stale};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::consistency::Pins;
use crate::domain::{DocumentKey, Sha256};
use crate::store::{StorageKey, Store};
use crate::telemetry::Metrics;
use crate::upstream::Upstreams;

/// Stored search results share this many places: their number does not grow with the questions asked.
const SEARCH_SLOTS: u16 = 1024;
/// So do advisories: a registry may answer "none" for any volume that a client invents.
const ADVISORY_SLOTS: u16 = 16 * 1024;

/// How long a client waits for an upstream when something stale could be served instead. The fill goes on
/// behind the answer, so a slow registry still renews what is held.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one fill may take in all: a registry that trickles bytes must not hold its waiters for ever.
const DEADLINE: Duration = Duration::from_secs(120);

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

/// The documents of every upstream.
pub struct Documents {
    pub(super) memory: moka::sync::Cache<DocumentKey, Arc<Document>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pins: Pins,
    flights: Arc<Flights<DocumentKey, Result<Filled, Failure>>>,
    live: ArcSwap<Live>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    pub(super) deadline: Duration,
    pub(super) metrics: Arc<Metrics>,
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
            patience: PATIENCE,
            deadline: DEADLINE,
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
    fn fresh(self: &Arc<Self>, key: &DocumentKey, request_id: &str) -> Option<Answer> {
        let document = self.memory.get(key)?;
        if self.freshness(key, &document) != Freshness::Fresh || self.is_overtaken(key, &document) {
            return None;
        }
        self.watch_index(key, &document, request_id);
        let policy = self.policy(key, &document);
        Some(self.hit(document, &policy, None))
    }

    /// The answer to `key`, asking an upstream where the freshness rules say so.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer that may be given.
    pub async fn get(self: &Arc<Self>, key: &DocumentKey, request_id: &str) -> Result<Answer, Failure> {
        if let Some(answer) = self.fresh(key, request_id) {
            return Ok(answer);
        }
        let Some(document) = self.held(key).await else {
            if self.live().policy.offline {
                return Err(Failure::Offline);
            }
            return self.ask(key, None, request_id).await;
        };
        let policy = self.policy(key, &document);
        let freshness = self.freshness(key, &document);
        self.recall_index(key).await;
        if self.is_overtaken(key, &document) {
            // Neither of two answers that conflict is served: the release is confirmed, or it is not.
            return match freshness {
                Freshness::Offline => Err(Failure::Offline),
                _ => self.ask(key, Some(&document), request_id).await,
            };
        }
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
            // An old "not found" is never passed off as what the registry would say now.
            Freshness::Ask { may_fall_back } if may_fall_back && !is_absence(&document) => {
                let asked = self.ask(key, Some(&document), request_id);
                match tokio::time::timeout(self.patience, asked).await {
                    Ok(Err(failure)) if failure.lets_stale_live() => {}
                    Ok(answer) => return answer,
                    Err(_) => {}
                }
                Ok(self.hit(document, &policy, Some(Stale::IfError)))
            }
            Freshness::Ask { .. } => self.ask(key, Some(&document), request_id).await,
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

    /// How old the answer to `key` may be held to be, now.
    pub(super) fn freshness(&self, key: &DocumentKey, document: &Document) -> Freshness {
        judge(document.meta.fetched_at, self.now(), &self.policy(key, document))
    }

    fn policy(&self, key: &DocumentKey, document: &Document) -> Policy {
        Policy::of(&self.live().policy, key.resource(), document.is_refusal())
    }

    /// What memory or the store holds. A stored document that cannot be used is a miss.
    pub(super) async fn held(&self, key: &DocumentKey) -> Option<Arc<Document>> {
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
            Ok(envelope) => Document::new(key, envelope).map_err(|malformed| malformed.to_string()),
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

    pub(super) fn remember(&self, key: &DocumentKey, document: Document) -> Arc<Document> {
        let document = Arc::new(document);
        self.memory.insert(key.clone(), Arc::clone(&document));
        document
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("held", &self.memory.entry_count()).finish_non_exhaustive()
    }
}

/// Where the answer to `key` is stored: what belongs to a release beside its volume's other releases, what
/// clients can invent in one of a bounded number of places.
pub(super) fn place(key: &DocumentKey) -> StorageKey {
    let (resource, name) = (key.resource(), Sha256::of(key.to_string().as_bytes()));
    let slot = |slots| {
        let [high, low, ..] = *name.as_bytes();
        StorageKey::Slot { resource, slot: u16::from_be_bytes([high, low]) % slots }
    };
    match key {
        DocumentKey::Search(_) => slot(SEARCH_SLOTS),
        DocumentKey::Advisories(_) | DocumentKey::Advisory(_) => slot(ADVISORY_SLOTS),
        DocumentKey::Release(volume, _)
        | DocumentKey::TrustSummary(volume, _)
        | DocumentKey::TrustDetail(volume, _) => {
            StorageKey::OfRelease { resource, volume: Sha256::of(volume.as_str().as_bytes()), name }
        }
        DocumentKey::Index(_) | DocumentKey::Capabilities => StorageKey::Document { resource, name },
    }
}

/// A remembered 404: true when it was said, and no substitute for asking.
pub(super) fn is_absence(document: &Document) -> bool {
    document.meta.status == 404
}

#[cfg(test)]
mod tests;
