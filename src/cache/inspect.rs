//! Looking without touching: what is held and how it would be judged, without asking anybody.
//!
//! Owns what an operator may see of the cache. Must not change how a request is answered.

use std::sync::Arc;
use std::time::Duration;

use super::document::Document;
use super::documents::Documents;
use super::freshness::{Freshness, seconds_left};
use crate::clock::Timestamp;
use crate::consistency::{Divergence, Pin, PinError, Refusal};
use crate::domain::{DocumentKey, Purl};
use crate::store::StoreError;

/// A held answer, as the next request would find it.
#[derive(Debug)]
pub struct Inspected {
    /// The answer.
    pub document: Arc<Document>,
    /// How old it may be held to be.
    pub freshness: Freshness,
    /// Since it was asked for, in this moment.
    pub age: Duration,
    /// Whole seconds for which it is still fresh; negative once it is stale.
    pub ttl: i64,
    /// Whether it was held against what else is known; if not, that comes before it is served.
    pub settled: bool,
    /// Whether it was declared out of date.
    pub outdated: bool,
}

impl Documents {
    /// What is held of `key`, if anything.
    pub async fn inspect(&self, key: &DocumentKey) -> Option<Inspected> {
        self.recall().await;
        let document = self.held(key).await?;
        let fetched_at = document.meta.fetched_at;
        Some(Inspected {
            freshness: self.freshness(key, &document),
            age: self.now().since(fetched_at).unwrap_or_default(),
            ttl: seconds_left(fetched_at, self.now(), self.policy(key, &document).ttl),
            settled: document.settled,
            outdated: document.outdated,
            document,
        })
    }

    /// The refusal of an archive that answers in place of `document`, exact metadata.
    #[must_use]
    pub fn refusal(&self, key: &DocumentKey, document: &Document) -> Option<Arc<Refusal>> {
        self.refusal_of(key, document)
    }

    /// Every open divergence, by volume and version.
    pub async fn divergences(&self) -> Vec<Arc<Divergence>> {
        self.recall().await;
        self.open_divergences()
    }

    /// The divergence that keeps `key` from being answered, and whether it is due to be looked at again.
    pub async fn divergence(&self, key: &DocumentKey) -> Option<(Arc<Divergence>, bool)> {
        self.recall().await;
        let open = self.divergence_of(key)?;
        let due = self.is_due(&open);
        Some((open, due))
    }

    /// The pin of a release that binds the registry which its volume is routed to now.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub async fn pin(&self, release: &Purl) -> Result<Option<Pin>, PinError> {
        match self.registry_of(&DocumentKey::Index(release.name.clone())) {
            Some(registry) => self.pins.known(&registry, release).await,
            None => Ok(None),
        }
    }

    /// The pins of a release that bind other registries only.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub async fn other_pins(&self, release: &Purl) -> Result<Vec<Pin>, StoreError> {
        let registry = self.registry_of(&DocumentKey::Index(release.name.clone()));
        let binds = |pin: &Pin| registry.as_ref().is_some_and(|registry| pin.binds(registry));
        let pins = self.pins.of_volume(&release.name).await?.pins.into_iter().map(|(_, pin)| pin);
        let mut others: Vec<_> = pins.filter(|pin| pin.release() == *release && !binds(pin)).collect();
        others.sort_by(|one, other| (&one.upstream, &one.origin).cmp(&(&other.upstream, &other.origin)));
        Ok(others)
    }

    /// The time, as answers are judged by it.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.now()
    }
}
