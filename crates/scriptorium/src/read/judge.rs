//! The judge: an answer is compared with what else is known of its release before it is given.
//!
//! ```text
//!  compare ─ nothing differs ──────────────────────────────────────────> agreed: pin, close, serve
//!     │ differs
//!  ask both sides again, once for all that wait ─ cannot ask ──────────> unconfirmed: what is safe to say
//!     │ asked
//!  compare ─ nothing differs: it was a change ─────────────────────────> agreed
//!     │ the same difference                       │ another: still moving, ask again
//!     └─> divergent: record, quarantine, refuse   └─> (a bounded number of rounds)
//! ```
//! Second questions have no conditions (`How::Anew`). If two readings of both sides show the same difference, it existed at
//! one moment: the second readings began after the first had ended (`Reading::landed`), so each side said the same before
//! and after the other was read. A divergence ends with the next answer that agrees with the held document of the other
//! side. Owns this order, for a release (`release`), an index (`index`) and trust views (`trust`). Must not know what counts
//! as a difference (`consistency::reconcile`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tracing::Instrument;

use self::held_facts::VolumeSubject;
use super::asker::{Asker, Fetched, How, WantedAnswer};
use super::document::Document;
use super::environment::{Environment, RoutedKey};
use super::failure::ReadFailure;
use super::freshness::{AgeLimits, Freshness, measure};
use super::shelf::DocumentShelf;
use super::standing::Standing;
use crate::consistency::{History, Pins};
use crate::domain::{DocumentKey, Resource};
use crate::flight::Flights;
use crate::policies::{EvidenceRegister, TrustOutages};
use crate::upstream::FetchContext;

mod answering;
mod blocks;
mod divergences;
mod held_facts;
mod index;
mod invalidation;
mod meanwhile;
mod overruled;
mod pinned;
mod policies;
mod published;
mod refused;
mod release;
mod sides;
mod stocktaking;
mod trust;
mod trust_asked;
mod witness;

/// Volumes of which it is remembered that their held documents were looked up.
const VOLUMES: u64 = 100_000;
/// Readings of both sides; after the last one a difference is believed even if it keeps changing.
const ROUNDS: u32 = 4;

/// An answer that may be given.
#[derive(Debug, Clone)]
pub(super) enum Settled {
    /// Nothing speaks against it.
    Agreed(Arc<Document>),
    /// Something does, no registry could be asked again, and giving it is safe either way.
    Unconfirmed(Arc<Document>),
}

pub(super) struct Judge {
    pub(super) env: Arc<Environment>,
    pub(super) shelf: Arc<DocumentShelf>,
    pub(super) asker: Arc<Asker>,
    pub(super) pins: Pins,
    history: History,
    pub(super) evidence: EvidenceRegister,
    pub(super) outages: TrustOutages,
    /// For each volume, since when the rules count for which its held documents were looked up.
    pub(super) looked_up: moka::sync::Cache<VolumeSubject, u64>,
    lookups: Arc<Flights<(VolumeSubject, u64), Result<(), ReadFailure>>>,
    /// Locked while a damaged pin or history is restored.
    mending: tokio::sync::Mutex<()>,
    /// The number is 0, or that of the question if the answer is not kept: each such answer is settled by itself.
    settlements: Arc<Flights<(RoutedKey, u64), Result<Settled, ReadFailure>>>,
}

impl Judge {
    pub(super) fn new(shelf: Arc<DocumentShelf>, asker: Arc<Asker>) -> Self {
        let store = &shelf.store;
        Self {
            env: Arc::clone(&shelf.env),
            asker,
            pins: Pins::new(Arc::clone(store)),
            history: History::new(Arc::clone(store)),
            evidence: EvidenceRegister::new(
                Arc::clone(store),
                Arc::clone(&shelf.env.metrics),
                Arc::clone(&shelf.env.long_work),
            ),
            outages: TrustOutages::default(),
            looked_up: moka::sync::Cache::new(VOLUMES),
            lookups: Arc::default(),
            mending: tokio::sync::Mutex::default(),
            settlements: Arc::default(),
            shelf,
        }
    }

    /// The answer that is `wanted`. What it means for other documents is noted first.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        wanted: WantedAnswer<'_>,
        context: FetchContext<'_>,
    ) -> Result<Fetched, ReadFailure> {
        let (judge, key, kept) = (Arc::clone(self), wanted.key.clone(), context.owned());
        let then = move |document: Arc<Document>| async move {
            judge.take_note(&key, &document, kept.borrowed()).await;
        };
        self.asker.fetch(wanted, context, then).await
    }

    /// What a new answer to `key` means for other documents.
    async fn take_note(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        context: FetchContext<'_>,
    ) {
        self.witness(key, document).await;
        // An answer that is not kept is settled only by the clients that wait; otherwise each settlement would ask again.
        let is_withheld = document.meta.keeping.withheld;
        if !is_withheld && !document.is_from_between() {
            self.shelf.unkept.forget(key, document);
        }
        if let DocumentKey::Index(name) = key {
            if is_withheld {
                self.overrule(name, document).await;
            }
            if !document.is_settled() {
                self.doubt_releases(name, document).await;
                if !is_withheld {
                    self.settle_behind(key, document, context);
                }
            }
            self.recheck_blocks(name, document, context);
        }
        // If both sides agree now, their divergence ends.
        if !is_withheld && self.shelf.divergence_of(key).is_some() {
            self.settle_behind(key, document, context);
        }
    }

    /// Renews and settles `key` in the background, unless that is under way.
    fn refresh(self: &Arc<Self>, key: &DocumentKey, seen: Option<&Document>, context: FetchContext<'_>) {
        let Some(registry) = self.env.registry_of(key) else { return };
        if context.held_only || self.asker.is_asking(registry, key) {
            return;
        }
        let since = seen.map_or(0, |seen| seen.reading.asked);
        let (judge, key, context) = (Arc::clone(self), key.clone(), context.in_background().owned());
        let renewal = async move {
            let wanted = WantedAnswer { key: &key, since, how: How::Conditionally };
            if let Ok(fetched) = judge.fetch(wanted, context.borrowed()).await {
                judge.settle_behind(&key, &fetched.document, context.borrowed());
            }
        };
        tokio::spawn(renewal.in_current_span());
    }

    /// Compares `document`, the answer to `key`, once for all requests that wait.
    pub(super) fn settle<'a>(
        self: &'a Arc<Self>,
        key: &'a DocumentKey,
        document: &'a Arc<Document>,
        context: FetchContext<'a>,
    ) -> BoxFuture<'a, Result<Settled, ReadFailure>> {
        Box::pin(async move {
            for _ in 0..ROUNDS {
                let held = self
                    .shelf
                    .remembered(key)
                    .filter(|held| held.is_settled() && held.reading.asked >= document.reading.asked);
                if let Some(held) = held {
                    return Ok(Settled::Agreed(held));
                }
                let settling = || self.settling(key, document, context);
                // An only-if-cached request must not join a settlement that asks the registry.
                let joined = match context.held_only {
                    true => Ok((settling().await, false)),
                    false => self.settlements.join(&settlement(key, document), settling).await,
                };
                let settled = match joined.map_err(|_| ReadFailure::Lost)? {
                    // Background work may be refused by the budget where a client would not be.
                    (Err(failure), true) if !context.is_background() && failure.is_over_budget() => continue,
                    (settled, _) => settled?,
                };
                let (Settled::Agreed(about) | Settled::Unconfirmed(about)) = &settled;
                // A settlement that began before this answer came was about an older one.
                if about.reading.asked >= document.reading.asked {
                    return Ok(settled);
                }
            }
            Err(ReadFailure::Lost)
        })
    }

    /// Settles `document` in the background. A failure shows at the next request.
    pub(super) fn settle_behind(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        context: FetchContext<'_>,
    ) {
        if document.is_settled() {
            return;
        }
        let settling = || self.settling(key, document, context.in_background());
        self.settlements.start(&settlement(key, document), settling);
    }

    fn settling(
        self: &Arc<Self>,
        key: &DocumentKey,
        document: &Arc<Document>,
        context: FetchContext<'_>,
    ) -> BoxFuture<'static, Result<Settled, ReadFailure>> {
        let (judge, key, document, context) =
            (Arc::clone(self), key.clone(), Arc::clone(document), context.owned());
        Box::pin(async move {
            match &key {
                DocumentKey::Index(name) => judge.settle_index(name, document, context.borrowed()).await,
                DocumentKey::Release(name, version) => {
                    judge.settle_release(name, version, document, context.borrowed()).await
                }
                DocumentKey::TrustSummary(name, version) | DocumentKey::TrustDetail(name, version) => {
                    judge.settle_trust(&key, name, version, document, context.borrowed()).await
                }
                DocumentKey::Search(_)
                | DocumentKey::Advisories(_)
                | DocumentKey::Advisory(_)
                | DocumentKey::Capabilities
                | DocumentKey::AtRegistry(_) => Ok(Settled::Agreed(document)),
            }
        })
    }

    /// The answer to `key` to a question without conditions after the question `since`.
    pub(super) async fn again(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        context: FetchContext<'_>,
    ) -> Result<Arc<Document>, ReadFailure> {
        if self.env.is_offline() {
            return Err(ReadFailure::Offline);
        }
        let wanted = WantedAnswer { key, since, how: How::Anew };
        self.fetch(wanted, context).await.map(|fetched| fetched.document)
    }

    /// Nothing speaks against `document`: it is settled; if its pin is not `kept`, only for this request. `None` if something
    /// new spoke against it after the question `began`, or a newer answer came.
    async fn agree(&self, key: &DocumentKey, document: &Document, began: u64, kept: bool) -> Option<Settled> {
        self.close(&document.meta.registry(), key).await;
        if self.shelf.remembered(key).is_some_and(|held| held.standing.is_doubted_after(began)) {
            return None;
        }
        let standing = if kept { Standing::Settled } else { Standing::of_new(true) };
        let held = self.shelf.remember(key, document.with(standing));
        let agreed = held.is_settled() || (!kept && held.reading.asked == document.reading.asked);
        agreed.then_some(Settled::Agreed(held))
    }

    /// Refreshes the index of a release in the background, so that a change of its row is noticed within `index_ttl`. One
    /// request serves all releases of a volume.
    pub(super) fn watch_index(
        self: &Arc<Self>,
        key: &DocumentKey,
        release: &Document,
        context: FetchContext<'_>,
    ) {
        let DocumentKey::Release(name, _) = key else { return };
        let index = DocumentKey::Index(name.clone());
        let held = self.shelf.remembered(&index);
        let due = match &held {
            Some(held) => !self.was_just_seen(held),
            // Otherwise settling has just asked for it.
            None => {
                let offline = self.env.live().policy.offline;
                release.is_settled()
                    && !release.is_refusal()
                    && !offline
                    && !self.shelf.was_just_asked(&index)
            }
        };
        if due {
            self.refresh(&index, held.as_deref(), context);
        }
    }

    /// Whether an index is fresh by this proxy's own TTL. A registry's cap does not count, so that capped indexes are not
    /// refreshed more often in the background.
    fn was_just_seen(&self, index: &Document) -> bool {
        let policy = &self.env.live().policy;
        let limits = AgeLimits::of(policy, Resource::Index, index.is_refusal());
        let age = measure(index.meta.fetched_at, self.env.now(), &limits, index.standing.is_outdated());
        policy.offline || age == Freshness::Fresh
    }
}

/// The key of the settlement of `document`.
fn settlement(key: &DocumentKey, document: &Document) -> (RoutedKey, u64) {
    let question = (Arc::new(document.meta.registry()), key.clone());
    (question, if document.meta.keeping.withheld { document.reading.asked } else { 0 })
}
