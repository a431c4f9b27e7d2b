//! Documents: from memory, from the store, or from an upstream, in that order.
//!
//! Owns the decision what to do with a stored answer, and that no answer is given before it was settled: held
//! against what else is known of its release. Must not know HTTP responses, how an answer is renewed (`fill`),
//! nor how one is settled (`settle`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use ahash::RandomState;
use arc_swap::{ArcSwap, Guard};
use tokio::time::timeout_at;
use tracing::error;

pub use super::answer::Answer;
use super::document::Document;
use super::failure::Failure;
use super::fill::Filled;
use super::flight::Flights;
use super::freshness::{Freshness, Policy, judge};
use super::invalidation::Invalidations;
use super::outcome::{Outcome, Stale};
use super::parsing::Parsing;
use super::readings::Readings;
use super::rendition::Coders;
use super::settle::Settled;
use super::several::Several;
use super::shown::{Blocks, Stocks};
use super::waits::Waits;
use super::withheld::{self, Remains};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, OnDivergence};
use crate::consistency::{Divergences, History, Pins, Refusals};
use crate::domain::{DocumentKey, Registry};
use crate::store::{Damage, Store};
use crate::telemetry::Metrics;
use crate::upstream::{Errand, Upstreams};

/// How long a client waits for upstreams when something stale could be served instead: once, however many documents
/// are asked for on the way. The fill goes on behind the answer, so a slow registry still renews what is held.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often one answer is learnt anew because its name was routed elsewhere meanwhile.
const ROUTINGS: u32 = 3;

/// What a reload replaces.
#[derive(Debug)]
pub struct Live {
    /// TTLs and windows.
    pub policy: config::Cache,
    /// What an index shows of a release that diverges.
    pub on_divergence: OnDivergence,
    /// Largest document accepted, in bytes.
    pub max_document: u64,
    /// Whom to ask.
    pub upstreams: Upstreams,
}

/// What is asked for, and of whom: no two registries share a fetch.
pub(super) type Question = (Arc<Registry>, DocumentKey);

/// The documents of every upstream.
pub struct Documents {
    pub(super) memory: moka::sync::Cache<DocumentKey, Arc<Document>, RandomState>,
    pub(super) store: Arc<dyn Store>,
    pub(super) pins: Pins,
    pub(super) history: History,
    /// Held by whoever makes out a damaged pin anew.
    pub(super) mending: tokio::sync::Mutex<()>,
    pub(super) divergences: Divergences,
    pub(super) invalidations: Invalidations,
    pub(super) blocks: Blocks,
    pub(super) refusals: Refusals,
    pub(super) stocks: Stocks,
    pub(super) fetches: Arc<Flights<Question, Result<Filled, Failure>>>,
    pub(super) waits: Waits,
    /// By the question too, where answers are not kept: one says nothing of another.
    pub(super) settlements: Arc<Flights<(Question, u64), Result<Settled, Failure>>>,
    /// What stays of answers that are not kept.
    pub(super) unkept: moka::sync::Cache<Question, Remains, RandomState>,
    pub(super) live: ArcSwap<Live>,
    /// Held while a document is put into memory, and alone while routes change.
    pub(super) routes: RwLock<()>,
    clock: Arc<dyn Clock>,
    questions: AtomicU64,
    pub(super) coders: Arc<Coders>,
    pub(super) patience: Duration,
    pub(super) several: Several,
    pub(super) parsing: Parsing,
    pub(super) readings: Readings,
    /// Held by whoever reads a long document back from the store.
    pub(super) recollecting: tokio::sync::Mutex<()>,
    pub(super) metrics: Arc<Metrics>,
}

impl Documents {
    /// Documents kept in `memory` bytes of memory over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, live: Live, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let several = Several::beside(live.policy.memory);
        let memory = moka::sync::Cache::builder()
            .max_capacity(live.policy.memory)
            .weigher(|_, document: &Arc<Document>| document.weight())
            .build_with_hasher(RandomState::new());
        Self {
            memory,
            pins: Pins::new(Arc::clone(&store)),
            mending: tokio::sync::Mutex::default(),
            history: History::new(Arc::clone(&store)),
            divergences: Divergences::new(Arc::clone(&store)),
            invalidations: Invalidations::new(Arc::clone(&store)),
            blocks: Blocks::default(),
            refusals: Refusals::new(Arc::clone(&store)),
            stocks: Stocks::default(),
            store,
            fetches: Arc::default(),
            waits: Waits::default(),
            settlements: Arc::default(),
            unkept: moka::sync::Cache::builder()
                .max_capacity(withheld::ROOM)
                .weigher(|_, remains: &Remains| remains.weight())
                .build_with_hasher(RandomState::new()),
            live: ArcSwap::from_pointee(live),
            routes: RwLock::default(),
            clock,
            questions: AtomicU64::new(0),
            coders: Arc::default(),
            patience: PATIENCE,
            several,
            parsing: Parsing::default(),
            readings: Readings::default(),
            recollecting: tokio::sync::Mutex::default(),
            metrics,
        }
    }

    /// The policy and upstreams in force.
    #[must_use]
    pub fn live(&self) -> Guard<Arc<Live>> {
        self.live.load()
    }

    /// Lets no registry keep more than a share of so many `requests` waiting.
    pub fn share_places(&self, requests: usize) {
        self.waits.share(requests);
    }

    /// Reads what an earlier process left to be known before anything stored is believed, once. Without it
    /// stored answers are compared anew and lose only how long they have been in doubt.
    pub async fn recall(&self) {
        let recalled = async {
            let invalidations = self.invalidations.load(self.now(), self.damaged()).await;
            let refusals = self.refusals.load(self.damaged()).await;
            invalidations.and(refusals).and(self.divergences.load(self.damaged()).await)
        };
        match recalled.await {
            Ok(()) => self.count_divergences(),
            Err(error) => error!(%error, "cannot read what an earlier run left open"),
        }
    }

    /// How it is told that a record is damaged.
    pub(super) fn damaged(&self) -> impl Fn(&Damage) {
        |damage| {
            let Damage { path, expected, found } = damage;
            error!(path, expected, found, "a stored record is damaged");
            self.metrics.integrity_failure("stored-record");
        }
    }

    /// A fresh answer from memory, if there is one: the whole of the hit path.
    #[must_use]
    pub(super) fn fresh(self: &Arc<Self>, key: &DocumentKey, errand: Errand<'_>) -> Option<Answer> {
        let document = self.memory.get(key)?;
        let (now, live, fetched_at) = (self.now(), self.live(), document.meta.fetched_at);
        let policy = capped(&live.policy, key, &document);
        let freshness = judge(fetched_at, now, &policy, document.outdated);
        if !document.settled || freshness != Freshness::Fresh {
            return None;
        }
        // A release that was asked for as lately as an index is fresh saw its index then.
        let young = now.since(fetched_at).is_some_and(|age| age < live.policy.index_ttl);
        if !young && matches!(key, DocumentKey::Release(..)) {
            self.watch_index(key, &document, errand);
        }
        Some(Answer::held(document, now, &policy, None))
    }

    /// The answer to `key`, asking an upstream where the freshness rules say so, and settled.
    ///
    /// # Errors
    /// [`Failure`] when there is no answer that may be given.
    pub async fn get(self: &Arc<Self>, key: &DocumentKey, errand: Errand<'_>) -> Result<Answer, Failure> {
        match self.fresh(key, errand) {
            Some(answer) => Ok(answer),
            // Boxed, for a hit's future is moved about and should be small.
            None => Box::pin(self.answer_shown(key, errand)).await,
        }
    }

    /// The same with the rows of an index as they are shown while nobody is asked, and the refusal of a release's archive
    /// in place of the release.
    async fn answer_shown(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let answer = self.answer(key, errand).await?;
        match key {
            DocumentKey::Index(name) if self.marks_rows() && !answer.document.is_refusal() => {
                let document = self.stocked(name, answer.document).await;
                Ok(Answer { document, ..answer })
            }
            key => match self.refusal_of(key, &answer.document) {
                Some(refusal) => Err(Failure::RefusedArchive(refusal)),
                None => Ok(answer),
            },
        }
    }

    /// What a registry states of `key`, also of a release whose archive was refused.
    pub(super) async fn stated(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        match self.fresh(key, errand) {
            Some(answer) => Ok(answer),
            None => Box::pin(self.learn(key, errand)).await,
        }
    }

    /// The answer to `key` that no fresh document in memory gives. One that was learnt of a registry to which the key
    /// is not routed any more is nobody's answer.
    pub(super) async fn learn(
        self: &Arc<Self>,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let errand = errand.waiting(self.patience);
        for _ in 0..ROUTINGS {
            let registry = self.registry_of(key);
            let learnt = self.learn_once(key, errand).await;
            if self.registry_of(key) == registry {
                return learnt;
            }
        }
        Err(Failure::Lost)
    }

    async fn learn_once(self: &Arc<Self>, key: &DocumentKey, errand: Errand<'_>) -> Result<Answer, Failure> {
        self.recall().await;
        let open = self.contested(key);
        if let Some(open) = open.as_ref().filter(|open| errand.held_only || !self.is_due(open)) {
            return Err(Failure::Divergent(Arc::clone(open)));
        }
        let settled = async {
            let answer = match self.current(key, errand).await {
                Ok(answer) => answer,
                Err(failure) => return Err(self.last_known(key, failure).await),
            };
            let given = Arc::clone(&answer.document);
            let was_asked = matches!(answer.outcome, Outcome::Forwarded { .. });
            let errand = if was_asked { errand.waiting_anew(self.patience) } else { errand };
            let settled = match given.settled {
                true => Ok(answer),
                false => self.settle_answer(key, answer, errand).await,
            };
            // What was asked for and settled just now saw its index as it is.
            if given.settled || !was_asked {
                self.watch_index(key, &given, errand);
            }
            settled
        };
        let Some(open) = open else { return settled.await };
        // What was known last still counts while nothing better can be learnt.
        match timeout_at(errand.until(self.patience), settled).await {
            Ok(Err(failure)) if failure.lets_stale_live() => Err(Failure::Divergent(open)),
            Ok(settled) => settled,
            Err(_) => Err(Failure::Divergent(open)),
        }
    }

    /// The answer to `key` by the freshness rules alone.
    async fn current(self: &Arc<Self>, key: &DocumentKey, errand: Errand<'_>) -> Result<Answer, Failure> {
        let Some(document) = self.held(key).await else {
            if self.live().policy.offline {
                return Err(Failure::Offline);
            }
            return self.ask(key, None, errand).await;
        };
        let policy = self.policy(key, &document);
        match self.freshness(key, &document) {
            Freshness::Fresh => Ok(self.hit(document, &policy, None)),
            Freshness::Revalidate => {
                self.refresh(key, Some(&document), errand);
                Ok(self.hit(document, &policy, Some(Stale::WhileRevalidate)))
            }
            Freshness::Offline if document.is_absence() => Err(Failure::Offline),
            Freshness::Offline => Ok(self.hit(document, &policy, Some(Stale::Offline))),
            // An old "not found" is never passed off as what the registry would say now.
            Freshness::Ask { may_fall_back } if may_fall_back && !document.is_absence() => {
                let asked = self.ask(key, Some(&document), errand);
                match timeout_at(errand.until(self.patience), asked).await {
                    Ok(Err(failure)) if failure.lets_stale_live() => {}
                    Ok(answer) => return answer,
                    Err(_) => {}
                }
                Ok(self.hit(document, &policy, Some(Stale::IfError)))
            }
            Freshness::Ask { .. } => self.ask(key, Some(&document), errand).await,
        }
    }

    async fn ask(
        self: &Arc<Self>,
        key: &DocumentKey,
        held: Option<&Arc<Document>>,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let (filled, collapsed) = self.fetch(key, held.map_or(0, |held| held.asked), errand).await?;
        let Filled { document, status, stored } = filled;
        let policy = self.policy(key, &document);
        let outcome = Outcome::Forwarded { stale: held.is_some(), status, stored, collapsed };
        Ok(Answer { outcome, ..self.hit(document, &policy, None) })
    }

    /// Settles an answer that was not; what was learnt on the way replaces it.
    async fn settle_answer(
        self: &Arc<Self>,
        key: &DocumentKey,
        answer: Answer,
        errand: Errand<'_>,
    ) -> Result<Answer, Failure> {
        let settled = self.settle(key, &answer.document, errand).await?;
        let (document, outcome) = match settled {
            Settled::Agreed(document) if document.asked == answer.document.asked => {
                (document, answer.outcome)
            }
            Settled::Agreed(document) => {
                let stale = !matches!(answer.outcome, Outcome::Forwarded { stale: false, .. });
                let (status, stored) = (document.meta.status, document.stored);
                (document, Outcome::Forwarded { stale, status, stored, collapsed: false })
            }
            Settled::Unconfirmed(document) => (document, self.unconfirmed(answer.outcome)),
        };
        let policy = self.policy(key, &document);
        Ok(Answer { outcome, ..self.hit(document, &policy, None) })
    }

    /// A stored answer that could not be confirmed says so, even within its TTL.
    fn unconfirmed(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Hit { ttl, stale: None | Some(Stale::WhileRevalidate) } => {
                let stale = if self.live().policy.offline { Stale::Offline } else { Stale::IfError };
                Outcome::Hit { ttl, stale: Some(stale) }
            }
            outcome => outcome,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A place in the order of this process's questions, after all that were put so far.
    pub(super) fn question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn hit(&self, document: Arc<Document>, policy: &Policy, stale: Option<Stale>) -> Answer {
        Answer::held(document, self.now(), policy, stale)
    }

    /// How old the answer to `key` may be held to be, now.
    pub(super) fn freshness(&self, key: &DocumentKey, document: &Document) -> Freshness {
        judge(document.meta.fetched_at, self.now(), &self.policy(key, document), document.outdated)
    }

    pub(super) fn policy(&self, key: &DocumentKey, document: &Document) -> Policy {
        capped(&self.live().policy, key, document)
    }
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").field("held", &self.memory.entry_count()).finish_non_exhaustive()
    }
}

/// How long `document` may be believed.
fn capped(cache: &config::Cache, key: &DocumentKey, document: &Document) -> Policy {
    let meta = &document.meta;
    Policy::of(cache, key.resource(), document.is_refusal()).capped(&meta.keeping, meta.upstream_age)
}

#[cfg(test)]
mod tests;
