//! What is held and how it would be answered with, without asking a registry.
//!
//! Owns what an operator may see of the cache. Must not change how a request is answered.

use std::sync::Arc;
use std::time::Duration;

use super::decision::HeldFacts;
use super::document::Document;
use super::documents::Documents;
use super::freshness::{Freshness, seconds_left};
use crate::consistency::{ArchiveRefusal, Divergence, Pin, PinError};
use crate::domain::lifecycle::Status;
use crate::domain::{DocumentKey, Purl};
use crate::store::StoreError;

/// A held document, as the next request would find it.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) document: Arc<Document>,
    pub(crate) facts: HeldFacts,
    /// Since it was fetched or confirmed.
    pub(crate) age: Duration,
    /// Whole seconds for which it is still fresh; negative once it is stale.
    pub(crate) ttl: i64,
    /// Whether it was declared out of date.
    pub(crate) outdated: bool,
    /// Whether the verdict of the policy that is kept with it still holds.
    pub(crate) is_judged: bool,
}

impl Inspected {
    /// Whether a request would be answered with it without asking a registry, then or later.
    pub(crate) fn is_fresh(&self) -> bool {
        self.facts.freshness == Freshness::Fresh && !self.outdated
    }
}

impl Documents {
    /// What is held of `key`, if anything.
    pub(crate) async fn inspect(&self, key: &DocumentKey) -> Option<Inspected> {
        self.shelf.recall().await;
        let document = self.shelf.held(key).await?;
        let fetched_at = document.meta.fetched_at;
        Some(Inspected {
            facts: self.judge.facts(key, &document),
            age: self.env.now().since(fetched_at).unwrap_or_default(),
            ttl: seconds_left(fetched_at, self.env.now(), self.env.limits(key, &document).ttl),
            outdated: document.standing.is_outdated(),
            is_judged: document.verdict.holds(self.env.policy.revision(), self.env.now()),
            document,
        })
    }

    /// The refused archive that answers in place of `document`, exact metadata.
    #[must_use]
    pub(crate) fn refusal(&self, key: &DocumentKey, document: &Document) -> Option<Arc<ArchiveRefusal>> {
        self.judge.refusal_of(key, document)
    }

    /// Every archive that is refused, the oldest refusal first.
    pub(crate) async fn refused_archives(&self) -> Vec<Arc<ArchiveRefusal>> {
        self.shelf.recall().await;
        self.shelf.refusals.all()
    }

    /// Every open divergence, by volume and version.
    pub(crate) async fn divergences(&self) -> Vec<Arc<Divergence>> {
        self.shelf.recall().await;
        self.shelf.open_divergences()
    }

    /// The divergence that keeps `key` from being answered, and whether both sides are asked again at the next request.
    pub(crate) async fn divergence(&self, key: &DocumentKey) -> Option<(Arc<Divergence>, bool)> {
        self.shelf.recall().await;
        let open = self.shelf.divergence_of(key)?;
        let due = self.judge.is_due(&open);
        Some((open, due))
    }

    /// The pin of a release that binds the registry to which its volume is routed now.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub(crate) async fn pin(&self, release: &Purl) -> Result<Option<Pin>, PinError> {
        match self.env.registry_of(&DocumentKey::Index(release.name.clone())) {
            Some(registry) => self.judge.pins.known(&registry, release).await,
            None => Ok(None),
        }
    }

    /// The pins of a release that bind other registries only.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub(crate) async fn other_pins(&self, release: &Purl) -> Result<Vec<Pin>, StoreError> {
        let registry = self.env.registry_of(&DocumentKey::Index(release.name.clone()));
        let binds = |pin: &Pin| registry.as_ref().is_some_and(|registry| pin.binds(registry));
        let pins = self.judge.pins.of_volume(&release.name).await?.pins.into_iter().map(|(_, pin)| pin);
        let mut others: Vec<_> = pins.filter(|pin| pin.release() == *release && !binds(pin)).collect();
        others.sort_by(|one, other| (&one.upstream, &one.origin).cmp(&(&other.upstream, &other.origin)));
        Ok(others)
    }

    /// The status in the last known row of a release, if that withdraws it.
    pub(crate) async fn withdrawal(&self, key: &DocumentKey) -> Option<Status> {
        self.judge.withdrawal(key).await
    }
}
