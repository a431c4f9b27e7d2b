//! Answering one question: carry out what `decision` says, and settle the answer before it is given.
//!
//! Owns how a decision is carried out, and what is looked up for it. Must not know the rules (`decision`), how a document is
//! renewed (`asker`), nor how one is compared.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::{Judge, Settled};
use crate::consistency::Divergence;
use crate::domain::DocumentKey;
use crate::domain::lifecycle::Status;
use crate::read::answer::CachedAnswer;
use crate::read::asker::{How, WantedAnswer};
use crate::read::decision::{
    Decision, HeldFacts, KnownFacts, OpenDivergence, Reach, RefusalReason, decide, is_hit,
};
use crate::read::document::Document;
use crate::read::environment::limits;
use crate::read::failure::ReadFailure;
use crate::read::freshness::{Freshness, measure};
use crate::read::outcome::{Outcome, Stale};
use crate::upstream::FetchContext;

/// A question starts over if its key was routed elsewhere meanwhile; at most so often.
const ROUTINGS: u32 = 3;

/// What is known about a question before its registry is asked.
pub(in crate::read) struct Findings {
    pub(in crate::read) held: Option<Arc<Document>>,
    /// The divergence that keeps it from being answered.
    pub(in crate::read) open: Option<Arc<Divergence>>,
    pub(in crate::read) known: KnownFacts,
}

impl Judge {
    /// The hit path: a fresh and settled document from memory.
    #[must_use]
    pub(in crate::read) fn fresh(
        self: &Arc<Self>,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Option<CachedAnswer> {
        let document = self.shelf.memory.get(key)?;
        let (now, live, fetched_at) = (self.env.now(), self.env.live(), document.meta.fetched_at);
        let limits = limits(&live.policy, key, &document);
        let freshness = measure(fetched_at, now, &limits, document.standing.is_outdated());
        let is_allowed =
            document.verdict.holds(self.env.policy.revision(), now) && !document.verdict.refuses();
        let is_hit = is_hit(document.is_settled(), freshness, live.policy.offline);
        if !is_allowed || !is_hit || !self.env.is_current(now) {
            return None;
        }
        // A release younger than `index_ttl` was compared with its index then.
        let young = now.since(fetched_at).is_some_and(|age| age < live.policy.index_ttl);
        if !young && matches!(key, DocumentKey::Release(..)) {
            self.watch_index(key, &document, context);
        }
        Some(CachedAnswer::held(document, now, &limits, None))
    }

    /// The answer to `key`, also for a release whose archive was refused.
    pub(in crate::read) async fn stated(
        self: &Arc<Self>,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        match self.fresh(key, context) {
            Some(answer) => Ok(answer),
            None => Box::pin(self.learn(key, context)).await,
        }
    }

    /// The answer to `key` beyond the hit path. An answer of a registry to which the key is no longer routed is dropped.
    pub(in crate::read) async fn learn(
        self: &Arc<Self>,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let context = context.waiting(self.env.patience);
        for _ in 0..ROUTINGS {
            let registry = self.env.registry_of(key);
            let learnt = self.learn_once(key, context).await;
            if self.env.registry_of(key) == registry {
                return learnt;
            }
        }
        Err(ReadFailure::Lost)
    }

    async fn learn_once(
        self: &Arc<Self>,
        key: &DocumentKey,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let findings = self.find(key).await;
        let settled = async {
            let answer = self.decided(key, &findings, context).await?;
            let given = Arc::clone(&answer.document);
            let was_asked = matches!(answer.outcome, Outcome::Forwarded { .. });
            let context = if was_asked { context.waiting_anew(self.env.patience) } else { context };
            let settled = self.settled(key, answer, context).await;
            // A release that was just asked for and settled was compared with its current index.
            if given.is_settled() || !was_asked {
                self.watch_index(key, &given, context);
            }
            settled
        };
        let Some(open) = &findings.open else { return settled.await };
        // A divergence stays open until both sides could be asked again.
        match timeout_at(context.until(self.env.patience), settled).await {
            Ok(Err(failure)) if failure.lets_stale_live() => Err(ReadFailure::Divergent(Arc::clone(open))),
            Ok(settled) => settled,
            Err(_) => Err(ReadFailure::Divergent(Arc::clone(open))),
        }
    }

    /// Looks up what `decision` needs to know first. No registry is asked.
    pub(in crate::read) async fn find(&self, key: &DocumentKey) -> Findings {
        self.shelf.recall().await;
        let (open, held) = (self.contested(key), self.shelf.held(key).await);
        let divergence = open.as_ref().map(|open| match self.is_due(open) {
            true => OpenDivergence::Due,
            false => OpenDivergence::Believed,
        });
        let facts = held.as_ref().map(|held| self.facts(key, held));
        let is_routed = self.env.registry_of(key).is_some();
        Findings {
            open,
            held,
            known: KnownFacts { is_routed, divergence, held: facts, ..KnownFacts::default() },
        }
    }

    pub(in crate::read) fn facts(&self, key: &DocumentKey, held: &Document) -> HeldFacts {
        let freshness = self.env.freshness(key, held);
        HeldFacts { freshness, is_settled: held.is_settled(), is_absence: held.is_absence() }
    }

    /// Carries out what is decided about `key`. The answer may not be settled yet.
    async fn decided(
        self: &Arc<Self>,
        key: &DocumentKey,
        findings: &Findings,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let reach = Reach::of(self.env.is_offline(), context.held_only);
        let held = findings.held.as_ref();
        let decision = decide(&findings.known, reach);
        match decision {
            Decision::Serve { stale: Some(Stale::WhileRevalidate), .. } => {
                self.refresh(key, held.map(|held| &**held), context);
            }
            Decision::Ask { may_serve } => {
                let since = held.map_or(0, |held| held.reading.asked);
                let wanted = WantedAnswer { key, since, how: How::beside(held) };
                let asked = self.ask(wanted, held.is_some(), context);
                let answer = match may_serve {
                    true => timeout_at(context.until(self.env.patience), asked).await,
                    false => Ok(asked.await),
                };
                return match answer.unwrap_or(Err(ReadFailure::Lost)) {
                    Err(failure) if failure.lets_stale_live() => {
                        self.unasked(key, findings, Reach::Unreachable, failure).await
                    }
                    answer => answer,
                };
            }
            Decision::Serve { .. } | Decision::Refuse(_) => {}
        }
        self.unasked(key, findings, reach, ReadFailure::Lost).await
    }

    /// The answer without the registry, or after asking it ended with `failure`. The last known row of the release is looked
    /// up only if it decides.
    async fn unasked(
        &self,
        key: &DocumentKey,
        findings: &Findings,
        reach: Reach,
        failure: ReadFailure,
    ) -> Result<CachedAnswer, ReadFailure> {
        let if_withdrawn = KnownFacts { is_row_withdrawn: true, ..findings.known };
        let row = match decide(&if_withdrawn, reach) == decide(&findings.known, reach) {
            true => None,
            false => self.withdrawal(key).await,
        };
        let known = KnownFacts { is_row_withdrawn: row.is_some(), ..findings.known };
        match (decide(&known, reach), &findings.held, &findings.open, row) {
            (Decision::Serve { stale, .. }, Some(held), ..) => Ok(self.answer_as(key, held, stale)),
            (Decision::Refuse(RefusalReason::NoUpstream), ..) => {
                Err(self.env.upstream_of(key).err().unwrap_or(failure))
            }
            (Decision::Refuse(RefusalReason::NotHeld), ..) => Err(ReadFailure::HeldOnly),
            (Decision::Refuse(RefusalReason::Offline), ..) => Err(ReadFailure::Offline),
            (Decision::Refuse(RefusalReason::Divergent), _, Some(open), _) => {
                Err(ReadFailure::Divergent(Arc::clone(open)))
            }
            (Decision::Refuse(RefusalReason::Withdrawn), .., Some(status)) => {
                Err(ReadFailure::Withdrawn(status))
            }
            // A pin is looked up when an answer is settled, a refused archive when it is given.
            (Decision::Refuse(_) | Decision::Serve { .. } | Decision::Ask { .. }, ..) => Err(failure),
        }
    }

    /// The status in the last known row of a release, if that withdraws it.
    pub(in crate::read) async fn withdrawal(&self, key: &DocumentKey) -> Option<Status> {
        let DocumentKey::Release(name, version) = key else { return None };
        let registry = self.env.registry_of(key);
        if let Some(status) =
            registry.and_then(|registry| self.shelf.unkept.withdrawn(&registry, name, version))
        {
            return Some(status);
        }
        let index_key = DocumentKey::Index(name.clone());
        let index = self.shelf.held(&index_key).await?;
        let is_believed =
            self.env.is_offline() || self.env.freshness(&index_key, &index) < Freshness::Expired;
        match index.content.rows()?.of(version) {
            [row] if !row.status.state.serves_bytes() && is_believed => Some(row.status.clone()),
            _ => None,
        }
    }

    /// The answer to `key` to a question without conditions after the question `since`, settled.
    pub(in crate::read) async fn anew(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let answer = self.ask(WantedAnswer { key, since, how: How::Anew }, true, context).await?;
        self.settled(key, answer, context).await
    }

    /// The answer to `key` to a question after the question `since`, beside the `held` document, settled.
    pub(in crate::read) async fn renewed(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        held: Option<&Arc<Document>>,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let wanted = WantedAnswer { key, since, how: How::beside(held) };
        let answer = self.ask(wanted, held.is_some(), context).await?;
        self.settled(key, answer, context).await
    }

    /// Asks the registry; `stale` says whether a document is held.
    async fn ask(
        self: &Arc<Self>,
        wanted: WantedAnswer<'_>,
        stale: bool,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        let fetched = self.fetch(wanted, context).await?;
        let outcome = fetched.outcome(stale);
        Ok(CachedAnswer { outcome, ..self.answer_as(wanted.key, &fetched.document, None) })
    }

    /// Settles an answer. A newer answer that came meanwhile replaces it.
    async fn settled(
        self: &Arc<Self>,
        key: &DocumentKey,
        answer: CachedAnswer,
        context: FetchContext<'_>,
    ) -> Result<CachedAnswer, ReadFailure> {
        if answer.document.is_settled() {
            return Ok(answer);
        }
        let settled = self.settle(key, &answer.document, context).await?;
        let (document, outcome) = match settled {
            Settled::Agreed(document) if document.reading.asked == answer.document.reading.asked => {
                (document, answer.outcome)
            }
            Settled::Agreed(document) => {
                let stale = !matches!(answer.outcome, Outcome::Forwarded { stale: false, .. });
                let (status, stored) = (document.meta.status, document.is_stored);
                (document, Outcome::Forwarded { stale, status, stored, collapsed: false })
            }
            Settled::Unconfirmed(document) => (document, self.unconfirmed(answer.outcome)),
        };
        Ok(CachedAnswer { outcome, ..self.answer_as(key, &document, None) })
    }

    /// A held answer that could not be confirmed is marked as stale, even within its TTL.
    fn unconfirmed(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Hit { ttl, stale: None | Some(Stale::WhileRevalidate) } => {
                let stale = if self.env.is_offline() { Stale::Offline } else { Stale::IfError };
                Outcome::Hit { ttl, stale: Some(stale) }
            }
            outcome => outcome,
        }
    }

    /// An answer with `document`, which is held for `key`.
    pub(in crate::read) fn answer_as(
        &self,
        key: &DocumentKey,
        document: &Arc<Document>,
        stale: Option<Stale>,
    ) -> CachedAnswer {
        CachedAnswer::held(Arc::clone(document), self.env.now(), &self.env.limits(key, document), stale)
    }
}
