//! What answers and files tell about releases, as evidence for the operator's policy.
//!
//! Evidence is noted as it comes. An index says since when a release is known, whether or not there are rules yet: they may
//! come later. The rest is noted while there are rules: exact metadata says how a release is delivered, a trust detail which
//! statements about it are in force, a verified archive what its manifest says. New evidence takes the documents that were judged
//! without it off the hit path. Owns that. Must not know rules, nor how evidence is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use archive::ManifestFacts;
use policy::PolicyNeeds;
use tracing::error;

use super::Judge;
use crate::domain::{DocumentKey, Integrity, Registry, Trust, Version, VolumeName};
use crate::policies::{FoundEvidence, PolicyInForce, ReleaseEvidence, delivery_of};
use crate::read::document::Document;
use crate::store::StoreError;

impl Judge {
    /// Notes what a new answer to `key` tells. If that cannot be noted, it is when the answer is judged.
    pub(super) async fn witness(&self, key: &DocumentKey, document: &Document) {
        if self.env.policy.revision() == 0 && !matches!(key, DocumentKey::Index(_)) {
            return;
        }
        let policy = self.env.policy.current();
        let noted = match key {
            DocumentKey::Index(name) => self.witness_rows(name, document).await,
            DocumentKey::Release(name, version) => {
                self.witness_release(&policy, name, version, document, None).await
            }
            DocumentKey::TrustDetail(name, version) if policy.needs(name).trust => {
                self.witness_trust(name, version, document).await
            }
            _ => Ok(()),
        };
        if let Err(error) = noted {
            error!(%error, key = %key, "cannot read what is known of a release; its policy waits for that");
        }
    }

    /// Notes since when the releases of an index are known.
    pub(super) async fn witness_rows(&self, name: &VolumeName, index: &Document) -> Result<(), StoreError> {
        let (seen, content) = (ReleaseEvidence::seen(index.meta.fetched_at), Arc::clone(&index.content));
        let listed = move || -> Vec<FoundEvidence> {
            let rows =
                content.rows().into_iter().flat_map(|rows| rows.by_version()).flat_map(|(_, rows)| rows);
            rows.filter_map(|row| Some((row.version.clone(), row.integrity?, seen.clone()))).collect()
        };
        let found =
            self.env.long_work.patiently(index.content.body().len(), listed).await.unwrap_or_default();
        if !found.is_empty() {
            self.evidence.add(&index.meta.registry(), name, found).await?;
        }
        Ok(())
    }

    /// Notes what exact metadata tells, with the categories of `trust` in force, if they were asked for.
    pub(super) async fn witness_release(
        &self,
        policy: &PolicyInForce,
        name: &VolumeName,
        version: &Version,
        document: &Document,
        trust: Option<Vec<String>>,
    ) -> Result<(), StoreError> {
        let Some(release) = document.content.release() else { return Ok(()) };
        if !needs_evidence(policy.needs(name)) {
            return Ok(());
        }
        let registry = document.meta.registry();
        let Some(integrity) = release.integrity else { return Ok(()) };
        let found = ReleaseEvidence {
            delivery: delivery_of(release),
            trust: trust.map(Into::into),
            ..ReleaseEvidence::seen(document.meta.fetched_at)
        };
        let found = vec![(version.clone(), integrity, found)];
        let news = self.evidence.add(&registry, name, found).await?;
        if news {
            self.env.policy.judge_anew();
        }
        Ok(())
    }

    async fn witness_trust(
        &self,
        name: &VolumeName,
        version: &Version,
        document: &Document,
    ) -> Result<(), StoreError> {
        let Some(trust) = document.content.trust() else { return Ok(()) };
        let registry = document.meta.registry();
        let known = self.evidence.of(&registry, name).await?;
        // A trust view alone is no sight of a release.
        let Some(known) = known.of(version, &trust.integrity) else { return Ok(()) };
        let found =
            ReleaseEvidence { trust: Some(active(trust).into()), ..ReleaseEvidence::seen(known.first_seen) };
        self.add_fact(&registry, name, (version.clone(), trust.integrity, found)).await
    }

    /// Notes the manifest of a verified archive.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(in crate::read) async fn witness_manifest(
        &self,
        registry: &Registry,
        (name, version): (&VolumeName, &Version),
        integrity: Integrity,
        manifest: ManifestFacts,
    ) -> Result<(), StoreError> {
        let found =
            ReleaseEvidence { manifest: Some(Box::new(manifest)), ..ReleaseEvidence::seen(self.env.now()) };
        self.add_fact(registry, name, (version.clone(), integrity, found)).await
    }

    /// Adds a fact that documents in memory were judged without.
    async fn add_fact(
        &self,
        registry: &Registry,
        name: &VolumeName,
        found: FoundEvidence,
    ) -> Result<(), StoreError> {
        let news = self.evidence.add(registry, name, vec![found]).await?;
        if news {
            self.env.policy.judge_anew();
        }
        Ok(())
    }
}

/// Whether anything must be known that is not in the document itself, nor in advisories.
pub(super) fn needs_evidence(needs: PolicyNeeds) -> bool {
    needs.age || needs.delivery || needs.manifest || needs.trust
}

pub(super) fn active(trust: &Trust) -> Vec<String> {
    let active = trust.attachments.iter().filter(|attachment| attachment.is_active);
    let categories: BTreeSet<_> = active.map(|attachment| attachment.category.clone()).collect();
    categories.into_iter().collect()
}
