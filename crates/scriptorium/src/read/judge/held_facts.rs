//! What held documents say of releases that was not noted when they came, because no rule looked at it then.
//!
//! Rows obey rules on delivery and trust once exact metadata was asked for, also if that was before there were such rules. So what is
//! held of a volume's releases is looked up when its index is first judged by new rules. From then on answers are noted as they come
//! (`witness`). Owns that. Must not know rules, nor how evidence is kept.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use policy::PolicyNeeds;

use super::Judge;
use super::witness::active;
use crate::domain::{DocumentKey, Integrity, Registry, Version, VolumeName};
use crate::policies::{FoundEvidence, PolicyInForce, ReleaseEvidence, VolumeEvidence, delivery_of};
use crate::read::document::Document;
use crate::read::failure::ReadFailure;
use crate::store::StoreError;

/// Releases that are looked up at once.
const AT_ONCE: usize = 16;
/// An index of more releases is long.
const MANY: usize = 1_000;

/// A volume at a registry.
pub(super) type VolumeSubject = (Registry, VolumeName);

impl Judge {
    /// Notes what is held of the releases of an index, once for each change of the rules. A long index does not wait for that: its
    /// rows obey a moment later, and its bytes are judged before they are sent anyway.
    pub(super) async fn witness_held(
        self: &Arc<Self>,
        policy: &PolicyInForce,
        name: &VolumeName,
        index: &Arc<Document>,
    ) -> Result<(), ReadFailure> {
        let (needs, registry) = (policy.needs(name), index.meta.registry());
        let subject = (registry, name.clone());
        if !(needs.delivery || needs.trust) || self.looked_up.get(&subject) == Some(policy.rules_since) {
            return Ok(());
        }
        let is_long = index.content.rows().is_some_and(|rows| rows.by_version().count() > MANY);
        let flight = (subject, policy.rules_since);
        let looking = || {
            let (judge, flight, index) = (Arc::clone(self), flight.clone(), Arc::clone(index));
            async move { judge.look_up(flight, needs, index, is_long).await.map_err(ReadFailure::from) }
        };
        if is_long {
            self.lookups.start(&flight, looking);
            return Ok(());
        }
        self.lookups.join(&flight, looking).await.map_err(|_| ReadFailure::Lost)?.0
    }

    async fn look_up(
        self: Arc<Self>,
        (subject, rules_since): (VolumeSubject, u64),
        needs: PolicyNeeds,
        index: Arc<Document>,
        is_long: bool,
    ) -> Result<(), StoreError> {
        let (registry, name) = &subject;
        let known = self.evidence.of(registry, name).await?;
        let work = index.content.body().len();
        let listed = move || lacking(&index, &known, needs);
        let versions = self.env.long_work.patiently(work, listed).await.unwrap_or_default();
        let found = stream::iter(versions).map(|version| self.held_facts(name, version, needs));
        let found: Vec<FoundEvidence> =
            found.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        // A long index was judged meanwhile.
        if !found.is_empty() && self.evidence.add(registry, name, found).await? && is_long {
            self.env.policy.judge_anew();
        }
        self.looked_up.insert(subject, rules_since);
        Ok(())
    }

    /// What the held documents about one release say; none if its exact metadata is not held.
    async fn held_facts(
        &self,
        name: &VolumeName,
        version: Version,
        needs: PolicyNeeds,
    ) -> Option<FoundEvidence> {
        let exact = self.held_aside(&DocumentKey::Release(name.clone(), version.clone())).await?;
        let release = exact.content.release()?;
        let integrity = release.integrity?;
        let detail = match needs.trust {
            true => self.held_aside(&DocumentKey::TrustDetail(name.clone(), version.clone())).await,
            false => None,
        };
        let found = ReleaseEvidence {
            delivery: delivery_of(release),
            trust: detail.and_then(|detail| trust(&detail, Some(&integrity))),
            ..ReleaseEvidence::seen(exact.meta.fetched_at)
        };
        Some((version, integrity, found))
    }

    /// The held document. One that only the store held is not kept in memory.
    async fn held_aside(&self, key: &DocumentKey) -> Option<Arc<Document>> {
        let is_remembered = self.shelf.memory.contains_key(key);
        let held = self.shelf.held(key).await;
        if !is_remembered {
            self.shelf.leave_to_store(key);
        }
        held
    }

    /// What is known of a release, with what held documents say of it that `needs` ask for and that was not noted.
    pub(in crate::read) async fn known_evidence(
        &self,
        registry: &Registry,
        (name, version): (&VolumeName, &Version),
        integrity: Option<&Integrity>,
        needs: PolicyNeeds,
    ) -> Result<Option<ReleaseEvidence>, StoreError> {
        let known = self.evidence.of(registry, name).await?.of_row(version, integrity).cloned();
        let lacks_delivery = needs.delivery && known.as_ref().is_none_or(|known| known.delivery.is_none());
        let lacks_trust = needs.trust && known.as_ref().is_none_or(|known| known.trust.is_none());
        let exact = match lacks_delivery || known.is_none() {
            true => self.shelf.held(&DocumentKey::Release(name.clone(), version.clone())).await,
            false => None,
        };
        let detail = match lacks_trust {
            true => self.shelf.held(&DocumentKey::TrustDetail(name.clone(), version.clone())).await,
            false => None,
        };
        let asked = exact.as_ref().or(detail.as_ref()).map(|document| document.meta.fetched_at);
        let Some(seen) = known.as_ref().map(|known| known.first_seen).or(asked) else { return Ok(None) };
        let held = ReleaseEvidence {
            delivery: exact.as_ref().and_then(|exact| exact.content.release()).and_then(delivery_of),
            trust: detail.and_then(|detail| trust(&detail, integrity)),
            ..ReleaseEvidence::seen(seen)
        };
        Ok(Some(known.map_or(held.clone(), |known| known.joined(held))))
    }
}

/// The versions that an index offers and of which anything is not known that `needs` ask for.
fn lacking(index: &Document, known: &VolumeEvidence, needs: PolicyNeeds) -> Vec<Version> {
    let rows = index.content.rows().into_iter().flat_map(|rows| rows.by_version());
    let offered = rows.filter(|(_, rows)| rows.iter().any(|row| row.status.state.serves_bytes()));
    let lacking = offered.filter(|(version, rows)| {
        lacks(known, version, rows.iter().find_map(|row| row.integrity).as_ref(), needs)
    });
    lacking.map(|(version, _)| version.clone()).collect()
}

/// Whether anything that `needs` ask for is not known of a release.
fn lacks(
    known: &VolumeEvidence,
    version: &Version,
    integrity: Option<&Integrity>,
    needs: PolicyNeeds,
) -> bool {
    known.of_row(version, integrity).is_none_or(|known| {
        (needs.delivery && known.delivery.is_none()) || (needs.trust && known.trust.is_none())
    })
}

/// The categories in force by a trust detail, if it is about this content.
fn trust(detail: &Document, integrity: Option<&Integrity>) -> Option<Box<[String]>> {
    let trust = detail.content.trust().filter(|trust| Some(&trust.integrity) == integrity)?;
    Some(active(trust).into())
}
