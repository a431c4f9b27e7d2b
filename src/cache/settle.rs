//! Settling: no answer is given before it was held against what else is known of its release.
//!
//! ```text
//!  compare ─ nothing differs ──────────────────────────────────────────> agreed: pin, close, serve
//!     │ differs
//!  ask both sides again, one question for all who wait ─ cannot ask ───> unconfirmed: what is safe to say
//!     │ asked
//!  compare ─ nothing differs: it was a change ─────────────────────────> agreed
//!     │ the same difference                       │ another: still moving, ask again
//!     └─> divergent: record, quarantine, refuse   └─> (a bounded number of rounds)
//! ```
//! Second questions are put without conditions (`fetch_anew`). A difference that two readings of both sides agree on
//! existed at one moment: the second readings began when the first had ended (`Document::landed`), so each side said the
//! same before and after the other was read. A divergence ends with the next answer that agrees with what is held of the
//! other side, whoever asked for it. Owns this order, for a release (`release`), an index (`index`) and trust views
//! (`trust`). Must not know what counts as a difference (`consistency::reconcile`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::{error, info};

use super::document::Document;
use super::documents::{Documents, Question};
use super::failure::Failure;
use super::freshness::{Freshness, Policy, judge};
use crate::config::OnDivergence;
use crate::consistency::{About, Difference, Divergence, Kind, Pin, Source, Testimony};
use crate::domain::{DocumentKey, Registry, Resource, Version, VolumeName};
use crate::upstream::Errand;

mod index;
mod overruled;
mod pinned;
mod published;
mod release;
mod trust;

/// Readings of both sides before a difference that keeps changing is believed as it stands.
const ROUNDS: u32 = 4;

/// An answer that may be given.
#[derive(Debug, Clone)]
pub(super) enum Settled {
    /// Nothing speaks against it.
    Agreed(Arc<Document>),
    /// Something does, nobody could be asked which is right, and either way it is safe to give.
    Unconfirmed(Arc<Document>),
}

/// What the sides of a comparison are: who said what was compared, and when.
#[derive(Default, Clone, Copy)]
struct Sides<'a> {
    index: Option<&'a Document>,
    exact: Option<&'a Document>,
    trust: Option<&'a Document>,
    pin: Option<&'a Pin>,
}

impl Sides<'_> {
    /// Whether it ends `open` that nothing differs between these sides: all that it was about is among them, and at
    /// least one of them is younger than the divergence.
    fn end(&self, open: &Divergence) -> bool {
        let documents = || [self.index, self.exact].into_iter().flatten();
        let heard = self.exact.is_some() || open.claims.iter().all(|claim| claim.source != Source::Exact);
        let is_news = documents().any(|document| document.meta.fetched_at > open.checked_at);
        heard && is_news && !documents().any(|document| document.outdated)
    }

    fn testimony(&self, source: Source, says: String) -> Testimony {
        let document = match source {
            Source::Index => self.index,
            Source::Exact => self.exact,
            Source::Trust => self.trust,
            Source::Pin | Source::Route | Source::History => None,
        };
        let said = document.map(|document| (document.meta.fetched_at, document.meta.upstream.clone()));
        let pinned = || self.pin.map(|pin| (pin.since, pin.upstream.clone()));
        let said = if source == Source::Pin { pinned() } else { said };
        let (fetched_at, upstream) = said.unzip();
        Testimony { source, says, fetched_at, upstream }
    }
}

impl Documents {
    /// Settles `document`, the answer to `key`, once for all who ask.
    pub(super) fn settle<'a>(
        self: &'a Arc<Self>,
        key: &'a DocumentKey,
        document: &'a Arc<Document>,
        errand: Errand<'a>,
    ) -> BoxFuture<'a, Result<Settled, Failure>> {
        Box::pin(async move {
            for _ in 0..ROUNDS {
                let held = self.remembered(key).filter(|held| held.settled && held.asked >= document.asked);
                if let Some(held) = held {
                    return Ok(Settled::Agreed(held));
                }
                let settling = || self.settling(key, document, errand);
                // Nor does who takes what is held join one that asks.
                let joined = match errand.held_only {
                    true => Ok((settling().await, false)),
                    false => self.settlements.join(&settlement(key, document), settling).await,
                };
                let settled = match joined.map_err(|_| Failure::Lost)? {
                    // What nobody waits for may be denied what a client is not.
                    (Err(failure), true) if !errand.is_behind() && failure.is_over_budget() => continue,
                    (settled, _) => settled?,
                };
                let (Settled::Agreed(about) | Settled::Unconfirmed(about)) = &settled;
                // One that began before this answer came was about an older one.
                if about.asked >= document.asked {
                    return Ok(settled);
                }
            }
            Err(Failure::Lost)
        })
    }

    /// Settles `document` behind whatever is being answered. Its failure is that of whoever asks next.
    pub(super) fn settle_behind(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        errand: Errand<'_>,
    ) {
        if document.settled || self.settlements.is_open(&settlement(key, document)) {
            return;
        }
        let (documents, key) = (Arc::clone(self), key.clone());
        let (document, errand) = (Arc::clone(document), errand.behind().kept());
        tokio::spawn(async move { documents.settle(&key, &document, errand.lend()).await.map(drop) });
    }

    fn settling(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        errand: Errand<'_>,
    ) -> BoxFuture<'static, Result<Settled, Failure>> {
        let (documents, key, document, errand) =
            (Arc::clone(self), key.clone(), Arc::clone(document), errand.kept());
        Box::pin(async move {
            match &key {
                DocumentKey::Index(name) => documents.settle_index(name, document, errand.lend()).await,
                DocumentKey::Release(name, version) => {
                    documents.settle_release(name, version, document, errand.lend()).await
                }
                DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                    documents.settle_trust(&key, name, version, document, errand.lend()).await
                }
                DocumentKey::Search(_)
                | DocumentKey::Advisories(_)
                | DocumentKey::Advisory(_)
                | DocumentKey::Capabilities
                | DocumentKey::To(_) => Ok(Settled::Agreed(document)),
            }
        })
    }

    /// Asks for all of `key` again, after the question `since`.
    async fn again(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> Result<Arc<Document>, Failure> {
        if self.live().policy.offline {
            return Err(Failure::Offline);
        }
        self.fetch_anew(key, since, errand).await.map(|(filled, _)| filled.document)
    }

    /// Nothing speaks against `document`: it may be served until it is stale, or, where its pin is not `kept`, until
    /// somebody asks again. `None` when something new came up since it had so many `doubts`, or a newer answer came.
    async fn agree(
        &self,
        key: &DocumentKey,
        document: &Document,
        doubts: u32,
        kept: bool,
    ) -> Option<Settled> {
        self.close(&document.meta.registry(), key).await;
        let doubted = self.remembered(key).is_some_and(|held| held.doubts != doubts);
        let settled = Document { settled: kept && !doubted, before: None, ..document.clone() };
        let held = (!doubted).then(|| self.remember(key, settled))?;
        let agreed = held.settled || (!kept && held.asked == document.asked);
        agreed.then_some(Settled::Agreed(held))
    }

    /// The divergence that keeps `key` from being answered.
    pub(super) fn contested(&self, key: &DocumentKey) -> Option<Arc<Divergence>> {
        match key {
            DocumentKey::Index(name) if self.live().on_divergence == OnDivergence::Fail => {
                self.divergences_of(name).into_iter().next()
            }
            key => self.divergence_of(key),
        }
    }

    /// Whether a divergence is to be looked at again: like a refusal, it is believed for `negative_ttl`.
    pub(super) fn is_due(&self, open: &Divergence) -> bool {
        let policy = &self.live().policy;
        let age = self.now().since(open.checked_at);
        !policy.offline && age.is_none_or(|age| age >= policy.negative_ttl)
    }

    /// What memory holds of `key` where that was asked for later than `document`.
    fn newest(&self, key: &DocumentKey, document: Arc<Document>) -> Arc<Document> {
        let newer = |held: &Arc<Document>| held.asked > document.asked && held.is_beside(&document);
        self.remembered(key).filter(newer).unwrap_or(document)
    }

    /// Both sides of `registry` agree.
    async fn close(&self, registry: &Registry, key: &DocumentKey) {
        match self.divergences.close(registry, key).await {
            Ok(false) => return,
            Ok(true) => info!(key = %key, "a divergence is over: both sides agree again"),
            Err(error) => error!(%error, key = %key, "cannot forget a divergence that is over"),
        }
        self.count_divergences();
        if let DocumentKey::Release(name, _) = key {
            self.show(name);
        }
    }

    /// The difference outlived a refresh of both sides of `registry`: it is recorded, and neither side is served.
    async fn diverge(
        &self,
        registry: &Registry,
        key: &DocumentKey,
        (name, version): (&VolumeName, &Version),
        difference: Difference,
        sides: Sides<'_>,
    ) -> Failure {
        let about = match key {
            DocumentKey::TrustSummary(..) => About::TrustSummary,
            DocumentKey::TrustDetail(..) => About::TrustDetail,
            _ => About::Release,
        };
        let Difference { kind, claims } = difference;
        let now = self.now();
        let found = Divergence {
            volume: name.clone(),
            version: version.clone(),
            about,
            kind,
            claims: claims.map(|claim| sides.testimony(claim.source, claim.says)),
            since: now,
            checked_at: now,
        };
        let (divergence, news) = self.divergences.open(registry, found).await;
        self.unsettle(key);
        match news {
            Ok(false) => {}
            Ok(true) => {
                self.metrics.integrity_failure(match kind {
                    Kind::IntegrityChanged => "pin",
                    _ => "divergence",
                });
                error!(key = %key, kind = kind.as_str(), %divergence, "a registry contradicts itself");
            }
            Err(error) => error!(%error, key = %key, "cannot keep a divergence; a restart forgets it"),
        }
        self.count_divergences();
        if about == About::Release {
            self.show(name);
        }
        Failure::Divergent(divergence)
    }

    /// Refreshes the index behind a release, so that a change of its row is seen within the time for which an
    /// index is fresh. One index request serves all releases of a volume.
    pub(super) fn watch_index(self: &Arc<Self>, key: &DocumentKey, release: &Document, errand: Errand<'_>) {
        let DocumentKey::Release(name, _) = key else { return };
        let index = DocumentKey::Index(name.clone());
        let held = self.remembered(&index);
        let due = match &held {
            Some(held) => !self.was_just_seen(held),
            // Settling has just asked for it.
            None => {
                let offline = self.live().policy.offline;
                release.settled && !release.is_refusal() && !offline && !self.was_just_asked(&index)
            }
        };
        if due {
            self.refresh(&index, held.as_deref(), errand);
        }
    }

    /// Whether this proxy's own TTL lets an index be believed: what a registry caps is asked for behind answers no more
    /// often than what it does not.
    fn was_just_seen(&self, index: &Document) -> bool {
        let policy = Policy::of(&self.live().policy, Resource::Index, index.is_refusal());
        match judge(index.meta.fetched_at, self.now(), &policy, index.outdated) {
            Freshness::Fresh | Freshness::Offline => true,
            Freshness::Revalidate | Freshness::Ask { .. } => false,
        }
    }

    /// Why a release cannot be answered: where its row says that it is withheld, that is the last thing known.
    pub(super) async fn last_known(&self, key: &DocumentKey, failure: Failure) -> Failure {
        let DocumentKey::Release(name, version) = key else { return failure };
        let unasked = failure.lets_stale_live() || matches!(failure, Failure::Offline);
        let index_key = DocumentKey::Index(name.clone());
        if !unasked {
            return failure;
        }
        let registry = self.registry_of(key);
        if let Some(status) = registry.and_then(|registry| self.withdrawn(&registry, name, version)) {
            return Failure::Withdrawn(status);
        }
        let Some(index) = self.held(&index_key).await else { return failure };
        let too_old = self.freshness(&index_key, &index) == Freshness::Ask { may_fall_back: false };
        match index.content.rows().map(|rows| rows.of(version)) {
            Some([row]) if !row.status.state.serves_bytes() && !too_old => {
                Failure::Withdrawn(row.status.clone())
            }
            _ => failure,
        }
    }
}

/// The one settlement that `document` is part of.
fn settlement(key: &DocumentKey, document: &Document) -> (Question, u64) {
    let question = (Arc::new(document.meta.registry()), key.clone());
    (question, if document.meta.keeping.withheld { document.asked } else { 0 })
}
