//! Declaring documents out of date: by an operator, or by a write that passed through.
//!
//! Owns what follows from a declaration. Must not know how declarations are kept (`invalidations`).

use std::sync::Arc;

use super::Judge;
use crate::clock::Timestamp;
use crate::cluster::NewsKind;
use crate::domain::{DocumentKey, Version, VolumePattern};
use crate::read::invalidations::{Invalidation, concerns};
use crate::store::StoreError;

impl Judge {
    /// Has the documents about `volumes`, or about one `version` of them, asked for again before they are next
    /// served, and their divergences looked at again. Answers with how many were in memory.
    ///
    /// # Errors
    /// When that cannot be made to survive a restart; it is in force all the same.
    pub(in crate::read) async fn invalidate(
        &self,
        volumes: &VolumePattern,
        version: Option<&Version>,
    ) -> Result<usize, StoreError> {
        self.shelf.invalidations.load(self.env.now(), self.env.damaged()).await?;
        let policy = self.env.live().policy.clone();
        let longest = [policy.index_ttl, policy.release_ttl, policy.trust_ttl, policy.advisories_ttl];
        let longest = longest.into_iter().max().unwrap_or_default() + policy.stale_while_revalidate;
        let horizon = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let (at, question) = (self.env.now(), self.env.question());
        let registry = match volumes {
            VolumePattern::Exact(name) => self.env.registry_of(&DocumentKey::Index(name.clone())),
            VolumePattern::All | VolumePattern::Prefix(_) => None,
        };
        let registry = registry.as_deref().cloned();
        let (volumes_there, version_there) = (volumes.clone(), version.cloned());
        let invalidation =
            Invalidation { volumes: volumes_there, version: version_there, registry, at, question };
        let added = self.shelf.invalidations.add(invalidation, Timestamp(at.0.saturating_sub(horizon))).await;
        let concerned = |key: &DocumentKey| concerns(volumes, version, key);
        self.shelf.divergences.doubt(|open| concerned(&open.key()));
        self.forgive(|refusal| {
            concerned(&DocumentKey::Release(refusal.volume.clone(), refusal.version.clone()))
        })
        .await;
        let held: Vec<_> =
            self.shelf.memory.iter().map(|(key, _)| key).filter(|key| concerned(key)).collect();
        for key in &held {
            self.shelf.replace(key, |held| {
                let held = held?;
                Some(Arc::new(held.with(held.standing.clone().outdated(true))))
            });
        }
        self.env.tell(NewsKind::Invalidation, || volumes.clone());
        added.map(|()| held.len())
    }
}
