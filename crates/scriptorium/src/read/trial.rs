//! A release under the policy in force, without a request and without an answer: for `explain`, and for what judges many
//! releases, such as commands, mirrors and bundles. Nothing is asked for.
//!
//! Owns which of the held facts count for a release. Must not know rules, nor where a command's rules come from.

use std::sync::Arc;

use policy::{PolicyVerdict, RuleReport};

use super::document::Document;
use super::documents::Documents;
use crate::clock::Timestamp;
use crate::domain::{DocumentKey, Integrity, Purl, Registry, VolumeName};
use crate::policies::{JudgedRelease, PolicyFinding};
use crate::store::StoreError;

/// What the policy in force says of a release, from what is held.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) verdict: PolicyVerdict,
    /// What each rule says, if that was asked for.
    pub(crate) reports: Vec<RuleReport>,
    /// The integrity that it is judged with, if one is known.
    pub(crate) integrity: Option<Integrity>,
    /// When that was first seen.
    pub(crate) first_seen: Option<Timestamp>,
    /// Whether the registry itself withholds the bytes, so that the policy has nothing to add.
    pub(crate) is_withheld: bool,
    /// Whether answers are changed, or only counted.
    pub(crate) is_enforced: bool,
}

impl Trial {
    /// What is said against the release.
    pub(crate) fn finding(&self) -> Option<PolicyFinding> {
        PolicyFinding::of(&self.verdict, self.is_enforced)
    }
}

impl Documents {
    /// Tries a release. `pinned` is its integrity if no document names one. `explained` asks what each rule says, which costs
    /// more. `None` if its name is routed to no registry.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(crate) async fn try_out(
        &self,
        release: &Purl,
        pinned: Option<Integrity>,
        explained: bool,
    ) -> Result<Option<Trial>, StoreError> {
        let Purl { name, version } = release;
        let (index, exact) =
            (DocumentKey::Index(name.clone()), DocumentKey::Release(name.clone(), version.clone()));
        let Some(registry) = self.env.registry_of(&index) else { return Ok(None) };
        let (index, exact) = (self.shelf.held(&index).await, self.shelf.held(&exact).await);
        let exact = exact.as_ref().and_then(|exact| exact.content.release());
        let row = || index.as_ref()?.content.rows()?.of(version).iter().find_map(|row| row.integrity);
        let integrity = exact.and_then(|exact| exact.integrity).or_else(row).or(pinned);
        let is_withheld = exact.is_some_and(|exact| !exact.serves_bytes());
        let trial = self.tried(&registry, release, integrity, explained).await?;
        Ok(Some(Trial { is_withheld, ..trial }))
    }

    /// What the policy says against the release with this `integrity`, if it refuses it. Documents are read only for facts that
    /// were not noted.
    ///
    /// # Errors
    /// When what is known of the release cannot be read.
    pub(crate) async fn policy_refuses(
        &self,
        release: &Purl,
        integrity: Option<Integrity>,
    ) -> Result<Option<PolicyFinding>, StoreError> {
        let index = DocumentKey::Index(release.name.clone());
        let registry = self.env.registry_of(&index).filter(|_| self.env.policy.revision() != 0);
        let Some(registry) = registry else { return Ok(None) };
        let trial = self.tried(&registry, release, integrity, false).await?;
        Ok(trial.finding().filter(PolicyFinding::refuses))
    }

    /// The held index of a volume, however old, with its rows as the policy in force lowers them.
    pub(crate) async fn held_index(&self, name: &VolumeName) -> Option<Arc<Document>> {
        let held = self.shelf.held(&DocumentKey::Index(name.clone())).await?;
        self.judge.lowered_index(name, &held).await.ok()
    }

    async fn tried(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: Option<Integrity>,
        explained: bool,
    ) -> Result<Trial, StoreError> {
        let Purl { name, version } = release;
        let (policy, now) = (self.policy(), self.env.now());
        let (integrity_of, needs) = (integrity.as_ref(), policy.needs(name));
        let evidence = self.judge.known_evidence(registry, (name, version), integrity_of, needs).await?;
        let outage = self.judge.outages.until(registry, (name, version), now);
        // Who asks nobody never learns it.
        let is_never_known =
            self.live().policy.offline && evidence.as_ref().is_none_or(|known| known.trust.is_none());
        let judged = JudgedRelease {
            registry,
            name,
            version,
            integrity: integrity.as_ref(),
            evidence: evidence.as_ref(),
            is_trust_unknown: outage.is_some() || is_never_known,
        };
        Ok(Trial {
            verdict: policy.verdict(judged, now),
            reports: if explained { policy.explain(judged, now) } else { Vec::new() },
            integrity,
            first_seen: evidence.map(|evidence| evidence.first_seen),
            is_withheld: false,
            is_enforced: !policy.is_audit(),
        })
    }
}
